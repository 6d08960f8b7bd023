"""What is fuzzed: for each kind of file, good examples, random changes, and the code that reads it.

An outcome is "read" or the class of an `expert.errors.ExpertError`. Any other exception is a
failure.
"""

from __future__ import annotations

import contextlib
import io
import json
import struct
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from fuzzing import mutations

from expert.errors import ExpertError
from expert.untrusted.text import UNSAFE

BROKEN = (ArithmeticError, ValueError, LookupError, TypeError, AttributeError)
"""A file that was changed before may be too damaged to be changed as a structure."""


@dataclass(frozen=True)
class Target:
    """One kind of file."""

    file: str
    """Name of the input in the folder."""
    seeds: Callable[[], list[bytes]]
    """Good files."""
    change: Callable[[bytes, Random], bytes]
    """Structure-aware changes; the result may be anything."""
    read: Callable[[Path], object]

    def run(self, data: bytes, folder: Path) -> str:
        """Read an input; the outcome in a few words."""
        path = folder / self.file
        path.write_bytes(data)
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            try:
                self.read(path)
            except ExpertError as error:
                text = str(error)
                if not text or len(text) > 2100 or UNSAFE.search(text):
                    raise AssertionError(f"not one clear sentence: {text!r}") from error
                return type(error).__name__
        return "read"


# --- model files ----------------------------------------------------------------------------------
def _model_seeds() -> list[bytes]:
    from helpers.bad_models import small_model

    with tempfile.TemporaryDirectory() as folder:
        return [small_model(Path(folder)).read_bytes()]


def _change_model(data: bytes, random: Random) -> bytes:
    from helpers.bad_models import Parts
    from safetensors import SafetensorError

    kind = random.randrange(4)
    if kind == 0:
        return mutations.changed_bytes(data, random)
    try:
        parts = Parts.of(data)
        if kind == 1:  # in the header alone: lengths, offsets, types
            header = {"__metadata__": parts.metadata, **parts.header}
            text = mutations.as_json(mutations.changed_json(header, random), random)
            return parts.raw_header(text.encode("utf-8", "replace"))
        if kind == 2:
            changed = mutations.changed_json(parts.document, random)
            return parts.signed(document=mutations.as_json(changed, random))
        name = random.choice(sorted(parts.tensors))
        if random.randrange(5) == 0:
            return parts.with_tensor(random.choice((name, "x")), None)
        return parts.with_tensor(name, mutations.changed_array(parts.tensors[name], random))
    except (*BROKEN, struct.error, SafetensorError):
        return mutations.changed_bytes(data, random)


def _read_model(path: Path) -> object:
    from expert.datasets.average_images import averages
    from expert.datasets.prototype_images import find_reference
    from expert.model_file import load_model

    model = load_model(path)
    averages(model)
    for one in model.info.prototypes[:3]:
        if one.reference is not None:
            find_reference(one.reference, [path.parent])
    return model.info.model_dump_json()


# --- explanations ---------------------------------------------------------------------------------
def _explanation_seeds() -> list[bytes]:
    from helpers.bad_models import small_model, square

    import expert

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = expert.load_model(small_model(folder))
        volume = expert.read_volume(square(folder), pixel_size_mm=1.0)
        return [expert.explain(model, volume, top=2).model_dump_json().encode()]


def _change_explanation(data: bytes, random: Random) -> bytes:
    from helpers.bad_explanations import packed

    if random.randrange(4) == 0:
        return mutations.changed_bytes(data, random)
    try:
        document = json.loads(data)
        if random.randrange(2):
            document = mutations.changed_json(document, random)
        else:
            holder = random.choice(
                [document, *document["views"], *document["prototypes"]]
                + [view for match in document["prototypes"] for view in match["views"]]
            )
            arrays = [k for k, v in holder.items() if isinstance(v, dict) and "zlib_base64" in v]
            name, kinds = random.choice(sorted(arrays)), ("f2", "f4", "f8", "u1", "i4", "?")
            shape = [random.choice((0, 1, 3, 16, 32)) for _ in range(random.randrange(4))]
            holder[name] = packed(np.ones(shape, random.choice(kinds)))
        return mutations.as_json(document, random).encode("utf-8", "replace")
    except (*BROKEN, RecursionError):
        return mutations.changed_bytes(data, random)


def _read_explanation(path: Path) -> object:
    from expert.evidence.patch_evidence import Evidence
    from expert.evidence.wording import summary
    from expert.explanation import Explanation
    from expert.patches import chosen_patches, middle_plane, planes

    found = Explanation.load(path)
    plane = planes(found)[middle_plane(found)]
    chosen_patches(found, plane, "contribution")
    texts = found.prediction_text, found.interval_missing, found.forced_text, found.patch_box(0)
    return texts, summary(Evidence.of(found)), found.model_dump_json()


# --- recipes --------------------------------------------------------------------------------------
def _recipe_seeds() -> list[bytes]:
    from helpers.recipes import PLANES, TINY, TISSUE, VOLUMES

    texts = [TINY, VOLUMES, TISSUE, PLANES]
    return [text.encode() for text in texts]


def _change_recipe(data: bytes, random: Random) -> bytes:
    import yaml

    if random.randrange(3) == 0:
        return mutations.changed_bytes(data, random)
    try:
        document = mutations.changed_json(yaml.safe_load(data), random)
        if random.randrange(2):
            return yaml.safe_dump(document).encode("utf-8", "replace")
        return json.dumps(document).encode()
    except (yaml.YAMLError, *BROKEN, RecursionError):
        return mutations.changed_bytes(data, random)


