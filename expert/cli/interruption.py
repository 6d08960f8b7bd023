"""Ctrl-C: every command ends in time, with one sentence and exit code 130."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from expert.errors import Cancelled
from expert.untrusted.text import plain_text

CANCELLED = "Cancelled."
INTERRUPTED = 130
"""Exit code after Ctrl-C."""
PATIENCE_SECONDS = 0.6
"""Longest time from Ctrl-C to the end of the program."""


class Interruption:
    """Whether Ctrl-C was pressed; made by `interruptible`."""

    def __init__(self) -> None:
        self.message = CANCELLED
        """The sentence that the user reads then."""
        self.requested = False

    def check(self) -> None:
        """Raise `expert.errors.Cancelled` after Ctrl-C."""
        if self.requested:
            raise Cancelled(self.message)


class Watch:
    """Watches for Ctrl-C until `stop`.

    Work within `interruptible` is asked to end; other work gets Python's KeyboardInterrupt. If the
    program still runs after `PATIENCE_SECONDS`, or when Ctrl-C is pressed again, it ends all the
    same: libraries lose the exception, while they are imported or in their callbacks, and a call of
    a compiled function may take seconds.
    """

    active: Watch | None = None

    def __init__(self) -> None:
        self.work: Interruption | None = None
        """The work that asks by itself."""
        self.requested = False
        self._said = False
        self._stopped = threading.Event()
        self._former_handler = signal.signal(signal.SIGINT, self._on_signal)
        self._former_hook = sys.unraisablehook
        sys.unraisablehook = self._without_interrupts
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        # Python's own handler waits for the main thread, a byte in this socket does not.
        self._former_writer = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._end_in_time, daemon=True).start()
        Watch.active = self

    def stop(self) -> None:
        """Watch no longer: the former reaction to Ctrl-C is restored."""
        Watch.active = None
        self._stopped.set()
        signal.set_wakeup_fd(self._former_writer)
        signal.signal(signal.SIGINT, self._former_handler)
        sys.unraisablehook = self._former_hook
        self._writer.close()

    def say(self, message: str = "") -> None:
        """Print the sentence on standard error, once."""
        if not self._said:
            self._said = True
            _say(message or (self.work.message if self.work else CANCELLED))

    def end(self) -> None:
        """End the program now, with the sentence."""
        self.say()
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        os._exit(INTERRUPTED)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        again, self.requested = self.requested, True
        if self.work is not None:
            self.work.requested = True
        elif not again:
            raise KeyboardInterrupt

    def _end_in_time(self) -> None:
        seen = 0
        while byte := self._reader.recv(1):
            seen += byte[0] == signal.SIGINT
            if seen == 1:
                threading.Thread(target=self._end_after_patience, daemon=True).start()
            elif seen == 2:
                self.end()
        self._reader.close()

    def _end_after_patience(self) -> None:
        if not self._stopped.wait(PATIENCE_SECONDS):
            self.end()

    def _without_interrupts(self, unraisable: Any) -> None:
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            self._former_hook(unraisable)


def say_cancelled(message: str = "") -> None:
    """Print on standard error that the command was cancelled, once.

    Parameters
    ----------
    message : str
        Empty: "Cancelled."
    """
    if Watch.active is None:
        _say(message or CANCELLED)
    else:
        Watch.active.say(message)


def _say(message: str) -> None:
    sys.stderr.write(f"{plain_text(message, lines=True)}\n")
    sys.stderr.flush()


def watch() -> Watch | None:
    """Begin to watch for Ctrl-C.

    Returns
    -------
    Watch or None
        None if Ctrl-C does not concern this program (jobs in the background ignore it), outside of
        the main thread, or if it is watched for already.
    """
    elsewhere = threading.current_thread() is not threading.main_thread()  # without signals
    if elsewhere or Watch.active or signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        return None
    return Watch()


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Turn Ctrl-C into `expert.errors.Cancelled`, raised where the work calls `check`.

    Python's own exception would be raised within a callback of SimpleITK, which prints it and goes
    on. If the work does not call `check` in time, the program ends all the same.

    Yields
    ------
    Interruption
    """
    interruption = Interruption()
    own = watch()
    active = Watch.active if threading.current_thread() is threading.main_thread() else None
    if active is None:
        yield interruption
        return
    former, active.work = active.work, interruption
    try:
        yield interruption
    finally:
        if own is not None:
            own.stop()
        elif not active.requested:  # else the program ends, with this message
            active.work = former
