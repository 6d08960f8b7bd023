"""Read NIfTI, Analyze and FreeSurfer volumes with nibabel."""

from __future__ import annotations

import gzip
import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np

from expert.errors import InputError
from expert.imaging.formats.recognition import GZIP, IMG, PAIR, beginning, beside
from expert.imaging.formats.stored import StoredImage, check_size

Space = Literal["ras", "image", "unknown"]
CHUNK = 1 << 20
CIFTI = 3000
"""First of the intent codes of CIFTI."""
APART_MM = 2.0
"""Two places of a voxel that are this far apart are different."""
BODY_MM = (20.0, 1000.0)
"""Length of the longest axis of a scan."""
VOXEL_MM = (0.5, 10.0)
UNITS = {1: ("metres", 1e3), 3: ("micrometres", 1e-3)}
"""Codes of the header's units of length other than mm: name, and mm."""


def read_nifti(source: Path) -> StoredImage:
    """Read a NIfTI file, a NIfTI pair or an Analyze pair.

    Parameters
    ----------
    source : pathlib.Path

    Returns
    -------
    StoredImage

    Raises
    ------
    InputError
        It is no grey volume, or its header is damaged.
    """
    import nibabel as nib

    with _opened(source) as image:
        stated = _stated(source)
        if not isinstance(image, nib.Nifti1Pair):
            return _analyze(image, stated, source.name)
        return _nifti(image, stated, source.name)


def read_mgh(source: Path) -> StoredImage:
    """Read a FreeSurfer volume.

    Parameters
    ----------
    source : pathlib.Path

    Returns
    -------
    StoredImage

    Raises
    ------
    InputError
        It is not a single volume, or its header is damaged.
    """
    import nibabel as nib

    with _opened(source, nib.MGHImage) as image:
        _check_single(image.shape, source.name)
        data = _values(image, source.name).reshape(image.shape[:3])
        # nibabel replaces a missing place by a default one; the flag is at byte 28.
        oriented = int.from_bytes(beginning(source)[28:30], "big") == 1
        affine = np.asarray(image.affine, dtype=float)
        return StoredImage(data, affine, "FreeSurfer", "ras" if oriented else "unknown", oriented)


@contextmanager
def _opened(source: Path, kind: Any = None) -> Iterator[Any]:
    """The image with its voxels still in the file, which may be compressed whatever its name."""
    import nibabel as nib
    from nibabel.spatialimages import HeaderDataError

    name = source.name
    with ExitStack() as stack:
        # What is wrong with a header is reported here.
        logging.getLogger("nibabel.global").setLevel(logging.CRITICAL)
        try:
            if source.name.lower().endswith(PAIR):
                if beside(source) is None:
                    raise InputError(f"{name} has no image file beside it: copy the .img file.")
                image: Any = nib.load(source)
            else:
                file = stack.enter_context(source.open("rb"))
                packed = file.read(2) == GZIP
                file.seek(0)
                stream: Any = stack.enter_context(gzip.open(file)) if packed else file
                if kind is None:
                    start = stream.read(4)
                    stream.seek(0)
                    second = start in [(540).to_bytes(4, order) for order in ("little", "big")]
                    kind = nib.Nifti2Image if second else nib.Nifti1Image
                image = kind.from_file_map({"image": nib.FileHolder(fileobj=stream)})
        except HeaderDataError as error:
            raise InputError(f"{name} could not be read: its header is damaged.") from error
        if CIFTI <= int(image.header.get("intent_code", 0)) < CIFTI + 100:
            raise InputError(
                f"{name} is a CIFTI file: it contains values of surface points, not an image."
            )
        check_size(image.shape, name)
        yield image
        if not source.name.lower().endswith(PAIR):
            _check_rest(stream, image, name)


def _check_rest(stream: Any, image: Any, name: str) -> None:
    """Refuse a file whose checksum is wrong, or in which the header leaves out most voxels."""
    size = int(np.prod(image.shape)) * image.get_data_dtype().itemsize
    rest = 0
    try:
        stream.seek(image.dataobj.offset + size)
        while rest < size and (chunk := stream.read(min(CHUNK, size - rest))):
            rest += len(chunk)
    except gzip.BadGzipFile as error:
        if "CRC" in str(error) or "length" in str(error):
            raise InputError(f"{name} is damaged: its checksum is wrong. Copy it again.") from error
    except EOFError as error:
        raise InputError(f"{name} is incomplete: copy or download it again.") from error
    if rest >= size:
        raise InputError(
            f"{name} contains at least twice as many bytes as its header states: its header is "
            "damaged."
        )


def _stated(source: Path) -> Any:
    """The header as it is in the file: nibabel replaces impossible voxel sizes and scales."""
    import nibabel as nib

    header = beside(source) if source.name.lower().endswith(IMG) else None
    start = beginning(header or source)
    second = start[:4] in ((540).to_bytes(4, "little"), (540).to_bytes(4, "big"))
    kind, length = (nib.Nifti2Header, 540) if second else (nib.Nifti1Header, 348)
    return kind(start[:length], check=False)


def _check_single(shape: tuple[int, ...], name: str) -> None:
    if any(n != 1 for n in shape[3:]):
        raise InputError(
            f"{name} contains {int(np.prod(shape[3:]))} volumes ({'×'.join(map(str, shape))}): "
            "save one of them as a file."
        )


