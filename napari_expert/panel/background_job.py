"""Work in another thread that can be cancelled at once; its outcome arrives as a signal."""

from __future__ import annotations

import threading
import traceback
from typing import Any

from napari.qt.threading import create_worker
from qtpy.QtCore import QObject
from qtpy.QtCore import Signal as QtSignal

from expert.errors import Cancelled, ExpertError


class BackgroundJob(QObject):
    """One piece of work in another thread; a subclass says which in `work`.

    Signals arrive in the thread this object lives in. After `cancel` only `finished` arrives; the
    thread stops at its next step, and what it still does is ignored.

    Parameters
    ----------
    parent : QObject, optional
    """

    advanced = QtSignal(str, float)
    """Stage and fraction."""
    succeeded = QtSignal(object)
    """What `work` returned."""
    failed = QtSignal(str)
    """One sentence."""
    finished = QtSignal()
    """Always, last, once."""
    doing = "working"
    """For the message of an unexpected error: what was done."""
    turn: threading.Lock | None = None
    """Held while the work is done: jobs with the same lock work one after the other, so that what
    a cancelled job still does is not done beside the next one."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._stop = threading.Event()
        self._over = False
        self._worker: Any = None

    def work(self) -> object:
        """Do the work, in the other thread; call `report` often."""
        raise NotImplementedError

    def start(self) -> None:
        """Begin; returns at once."""
        self._worker = create_worker(self._run, _start_thread=False)
        self._worker.returned.connect(self._returned)
        self._worker.start()

    def cancel(self) -> None:
        """Cancel; `finished` follows at once, the thread ends at its next step."""
        self._stop.set()
        self._end()

    @property
    def running(self) -> bool:
        """Whether an outcome can still come."""
        return not self._over

    def report(self, stage: str, fraction: float) -> None:
        """Report progress from the other thread; raises `Cancelled` after `cancel`."""
        self._check()
        self.advanced.emit(stage, fraction)

    def _check(self) -> None:
        if self._stop.is_set():
            raise Cancelled("The run was cancelled.")

    def fail(self, error: Exception) -> None:
        """Emit the signal that belongs to an error."""
        if isinstance(error, ExpertError):
            self.failed.emit(str(error))
            return
        # Its message may contain a patient's file name: only where it happened is printed.
        self.failed.emit(
            f"Unexpected {type(error).__name__} while {self.doing}: please report it, "
            "with what you did."
        )
        traceback.print_tb(error.__traceback__)

    def _run(self) -> tuple[object, Exception | None]:
        # An error is part of the outcome: raised, it would reach Qt's event loop as well.
        turn = self.turn or threading.Lock()
        try:
            while not turn.acquire(timeout=0.05):
                self._check()
            try:
                return self.work(), None
            finally:
                turn.release()
        except Exception as error:
            return None, error

    def _returned(self, outcome: tuple[object, Exception | None]) -> None:
        result, error = outcome
        if not self._stop.is_set():
            if error is None:
                self.succeeded.emit(result)
            else:
                self.fail(error)
        self._end()

    def _end(self) -> None:
        if not self._over:
            self._over = True
            self.finished.emit()
