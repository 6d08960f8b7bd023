"""A file from the network: resumed, checked, encrypted, and by one process at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from expert.errors import InputError

if TYPE_CHECKING:
    import requests

MIRROR = "EXPERT_MIRROR"
"""Environment variable: address that holds the data sets as folders, instead of the public ones."""
PATIENCE_S = 10
"""Seconds without data after which a download is stopped."""
CHUNK = 1 << 16
"""Bytes between two calls of `progress`, which may cancel."""
LARGEST = 1 << 30
"""Bytes; a download that is larger is stopped."""
WAIT_S = 0.2
"""Seconds between two looks whether another process has finished the same file."""

Progress = Callable[[str, float], None]


@contextmanager
def downloading(target: Path, dataset: str, progress: Progress) -> Iterator[Path]:
    """Path of the unfinished part of a file; no other process has it at the same time.

    Parameters
    ----------
    target : pathlib.Path
        File to download.
    dataset : str
        Its data set.
    progress : callable
        Called while another process downloads the same file; may raise to stop waiting.

    Yields
    ------
    pathlib.Path
        What arrived earlier may be in it.

    Raises
    ------
    InputError
        The folder cannot be written to.
    """
    from filelock import FileLock, Timeout

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(target.with_name(f"{target.name}.lock"))
        while True:
            try:
                lock.acquire(timeout=WAIT_S)
                break
            except Timeout:
                progress(target.name, 0.0)
    except OSError as error:
        raise InputError(_not_written(target.name, target.parent, error)) from error
    try:
        yield target.with_name(f"{target.name}.part")
    finally:
        lock.release()


def download(address: str, part: Path, dataset: str, progress: Progress) -> None:
    """Download to a file, from where it ends; what arrived stays after an error or Cancel.

    Parameters
    ----------
    address : str
    part : pathlib.Path
        From `downloading`.
    dataset : str
        Named in error messages.
    progress : callable
        Called with the name of the file and a fraction, 0 to 1; may raise.

    Raises
    ------
    InputError
        The network or the disk failed, or the file is too large.
    """
    import requests

    name = part.name.removesuffix(".part")
    try:
        done = part.stat().st_size if part.is_file() else 0
        # Not compressed on the way: the position in the file would be another.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={done}-"} if done else {})
        with (
            _connection(address) as connection,
            connection.get(address, headers=headers, stream=True, timeout=PATIENCE_S) as answer,
        ):
            if answer.status_code == requests.codes.requested_range_not_satisfiable:
                return  # nothing is missing, or something else was begun: the checksum decides
            answer.raise_for_status()
            if answer.status_code != requests.codes.partial_content:
                done = 0
            total = done + int(answer.headers.get("Content-Length", 0))
            with part.open("ab" if done else "wb") as file:
                progress(name, done / max(total, done, 1))
                for chunk in answer.iter_content(CHUNK):
                    file.write(chunk)
                    done += len(chunk)
                    if done > LARGEST:
                        raise InputError(f"{name} was not downloaded: it is larger than 1 GB.")
                    progress(name, done / max(total, done))
    except (requests.RequestException, ValueError) as error:
        raise InputError(
            f"{name} could not be downloaded ({_reason(error)}): check the network connection and "
            f"try again, or copy the data set {dataset} into a folder and choose it or "
            "set EXPERT_DATA_DIR to it."
        ) from error
    except OSError as error:  # those of the network are among the former
        raise InputError(_not_written(name, part.parent, error)) from error


def _not_written(name: str, folder: Path, error: OSError) -> str:
    return (
        f"{name} could not be written to {folder}: {error.strerror}. Make room there or make the "
        "folder writable, then try again: what arrived is kept."
    )


def _connection(address: str) -> requests.Session:
    """A connection that is encrypted, also after a redirection; a mirror may be on this computer.

    Parameters
    ----------
    address : str

    Raises
    ------
    InputError
        The address is not one of https.
    """
    import requests

    parts = urlsplit(address)
    local = parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1", "::1")
    if parts.scheme != "https" and not local:
        raise InputError(f"Images are only downloaded over https: set {MIRROR} to such an address.")
    session = requests.Session()
    if not local:
        session.adapters.pop("http://")
    return session


def _reason(error: Exception) -> str:
    """An error of the network in a few words."""
    answer = getattr(error, "response", None)
    if answer is not None:
        return f"the server replied {answer.status_code}"
    return type(error).__name__


def checksum(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
