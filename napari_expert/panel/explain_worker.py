"""Background job: run the core in another thread.

It touches no layer, and reports its progress through signals.
"""

from __future__ import annotations

import threading
import traceback
from typing import TYPE_CHECKING, Any

from napari.qt.threading import create_worker
from qtpy.QtCore import QObject
from qtpy.QtCore import Signal as QtSignal

from expert.errors import Cancelled, ExpertError, RefusedError

if TYPE_CHECKING:
    from pathlib import Path

    from expert.explanation import Explanation
    from expert.imaging.volume import Volume
    from expert.model_file import Model


class ExplainJob(QObject):
    """One run of `expert.explain` in another thread.

    Signals arrive in the thread this object lives in. After `cancel` only `finished` arrives; the
    thread stops at its next step, and what it still does is ignored.

    Parameters
    ----------
    model : Model or str
        Loaded, or a name or file.
    volume : Volume
        The image to explain.
    top : int
        Number of prototypes to explain in full.
    data : pathlib.Path, optional
        Folder of the prototypes' images.
    device : str
        Where the network runs.
    parent : QObject, optional
    force : bool
        Predict an image that is refused.
    """

    advanced = QtSignal(str, float)
    """Stage and fraction."""
    succeeded = QtSignal(object)
    """The Explanation."""
    failed = QtSignal(str)
    """One sentence."""
    refused = QtSignal(str)
    """The image must not be predicted: why, in one sentence."""
    finished = QtSignal()
    """Always, last, once."""

    def __init__(
        self,
        model: Model | str,
        volume: Volume,
        top: int,
        data: Path | None = None,
        device: str = "cpu",
        parent: QObject | None = None,
        force: bool = False,
    ) -> None:
        super().__init__(parent)
        self._force = force
        self._model, self._volume, self._top, self._data, self._device = (
            model,
            volume,
            top,
            data,
            device,
        )
        self._stop = threading.Event()
        self._over = False
        self._worker: Any = None

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

    def _run(self) -> tuple[Explanation | None, Exception | None]:
        """Explain, in the other thread."""
        # An error is part of the outcome: raised, it would reach Qt's event loop as well.
        import expert

        try:
            self._report("load", 0.0)
            model = expert.load_model(self._model) if isinstance(self._model, str) else self._model
            result: Explanation = expert.explain(
                model,
                self._volume,
                top=self._top,
                data=self._data,
                device=self._device,
                progress=self._report,
                force=self._force,
            )
        except Exception as error:
            return None, error
        return result, None

    def _report(self, stage: str, fraction: float) -> None:
        if self._stop.is_set():
            raise Cancelled("The run was cancelled.")
        self.advanced.emit(stage, fraction)

    def _returned(self, outcome: tuple[Explanation | None, Exception | None]) -> None:
        result, error = outcome
        if self._stop.is_set():
            pass
        elif error is None:
            self.succeeded.emit(result)
        elif isinstance(error, RefusedError):
            self.refused.emit(str(error))
        elif isinstance(error, ExpertError):
            self.failed.emit(str(error))
        else:
            # Its message may contain a patient's file name: only where it happened is printed.
            self.failed.emit(
                f"Unexpected {type(error).__name__} while explaining: please report it, "
                "with what you did."
            )
            traceback.print_tb(error.__traceback__)
        self._end()

    def _end(self) -> None:
        if not self._over:
            self._over = True
            self.finished.emit()
