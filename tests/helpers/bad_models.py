"""Model files that cannot be used, and a part of the sentence that says why."""

from __future__ import annotations

import json
import pickle
import struct
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import save

from expert.model import PrototypeRegressor
from expert.model_file import _digest, save_model
from expert.schema import (
    Architecture,
    ImageReference,
    InputSettings,
    Label,
    ModelInfo,
    PrototypeInfo,
    TrainingInfo,
)

LABELS = (10.0, 40.0, 80.0)


def small_model(folder: Path, name: str = "small", **changes) -> Path:
    """A model of plain 2D images with random weights, images of its prototypes, 16 kB."""
    architecture = Architecture(
        dimensions=2, widths=(4, 4), channels=4, prototypes=len(LABELS), radius=100.0
    )
    references = [
        ImageReference(dataset="squares", subject=f"s{n}", file=f"s{n}.png", sha256="0" * 64)
        for n in range(len(LABELS))
    ]
    info = ModelInfo(
        name=name,
        label=Label(name="age", unit="years", minimum=0, maximum=90),
        input=InputSettings(space="image", shape=(32, 32), spacing_mm=1.0),
        architecture=architecture,
        prototypes=tuple(
            PrototypeInfo(label=label, source_label=label, reference=reference)
            for label, reference in zip(LABELS, references, strict=True)
        ),
        training=TrainingInfo(
            dataset="squares", licence="none", subjects=3, images=3, seed=0, recipe={}
        ),
        card="A model for tests.",
    ).model_copy(update=changes)
    torch.manual_seed(1)
    network = PrototypeRegressor(architecture, info.grid)
    network.prototype_labels.copy_(torch.tensor(LABELS))
    images = np.random.default_rng(0).integers(0, 255, (len(LABELS), 32, 32)).astype(np.uint8)
    weights = {key: value.numpy() for key, value in network.state_dict().items()}
    return save_model(folder / f"{name}.safetensors", info, weights, images)


def square(folder: Path) -> Path:
    """An image for `small_model`."""
    pixels = np.random.default_rng(3).integers(20, 220, (32, 32)).astype(np.uint8)
    Image.fromarray(pixels).save(folder / "square.png", dpi=(25.4, 25.4))
    return folder / "square.png"


class Parts:
    """The parts of a model file, to be changed and written again."""

    def __init__(self, source: Path) -> None:
        self._divide(source.read_bytes())

    @classmethod
    def of(cls, data: bytes) -> Parts:
        """The parts of the content of a file."""
        out = cls.__new__(cls)
        out._divide(data)
        return out

    def _divide(self, data: bytes) -> None:
        self.raw = data
        (self.length,) = struct.unpack_from("<Q", self.raw)
        self.header = json.loads(self.raw[8 : 8 + self.length])
        self.start = 8 + self.length
        self.metadata = dict(self.header.pop("__metadata__"))
        self.document = json.loads(self.metadata["expert"])
        self.tensors = {
            name: np.frombuffer(
                self.raw,
                {"F32": "<f4", "U8": "u1", "I64": "<i8"}[one["dtype"]],
                offset=self.start + one["data_offsets"][0],
                count=int(np.prod(one["shape"])),
            ).reshape(one["shape"])
            for name, one in self.header.items()
        }

    def signed(self, tensors=None, document=None) -> bytes:
        """A file with a right checksum: its author knows how it is made."""
        tensors = self.tensors if tensors is None else tensors
        text = document if isinstance(document, str) else json.dumps(document or self.document)
        return save(dict(tensors), {"expert": text, "sha256": _digest(tensors, text)})

    def raw_header(self, header: bytes, length: int | None = None) -> bytes:
        """A file with any header."""
        size = len(header) if length is None else length
        return struct.pack("<Q", size) + header + self.raw[self.start :]

    def with_document(self, **changes) -> bytes:
        return self.signed(document={**self.document, **changes})

    def with_field(self, field: str, **changes) -> bytes:
        return self.with_document(**{field: {**self.document[field], **changes}})

    def with_tensor(self, name: str, value: np.ndarray | None) -> bytes:
        tensors = {key: one for key, one in self.tensors.items() if key != name}
        if value is not None:
            tensors[name] = np.ascontiguousarray(value)
        return self.signed(tensors)