def _read_recipe(path: Path) -> object:
    from expert.training.recipe import read_recipe

    recipe = read_recipe(path)
    return recipe.settings, recipe.grid, recipe.member


# --- DICOM ----------------------------------------------------------------------------------------
def _dicom_seeds() -> list[bytes]:
    from helpers.dicom_files import enhanced, region, series, ultrasound
    from pydicom.sequence import Sequence

    data = np.random.default_rng(0).integers(0, 900, (6, 5, 4)).astype(np.int16)
    slices = series(data, np.diag([2.0, 1.5, 3.0, 1.0]))
    regions = ultrasound(SequenceOfUltrasoundRegions=Sequence([region()]))
    regions.Rows, regions.Columns, regions.PixelData = 6, 8, regions.PixelData[:48]
    out = []
    for one in (slices[0], enhanced(slices), regions):
        stream = io.BytesIO()
        one.save_as(stream, enforce_file_format=True)
        out.append(stream.getvalue())
    return out


def _elements(data: bytes) -> list[tuple[int, int, int]]:
    """Start, start of the value, and end of each element (explicit VR, little endian)."""
    out, place = [], 132
    while place + 8 <= len(data):
        kind = data[place + 4 : place + 6]
        if kind in (b"OB", b"OW", b"SQ", b"UN", b"UT", b"OF", b"OD", b"UC", b"UR"):
            start, (size,) = (
                place + 12,
                struct.unpack_from("<I", data.ljust(place + 12, b"\0"), place + 8),
            )
        else:
            start, (size,) = place + 8, struct.unpack_from("<H", data, place + 6)
        end = start + (0 if size == 0xFFFFFFFF else size)
        if end > len(data):
            break
        out.append((place, start, end))
        place = end
    return out


VALUES = (b"", b"0 ", b"-1", b"1E999 ", b"NaN ", b"1\\2 ", b"1\\2\\3\\4\\5\\6 ", b"99999999999999",
          b"0\\0\\0 ", b"\\\\\\ ", b"\0\0", b"\xff\xff", b"\xff\xff\xff\xff", b"\x1b[31m",
          b"A" * 3000, b"../../../etc/passwd ", b"1.2.840.10008.1.3.10", b"1.2.840.10008.1.2.1.99",
          b"1.2.840.10008.1.2.4.50", b"19990101", b"YBR_FULL", b"PALETTE COLOR ")  # fmt: skip


def _change_dicom(data: bytes, random: Random) -> bytes:
    found = _elements(data)
    if random.randrange(4) == 0 or not found:
        return mutations.changed_bytes(data, random)
    out = data
    for _ in range(random.choice((1, 1, 2, 3))):
        place, start, end = random.choice(_elements(out) or [(0, 0, 0)])
        kind = random.randrange(5)
        if kind == 0:
            out = out[:place] + out[end:]
        elif kind == 1:
            out = out[:end] + out[place:end] + out[end:]
        elif kind == 2:
            vr = random.choice((b"US", b"DS", b"SQ", b"UN", b"LO", b"FD", b"IS", b"AT", b"OW"))
            out = out[: place + 4] + vr + out[place + 6 :]
        else:
            value = random.choice(VALUES)
            size = len(value)
            if start - place == 8:
                out = out[: place + 6] + struct.pack("<H", size) + value + out[end:]
            else:
                out = out[: place + 8] + struct.pack("<I", size) + value + out[end:]
    return out


def _read_dicom(path: Path) -> object:
    from expert.imaging.dicom.series import list_series
    from expert.imaging.volume import read_volume

    for one in list_series(path):
        assert one.text.isprintable()
    return read_volume(path).fingerprint()


# --- NIfTI ----------------------------------------------------------------------------------------
def _nifti_seeds() -> list[bytes]:
    from helpers.bad_files import GOOD, nifti

    return [nifti(GOOD[:6, :5, :4]), nifti(GOOD[:6, :5, :4].astype(np.float32))]


def _change_nifti(data: bytes, random: Random) -> bytes:
    """Numbers of the header, which are 2 or 4 bytes long."""
    if random.randrange(5) == 0:
        return mutations.changed_bytes(data, random)
    out = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 3))):
        form = random.choice(("<h", "<i", "<f"))
        values = (0, 1, -1, 2, 3, 5, 7, 255, 32767, -32768)
        if form == "<f":
            values += (1e-38, 1e38, -1e38, float("nan"), float("inf"), 0.5)
        if len(out) >= 352:
            place = random.randrange(0, 88) * 4 + random.choice((0, 2))
            struct.pack_into(form, out, min(place, 348), random.choice(values))
    return bytes(out)


def _read_nifti(path: Path) -> object:
    from expert.imaging.volume import read_volume

    return read_volume(path).fingerprint()


TARGETS = {
    "model": Target("input.safetensors", _model_seeds, _change_model, _read_model),
    "explanation": Target("input.json", _explanation_seeds, _change_explanation, _read_explanation),
    "recipe": Target("input.yaml", _recipe_seeds, _change_recipe, _read_recipe),
    "dicom": Target("input.dcm", _dicom_seeds, _change_dicom, _read_dicom),
    "nifti": Target("input.nii", _nifti_seeds, _change_nifti, _read_nifti),
}