def _nifti(image: Any, stated: Any, name: str) -> StoredImage:
    shape = tuple(int(n) for n in image.shape)
    leading = 0
    while len(shape) - leading > 3 and shape[leading] == 1 and sum(n > 1 for n in shape) > 2:
        leading += 1
    _check_single(shape[leading:], name)
    slope, intercept = float(stated["scl_slope"]), float(stated["scl_inter"])
    if np.isinf(slope) or (np.isinf(intercept) and slope != 0):
        raise InputError(f"{name} has an infinite scale factor: its header is damaged.")
    if image.header["magic"].item() == b"n+1" and 0 <= stated["vox_offset"] < 348:
        raise InputError(f"{name} states that its voxels begin in its header: it is damaged.")
    affine, space, known, assumed, doubts = _place(image, stated, name)
    data = _values(image, name).reshape(shape[leading : leading + 3])
    if leading:
        assumed.append(
            f"The file's first axis has length 1 and was dropped ({'×'.join(map(str, shape))})."
        )
    kind = "NIfTI"
    if data.ndim == 3 and data.shape[2] == 1:
        zooms = np.linalg.norm(affine[:3, :2], axis=0)
        data, affine = data[:, :, 0], np.diag([*zooms, 1.0, 1.0])
        kind, space = "NIfTI, single slice", "image"
    return StoredImage(data, affine, kind, space, known, tuple(assumed), tuple(doubts))


def _analyze(image: Any, stated: Any, name: str) -> StoredImage:
    """Analyze states the voxel size, but not which side is left."""
    _check_single(image.shape, name)
    data = _values(image, name).reshape(image.shape[:3])
    zooms = np.abs(np.asarray(stated["pixdim"][1:4], dtype=float))
    known = bool(np.isfinite(zooms).all() and (zooms > 0).all())
    zooms = zooms if known else np.ones(3)
    if data.ndim == 3 and data.shape[2] == 1:
        return StoredImage(
            data[:, :, 0], np.diag([*zooms[:2], 1, 1]), "Analyze, single slice", "image", known
        )
    return StoredImage(data, np.diag([*zooms, 1.0]), "Analyze", "unknown", known)


def _values(image: Any, name: str) -> np.ndarray:
    """The voxels: integers as they are, others as float32, equal colours as grey values."""
    data = np.asarray(image.dataobj)
    if data.dtype.names is not None:  # colours
        channels = [data[c] for c in data.dtype.names[:3]]
        if not all(np.array_equal(channels[0], one) for one in channels[1:]):
            raise InputError(f"{name} contains colours: grey values are required.")
        return np.ascontiguousarray(channels[0])
    if data.dtype.kind == "c":
        raise InputError(f"{name} contains complex values: save the magnitude as a file.")
    if data.dtype.kind != "f":
        return data
    with np.errstate(over="ignore", invalid="ignore"):
        single = data.astype(np.float32)
    if np.isinf(single).any() and not np.isinf(data).any():
        raise InputError(f"{name} contains values above {np.finfo(np.float32).max:.0e}.")
    return single


def _place(
    image: Any, stated: Any, name: str
) -> tuple[np.ndarray, Space, bool, list[str], list[str]]:
    """Affine, space, whether the voxel size is known, and what was assumed and is doubtful."""
    header, affine = image.header, np.asarray(image.affine, dtype=float)
    zooms = np.asarray(stated["pixdim"][1:4], dtype=float)
    by_sform, by_qform = bool(header["sform_code"]), bool(header["qform_code"])
    valid = bool((zooms > 0).all())
    damaged = not np.isfinite(zooms).all() or (zooms < 0).any()
    if damaged or (not valid and by_qform and not by_sform):
        sizes = " × ".join(f"{zoom:g}" for zoom in zooms)
        raise InputError(f"{name} states a voxel size of {sizes} mm: its header is damaged.")
    if not valid and not by_sform:
        return np.eye(4), "unknown", False, [], []
    factor, assumed = _unit(header, affine, image.shape)
    doubts = []
    if by_sform and by_qform and valid:
        try:
            other = np.asarray(header.get_qform(), dtype=float)
        except Exception:  # nibabel raises several kinds
            other = affine
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in image.shape[:3]])).reshape(3, -1)
        moved = (affine - other)[:3, :3] @ corners + (affine - other)[:3, 3:]
        apart = factor * float(np.linalg.norm(moved, axis=0).max())
        if apart > APART_MM:
            mirrored = np.linalg.det(affine[:3, :3]) * np.linalg.det(other[:3, :3]) < 0
            turned = (
                "they disagree about left and right" if mirrored else f"by up to {apart:.0f} mm"
            )
            doubts.append(
                f"The header states two places for the image (sform and qform), which differ: "
                f"{turned}. The sform was used."
            )
    affine[:3] *= factor
    return affine, "ras" if by_sform or by_qform else "unknown", True, assumed, doubts


def _unit(header: Any, affine: np.ndarray, shape: tuple[int, ...]) -> tuple[float, list[str]]:
    """The header's unit of length in mm, and what was assumed.

    Many files state metres and mean mm: the unit is used only if the image has a possible size.
    """
    name, factor = UNITS.get(int(header["xyzt_units"]) & 7, ("mm", 1.0))
    if factor == 1.0:
        return 1.0, []
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    extent = float((steps * np.array(shape[:3])).max())
    as_mm = VOXEL_MM[0] <= steps.min() and steps.max() <= VOXEL_MM[1]
    if as_mm or not BODY_MM[0] <= factor * extent <= BODY_MM[1]:
        return 1.0, [f"The header states {name}, but the voxel size is in mm: mm were assumed."]
    return factor, [f"The header states the voxel size in {name}."]
