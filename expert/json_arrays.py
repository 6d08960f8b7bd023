"""Arrays as fields of JSON documents: compressed, and checked when they are read."""

from __future__ import annotations

import base64
import zlib
from typing import Annotated, Any

import numpy as np
from pydantic import PlainSerializer, PlainValidator


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
        # Bounded: a small file that decompresses to a huge array is refused.
        raw = zlib.decompressobj().decompress(base64.b64decode(value["zlib_base64"]), size + 1)
        if len(raw) != size:
            raise ValueError("the size of an array does not match its shape")
        array = np.frombuffer(raw, dtype=dtype).reshape(shape).astype(dtype.newbyteorder("="))
    else:
        array = np.array(value)
    array.setflags(write=False)
    return array


Array = Annotated[np.ndarray, PlainValidator(_decode), PlainSerializer(_encode, when_used="json")]
"""A field of a pydantic model. Read-only."""
