"""Files that are written completely or not at all, and arrays in JSON documents."""

from __future__ import annotations

import base64
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import PlainSerializer, PlainValidator


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Path of a temporary file beside `target`, which replaces it at the end of the block.

    An interrupted write leaves the former file as it was. Processes that write the same file at the
    same time do not disturb each other: the last one counts.

    Parameters
    ----------
    target : pathlib.Path
        File to write; its folder must exist.

    Yields
    ------
    pathlib.Path
        Where to write; it has the suffix of `target`.

    Raises
    ------
    OSError
        The temporary file cannot be written or renamed.
    """
    temporary = target.with_name(f"{target.stem}.{os.getpid()}.part{target.suffix}")
    try:
        yield temporary
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def inflate(packed: bytes, size: int) -> bytes:
    """Decompress data whose size is known: a small file never becomes a huge one in memory.

    Parameters
    ----------
    packed : bytes
        Compressed by zlib.
    size : int
        Number of bytes expected.

    Returns
    -------
    bytes

    Raises
    ------
    ValueError
        The data have another size.
    zlib.error
        The data are damaged.
    """
    raw = zlib.decompressobj().decompress(packed, size + 1)
    if len(raw) != size:
        raise ValueError("the size of an array does not match its shape")
    return raw


def _encode(array: np.ndarray) -> dict[str, Any]:
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    packed = base64.b64encode(zlib.compress(little.tobytes(), 6)).decode("ascii")
    return {"dtype": little.dtype.str, "shape": list(little.shape), "zlib_base64": packed}


def _decode(value: Any) -> np.ndarray:
    if isinstance(value, dict):
        dtype = np.dtype(value["dtype"])
        if dtype.kind not in "fiub":
            raise ValueError(f"arrays must contain numbers, not {dtype}")
        shape = tuple(int(n) for n in value["shape"])
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        raw = inflate(base64.b64decode(value["zlib_base64"]), size)
        array = np.frombuffer(raw, dtype=dtype).reshape(shape).astype(dtype.newbyteorder("="))
    else:
        array = np.array(value)
    array.setflags(write=False)
    return array


Array = Annotated[np.ndarray, PlainValidator(_decode), PlainSerializer(_encode, when_used="json")]
"""A field of a document that is an array: compressed in JSON, read-only in memory."""
