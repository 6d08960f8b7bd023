"""Arrays as fields of JSON documents: compressed, and checked when they are read."""

from __future__ import annotations

import base64
import math
import re
import zlib
from typing import Annotated, Any

import numpy as np
from pydantic import PlainSerializer, PlainValidator, ValidationInfo

LARGEST = 1 << 30
"""Bytes of an array."""
MOST_AXES = 8
KIND = re.compile(r"[<>|=]?[fiub][0-9]{1,2}|[<>|]?[?]")


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


class Budget:
    """Bytes that the arrays of a document may still need; the context of its validation.

    Parameters
    ----------
    left : int
        Bytes of all arrays together.
    """

    def __init__(self, left: int) -> None:
        self.left = left

    def take(self, size: int) -> None:
        """Use some; ValueError if there is not enough."""
        self.left -= size
        if self.left < 0:
            raise ValueError("the arrays are too large")


def _decode(value: Any, info: ValidationInfo) -> np.ndarray:
    if isinstance(value, dict):
        array = _unpacked(value, info.context)
    elif info.mode == "json":
        raise ValueError("an array is missing")
    else:
        array = np.array(value)
    array.setflags(write=False)
    return array


def _unpacked(value: dict[str, Any], budget: Budget | None) -> np.ndarray:
    """An array from its document, which somebody else may have written."""
    kind, shape, packed = (value.get(key) for key in ("dtype", "shape", "zlib_base64"))
    whole = isinstance(shape, list) and all(type(n) is int and n >= 0 for n in shape)
    if not (isinstance(kind, str) and KIND.fullmatch(kind) and isinstance(packed, str) and whole):
        raise ValueError("arrays have a numerical dtype, a shape, and data")
    try:
        dtype = np.dtype(kind)
        size = math.prod(shape or ()) * dtype.itemsize
        if len(shape or ()) > MOST_AXES or size > LARGEST:
            raise ValueError("an array is too large")
        if budget is not None:
            budget.take(size)
        raw = inflate(base64.b64decode(packed), size)
    except (TypeError, zlib.error) as error:
        raise ValueError("the data of an array are damaged") from error
    return np.frombuffer(raw, dtype=dtype).reshape(shape or ()).astype(dtype.newbyteorder("="))


Array = Annotated[np.ndarray, PlainValidator(_decode), PlainSerializer(_encode, when_used="json")]
"""A field of a pydantic model. Read-only."""
