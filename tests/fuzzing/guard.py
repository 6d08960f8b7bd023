"""Limits of one execution, and a record of what it opens outside its folder."""

from __future__ import annotations

import os
import signal
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HANG_SECONDS = 5
MEMORY_BYTES = 2 << 30
"""Above what imports and the good files need."""
FORBIDDEN = {
    "socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo", "subprocess.Popen",
    "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.startfile", "pickle.find_class",
    "webbrowser.open", "urllib.Request", "ftplib.connect", "smtplib.connect", "ctypes.dlopen",
    "shutil.rmtree",
}  # fmt: skip


class Hang(Exception):
    """An input took longer than `HANG_SECONDS`."""


class Guard:
    """Records opened files outside the allowed folders, connections and processes.

    An audit hook cannot be removed: there is one for a process, which is only active in `watching`.
    """

    def __init__(self) -> None:
        self._allowed: tuple[str, ...] = ()
        self._active = False
        self.events: list[str] = []
        paths = sysconfig.get_paths().values()
        code = {
            os.path.realpath(path) for path in (*paths, *sys.path, ROOT, sys.base_prefix) if path
        }
        self._code = tuple(sorted(code))
        sys.addaudithook(self._audit)

    def _audit(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self._active:
            return
        own = event == "shutil.rmtree" and str(arguments[0]).startswith(self._allowed)
        if event in FORBIDDEN and not own:
            self._active = False
            self.events.append(f"{event} {arguments!r:.200}")
            self._active = True
        elif event in ("open", "os.listdir", "os.scandir", "os.remove", "os.rename", "os.mkdir"):
            self._check(event, arguments)

    def _check(self, event: str, arguments: tuple[object, ...]) -> None:
        name = arguments[0] if arguments else None
        if not isinstance(name, str | bytes | os.PathLike):
            return
        self._active = False
        try:
            path = os.path.realpath(os.fsdecode(name))
            flags = arguments[2] if event == "open" and len(arguments) > 2 else 0
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            inside = path.startswith(self._allowed)
            reads = event in ("open", "os.listdir", "os.scandir") and not writes
            if not inside and not (reads and path.startswith(self._code)):
                self.events.append(f"{event} {path}")
        except ValueError:
            pass  # a name that no file can have
        finally:
            self._active = True

    @contextmanager
    def watching(self, *folders: Path) -> Iterator[list[str]]:
        """The events in a block; files in the folders are allowed, and code is read.

        So are temporary folders of archives, which are unpacked and removed again.

        Parameters
        ----------
        folders : pathlib.Path
        """
        unpacked = str(Path(tempfile.gettempdir()).resolve() / "expert-")
        self._allowed = (unpacked, *(os.path.realpath(folder) for folder in folders))
        self.events = []
        self._active = True
        try:
            yield self.events
        finally:
            self._active = False


@contextmanager
def time_limit(seconds: int = HANG_SECONDS) -> Iterator[None]:
    """Raise `Hang` after some seconds; Unix only, without effect elsewhere."""
    if not hasattr(signal, "SIGALRM"):
        yield
        return

    def stop(number: int, frame: object) -> None:
        raise Hang(f"longer than {seconds} s")

    former = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)


def limit_memory(further: int = MEMORY_BYTES) -> None:
    """Let this process use so many bytes more than now; Linux only, without effect elsewhere."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (ImportError, OSError):
        return
    limit = pages * os.sysconf("SC_PAGE_SIZE") + further
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
