"""Files that are written completely or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Path of a temporary file beside `target`, which replaces it at the end of the block.

    An interrupted write, or a power cut, leaves the former file as it was. Processes that write
    the same file at the same time do not disturb each other: the last one counts.

    Parameters
    ----------
    target : pathlib.Path
        File to write; its folder must exist.

    Yields
    ------
    pathlib.Path
        Where to write; it has the suffixes of `target`.

    Raises
    ------
    OSError
        The temporary file cannot be written or renamed.
    """
    temporary = target.with_name(f".{os.getpid()}.part.{target.name}")
    try:
        yield temporary
        with temporary.open("rb+") as file:  # on the disk, before it has the name
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Write a text file as UTF-8, completely or not at all; see `replacing`."""
    with replacing(target) as temporary:
        temporary.write_text(text, encoding="utf-8")
