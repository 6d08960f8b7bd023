"""Arrays as fields of JSON documents: compressed, and checked when they are read."""

from __future__ import annotations

import base64
import zlib
from typing import Annotated, Any

import numpy as np
from pydantic import PlainSerializer, PlainValidator


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
"""A field of a pydantic model. Read-only."""
