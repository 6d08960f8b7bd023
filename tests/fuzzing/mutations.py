"""Random changes of bytes, of JSON documents, and of the parts of files."""

from __future__ import annotations

import copy
import json
import struct
from random import Random
from typing import Any

import numpy as np

INTERESTING: tuple[Any, ...] = (
    0, 1, -1, 2, 255, 256, 65536, 2**31, 2**32, 2**53, 2**63, 2**64, 10**30, 0.5, -0.0, 1e-320,
    1e30, 1e308, -1e308, float("nan"), float("inf"), True, False, None, "", "a", "nan", "\x1b[31m",
    "\u202ex", "../../etc/passwd", "/etc/passwd", "file:///etc/passwd", "http://127.0.0.1:9/x",
    "C:\\x", "\\\\host\\share", "=cmd()", "<script>alert(1)</script>", "${x}", "{{7*7}}", "%s%n",
    "a" * 3000, "\0", [], {}, [[]], [None], {"": 0}, {"__class__": "x"},
)  # fmt: skip
BYTES = (b"\0", b"\xff", b"\x7f", b"\x80", b"{", b"[", b'"', b"\\", b"\n", b",", b"-1", b"1e999",
         b"9" * 40, b"[" * 300, b'{"a":' * 300, b"\xff\xfe", b"\xef\xbb\xbf")  # fmt: skip


def changed_bytes(data: bytes, random: Random) -> bytes:
    """A few bytes flipped, replaced, removed, inserted or repeated; or the end cut off."""
    out = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 4, 16))):
        size = len(out)
        place = random.randrange(size + 1)
        kind = random.randrange(7)
        if kind == 0 and size:
            out[min(place, size - 1)] ^= 1 << random.randrange(8)
        elif kind == 1 and size:
            out[min(place, size - 1)] = random.randrange(256)
        elif kind == 2:
            del out[place : place + random.choice((1, 2, 8, 64))]
        elif kind == 3:
            out[place:place] = random.choice(BYTES)
        elif kind == 4:
            out[place:place] = out[place : place + random.choice((1, 8, 64))]
        elif kind == 5:
            form = random.choice(("<H", "<I", "<Q", ">H", ">I", "<f", "<d"))
            value = random.choice((0, 1, 255, 32767, 65535))
            out[place : place + struct.calcsize(form)] = struct.pack(form, value)
        elif random.randrange(4) == 0:
            del out[place:]
    return bytes(out)


def changed_json(document: Any, random: Random) -> Any:
    """A copy of a document with a few values replaced, removed, repeated, moved or wrapped."""
    out = copy.deepcopy(document)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        parent, key = _place(out, random)
        if parent is None:
            return random.choice(INTERESTING)
        kind = random.randrange(8)
        if kind == 0 or (kind == 1 and isinstance(parent, dict)):
            del parent[key]
        elif kind == 2:
            other, name = _place(out, random)
            parent[key] = copy.deepcopy(other[name]) if other is not None else None
        elif kind == 3:
            parent[key] = [parent[key]] * random.choice((0, 1, 2, 50))
        elif kind == 4 and isinstance(parent, dict):
            parent[random.choice(("x", "", "\x1b", key * 2))] = random.choice(INTERESTING)
        elif (
            kind == 5 and isinstance(parent[key], int | float) and not isinstance(parent[key], bool)
        ):
            parent[key] = random.choice((-parent[key], parent[key] + 1, parent[key] * 1000, 0))
        else:
            parent[key] = copy.deepcopy(random.choice(INTERESTING))
    return out


def _place(document: Any, random: Random) -> tuple[Any, Any]:
    """A random container in a document, and one of its keys."""
    parent, key, here = None, None, document
    while isinstance(here, dict | list) and here:
        parent = here
        key = random.choice([*here]) if isinstance(here, dict) else random.randrange(len(here))
        here = here[key]
        if random.randrange(4) == 0:
            break
    return parent, key


def as_json(document: Any, random: Random) -> str:
    """The text of a document; rarely, with a change that JSON does not allow."""
    text = json.dumps(document)
    if random.randrange(10) == 0:
        return changed_bytes(text.encode(), random).decode("utf-8", "replace")
    return text


def changed_array(array: np.ndarray, random: Random) -> np.ndarray:
    """Another shape, another type, or other values."""
    kind = random.randrange(6)
    if kind == 0:
        return array.reshape(-1)[: random.randrange(array.size + 1)]
    if kind == 1:
        types = ("f2", "f4", "f8", "i1", "i4", "i8", "u1", "u2", "?")
        with np.errstate(all="ignore"):
            return array.astype(random.choice(types))
    if kind == 2:
        return np.swapaxes(array, 0, -1) if array.ndim else array[None]
    if kind == 3:
        return array[None]
    out = np.array(array)
    if out.size:
        values = (0, 1, -1, 127) if out.dtype.kind in "iu" else (0, -1, 1e30, np.nan, np.inf)
        with np.errstate(all="ignore"):
            out.reshape(-1)[random.randrange(out.size)] = np.array(random.choice(values)).astype(
                out.dtype
            )
    return out