class Bomb:
    """Fails the test if it is unpickled."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('unpickled')",))


LATENTS, CONV = "weights.prototypes", "weights.backbone.features.conv1.weight"


def changed_value(parts: Parts, value: float) -> bytes:
    latents = parts.tensors[LATENTS].copy()
    latents.flat[3] = value
    return parts.with_tensor(LATENTS, latents)


def prototypes(parts: Parts, count: int) -> list:
    return [parts.document["prototypes"][0]] * count


READABLE, FITS = "not a readable model file", "cannot be used"
BAD = {
    "empty": (READABLE, lambda p: b""),
    "seven bytes": (READABLE, lambda p: p.raw[:7]),
    "header only": (READABLE, lambda p: p.raw[: p.start]),
    "half": (READABLE, lambda p: p.raw[: len(p.raw) // 2]),
    "one byte short": (READABLE, lambda p: p.raw[:-1]),
    "one byte more": (READABLE, lambda p: p.raw + b"\0"),
    "text": (READABLE, lambda p: b"this is no model" * 50),
    "pickle": (READABLE, lambda p: pickle.dumps(Bomb())),
    "zip": (READABLE, lambda p: b"PK\3\4" + bytes(400)),
    "header of 2^63 bytes": (READABLE, lambda p: p.raw_header(b"{}", 1 << 63)),
    "header of 90 MB, not there": (READABLE, lambda p: p.raw_header(b"{}", 90 << 20)),
    "header of 60 MB": (READABLE, lambda p: p.raw_header(b"{}" + b" " * (60 << 20))),
    "20,000 tensors": (
        READABLE,
        lambda p: p.signed(
            {**p.tensors, **{f"t{n}": np.zeros(0, np.uint8) for n in range(20_000)}}
        ),
    ),
    "deep header": (READABLE, lambda p: p.raw_header(b'{"a":' * 200_000)),
    "header without metadata": ("its header has no", lambda p: save(p.tensors)),
    "metadata is a number": (READABLE, lambda p: p.raw_header(b'{"__metadata__": 3}')),
    "shape of 2^62": (
        READABLE,
        lambda p: p.raw_header(
            json.dumps(
                {
                    "__metadata__": p.metadata,
                    "a": {"dtype": "F32", "shape": [1 << 62], "data_offsets": [0, 4]},
                }
            ).encode()
        ),
    ),
    "negative shape": (
        READABLE,
        lambda p: p.raw_header(
            b'{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}'
        ),
    ),
    "checksum": (
        "checksum does not match",
        lambda p: save(p.tensors, {**p.metadata, "sha256": "0" * 64}),
    ),
    "no checksum": (
        "checksum does not match",
        lambda p: save(p.tensors, {"expert": p.metadata["expert"]}),
    ),
    "document is no JSON": ("is damaged", lambda p: p.signed(document="{")),
    "document is empty": ("is damaged", lambda p: p.signed(document="")),
    "document is a list": ("is damaged", lambda p: p.signed(document="[1]")),
    "deep document": ("is damaged", lambda p: p.signed(document="[" * 200_000)),
    "deep field": (
        "is damaged",
        lambda p: p.signed(document='{"schema_version": 1, "card": ' + '{"a":' * 100_000),
    ),
    "long array": (
        "is damaged",
        lambda p: p.signed(document='{"schema_version": 1, "card": [' + "[]," * 6_000_000 + "1]}"),
    ),
    "huge integer": (
        "schema version|is damaged",
        lambda p: p.signed(document='{"schema_version": ' + "9" * 100_000 + "}"),
    ),
    "not a number": (
        "is damaged",
        lambda p: p.signed(
            document=json.dumps({**p.document, "validation": {"mae": float("nan")}})
        ),
    ),
    "no version": ("schema version None", lambda p: p.signed(document="{}")),
    "version 2": ("schema version 2", lambda p: p.with_document(schema_version=2)),
    "version as text": ("schema version", lambda p: p.with_document(schema_version="\x1b[31m1")),
    "unknown field": ("invalid metadata", lambda p: p.with_document(extra=1)),
    "missing field": (
        "invalid metadata",
        lambda p: p.signed(document={k: v for k, v in p.document.items() if k != "label"}),
    ),
    "name with a path": ("invalid metadata", lambda p: p.with_document(name="../../other")),
    "name with escape codes": ("invalid metadata", lambda p: p.with_document(name="\x1b[31mx")),
    "more prototypes": (
        "invalid metadata",
        lambda p: p.with_document(prototypes=prototypes(p, 9)),
    ),
    "huge input": ("million pixels", lambda p: p.with_field("input", shape=[1 << 30, 1 << 30])),
    "huge channels": ("from 1 to", lambda p: p.with_field("architecture", channels=1 << 40)),
    "huge members": ("from 1 to", lambda p: p.with_field("architecture", members=1 << 40)),
    "zero widths": ("from 1 to", lambda p: p.with_field("architecture", widths=[0, 4])),
    "many widths": ("widths", lambda p: p.with_field("architecture", widths=[4] * 5000)),
    "other grid": (
        FITS,
        lambda p: p.signed(
            {k: v for k, v in p.tensors.items() if k != "prototype_images"},
            {**p.document, "input": {**p.document["input"], "shape": [64, 64]}},
        ),
    ),
    "too many patches": (
        FITS,
        lambda p: p.signed(
            {k: v for k, v in p.tensors.items() if k != "prototype_images"},
            {**p.document, "input": {**p.document["input"], "shape": [16384, 16384]}},
        ),
    ),
    "other label": (
        "labels of its prototypes",
        lambda p: p.with_document(
            prototypes=[{**one, "label": one["label"] + 1} for one in p.document["prototypes"]]
        ),
    ),
    "no latents": (f"{LATENTS} is missing", lambda p: p.with_tensor(LATENTS, None)),
    "latents of another shape": (
        "has shape",
        lambda p: p.with_tensor(LATENTS, p.tensors[LATENTS].swapaxes(0, 1)),
    ),
    "latents as integers": (
        "has type",
        lambda p: p.with_tensor(LATENTS, p.tensors[LATENTS].astype(np.int32)),
    ),
    "NaN": ("non-finite", lambda p: changed_value(p, np.nan)),
    "infinite": ("non-finite", lambda p: changed_value(p, np.inf)),
    "negative mass": (
        "does not sum to 1",
        lambda p: p.with_tensor(
            "weights.prototype_mass", -p.tensors["weights.prototype_mass"]
        ),
    ),
    "images of another shape": (
        "has shape",
        lambda p: p.with_tensor("prototype_images", np.zeros((3, 8, 8), np.uint8)),
    ),
    "images as numbers": (
        "has type",
        lambda p: p.with_tensor("prototype_images", np.zeros((3, 32, 32), np.float32)),
    ),
}  # fmt: skip
"""Name → part of the message, and what makes the content. Refused by `load_model`."""
BAD_NETWORK = {
    "no convolution": ("is missing", lambda p: p.with_tensor(CONV, None)),
    "further weight": (
        "is unknown",
        lambda p: p.with_tensor("weights.further", np.zeros(3, np.float32)),
    ),
    "convolution of another shape": (
        "has shape",
        lambda p: p.with_tensor(CONV, p.tensors[CONV][:2]),
    ),
    "convolution as integers": (
        "has type",
        lambda p: p.with_tensor(CONV, p.tensors[CONV].astype(np.int16)),
    ),
    "network of 150 GB": (
        "has shape",
        lambda p: p.with_field("architecture", widths=[60000, 60000]),
    ),
}
"""The same, for weights of the backbone. Refused when the network is built."""


def bad_model(folder: Path, good: Path, name: str) -> Path:
    """Write one of the files, and return its path."""
    content = (BAD | BAD_NETWORK)[name][1]
    path = folder / "bad.safetensors"
    path.write_bytes(content(Parts(good)))
    return path
