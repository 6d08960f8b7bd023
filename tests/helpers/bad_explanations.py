"""Explanations that cannot be used, and a part of the sentence that says why."""

from __future__ import annotations

import base64
import json
import pickle
import zlib

import numpy as np

FOREIGN, DAMAGED = "not an explanation saved by", "is damaged"


def packed(array: np.ndarray, **changes) -> dict:
    """An array as in the document, with other fields than it should have."""
    data = base64.b64encode(zlib.compress(array.tobytes())).decode()
    stored = {"dtype": array.dtype.str, "shape": list(array.shape), "zlib_base64": data}
    return {**stored, **changes}


def bomb(stated: int) -> dict:
    """An array of 64 MB in a few kB, with the stated number of bytes."""
    data = base64.b64encode(zlib.compress(bytes(1 << 26), 9)).decode()
    return {"dtype": "|u1", "shape": [stated], "zlib_base64": data}


def with_field(document: dict, path: str, value: object) -> dict:
    """A copy with another value at a place such as "views.0.mass"."""
    copy = json.loads(json.dumps(document))
    *parents, last = [int(key) if key.isdigit() else key for key in path.split(".")]
    place = copy
    for key in parents:
        place = place[key]
    place[last] = value
    return copy


def twice(document: dict) -> dict:
    first = document["prototypes"][0]
    return {**document, "prototypes": [first, {**first, "rank": 2}]}


LABELS = np.array([10.0, 40.0, 80.0])
FIELDS = {
    "no labels": ("labels", None),
    "labels as list": ("labels", [1, 2, 3]),
    "labels of objects": ("labels", packed(LABELS, dtype="|O")),
    "labels of records": ("labels", packed(LABELS, dtype="f8,f8")),
    "labels as dates": ("labels", packed(LABELS, dtype="<M8[ns]")),
    "dtype is a list": ("labels", packed(LABELS, dtype=[["a", "<f8"]])),
    "negative shape": ("labels", packed(LABELS, shape=[-3])),
    "shape of text": ("labels", packed(LABELS, shape="3")),
    "huge shape": ("labels", packed(LABELS, shape=[1 << 40, 1 << 40])),
    "shape of zeros": ("labels", packed(LABELS, shape=[1 << 62, 0])),
    "many axes": ("labels", packed(LABELS, shape=[1] * 99 + [3])),
    "no base64": ("labels", packed(LABELS, zlib_base64="?")),
    "no zlib": ("labels", packed(LABELS, zlib_base64=base64.b64encode(b"x" * 30).decode())),
    "array too short": ("labels", packed(LABELS, shape=[4])),
    "bomb": ("labels", bomb(3 << 30)),
    "bomb, small shape": ("labels", bomb(3)),
    "version 2": ("schema_version", 2),
    "text as number": ("prediction", "much"),
    "unknown field": ("further", 1),
    "unknown severity": ("warnings", [{"code": "x", "message": "y", "severity": "z"}]),
}  # fmt: skip
"""Refused by the types of the fields, or by the limits of arrays."""
UNFIT = {
    "four labels": ("labels", packed(np.arange(4.0))),
    "labels in two dimensions": ("labels", packed(LABELS[:, None])),
    "infinite labels": ("labels", packed(np.full(3, np.inf))),
    "NaN distances": ("distances", packed(LABELS * np.nan)),
    "shares of truth values": ("shares", packed(LABELS > 0)),
    "no prototypes": ("prototypes", []),
    "no views": ("views", []),
    "grid of one axis": ("grid", [16]),
    "grid of zeros": ("grid", [0, 4]),
    "grid that does not fit": ("grid", [3, 5]),
    "huge grid": ("grid", [1 << 40, 1 << 40]),
    "mass of another grid": ("views.0.mass", packed(np.ones(3))),
    "image as numbers": ("views.0.image", packed(np.zeros((32, 32)))),
    "image of one row": ("views.0.image", packed(np.zeros((32,), np.uint8))),
    "affine of 3 × 3": ("views.0.affine", packed(np.eye(3))),
    "contributions": ("views.0.contributions", packed(np.zeros((3, 2)))),
    "flow": ("prototypes.0.views.0.flow", packed(np.zeros((2, 2)))),
    "index": ("prototypes.0.index", 3),
    "negative index": ("prototypes.0.index", -1),
    "rank": ("prototypes.0.rank", 0),
    "no matches": ("prototypes.0.views", []),
    "prototype image": ("prototypes.0.image", packed(np.zeros((8, 8), np.uint8))),
    "curves": (
        "norms",
        {
            "tissue_norms": packed(np.zeros((2, 1, 3, 3, 2))),
            "tissue_norm_labels": packed(np.array([1.0, 2.0])),
        },
    ),
}
"""Refused because the parts do not fit together."""


class Bomb:
    """Fails the test if it is unpickled."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('unpickled')",))


WHOLE = {
    "empty": b"",
    "text": b"no explanation",
    "pickle": pickle.dumps(Bomb()),
    "list": b"[]",
    "null": b"null",
    "deep": b"[" * 1_000_000,
    "deep field": b'{"versions": ' + b'{"a":' * 300_000,
    "long array": b'{"views": [' + b"[]," * 6_000_000 + b"]}",
    "huge integer": b'{"schema_version": ' + b"9" * 100_000 + b"}",
    "UTF-16": '{"schema_version": 1}'.encode("utf-16"),
    "no UTF-8": b'{"statement": "\xff\xfe"}',
}
"""Whole files."""


def bad_explanations(document: dict) -> dict[str, tuple[str, bytes]]:
    """Name → part of the message and content, made from a good document."""
    out = {name: (FOREIGN, content) for name, content in WHOLE.items()}
    out["half"] = (FOREIGN, json.dumps(document).encode()[: len(json.dumps(document)) // 2])
    for message, fields in ((FOREIGN, FIELDS), (DAMAGED, UNFIT)):
        for name, (path, value) in fields.items():
            out[name] = (message, json.dumps(with_field(document, path, value)).encode())
    out["twice"] = (DAMAGED, json.dumps(twice(document)).encode())
    out["NaN"] = (DAMAGED, json.dumps({**document, "prediction": float("nan")}).encode())
    return out
