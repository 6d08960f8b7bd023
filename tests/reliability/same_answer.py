"""The same head as another file or on another grid: the prediction must not change.

Nothing here is random. Every variant is written to a file and read as a command does.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np
from helpers import dicom_files
from scipy import ndimage

import expert
from expert.errors import InputError
from expert.explanation import Explanation
from expert.imaging.brain import brain_mask
from expert.imaging.head_changes import reorder, to_grid
from expert.imaging.registration import register
from expert.imaging.volume import Volume, read_volume, write_volume
from expert.model_file import Model

SPACINGS = (0.7, 1.0, 1.5, 2.0, 3.0)
THICKNESSES = (5.0, 6.0)
RIMS = (0.0, 2.0)
"""Part of the brain that a brain extraction has removed, mm from its surface."""


@dataclass(frozen=True)
class Variant:
    """One head as another input."""

    kind: str
    name: str
    prediction: float | None
    """None: refused."""
    difference: float
    """From the prediction of the head itself, label units."""
    mirrored: bool
    """Whether left and right were exchanged, by the head's registered image."""
    flagged: bool


def variants(head: Volume, folder: Path) -> Iterator[tuple[str, str, Path]]:
    """Kind, name and file of every variant of a head."""
    head = head.canonical()
    whole = np.asarray(head.data, np.float32)

    def nifti(volume: Volume, name: str) -> Path:
        path = folder / f"{name}.nii.gz"
        write_volume(volume, path)
        return path

    for axes in itertools.permutations(range(3)):
        for flips in itertools.product((False, True), repeat=3):
            turn = reorder(replace(head, data=whole), axes, flips)
            path = folder / "axes.nii"
            nib.save(nib.Nifti1Image(turn.data, turn.affine), path)
            yield "axis order", "".join(nib.aff2axcodes(turn.affine)), path
    integers = np.round(whole / whole.max() * 2000).astype(np.int16)
    stored = {
        "int16": integers,
        "uint8": np.round(whole / whole.max() * 255).astype(np.uint8),
        "float32": whole,
        "float64": whole.astype(float),
    }
    for name, data in stored.items():
        path = folder / f"{name}.nii.gz"
        nib.save(nib.Nifti1Image(data, head.affine), path)
        yield "data type", name, path
    for slope, intercept in ((0.01, 0.0), (37.5, 0.0), (2.0, -500.0)):
        image = nib.Nifti1Image(integers, head.affine)
        image.header.set_slope_inter(slope, intercept)
        path = folder / "scaled.nii.gz"
        nib.save(image, path)
        yield "scale factor", f"{slope:g} x {intercept:+g}", path
    for name, kind in (("NIfTI-1", nib.Nifti1Image), ("NIfTI-2", nib.Nifti2Image)):
        path = folder / f"{name}.nii"
        nib.save(kind(integers, head.affine), path)
        yield "format", name, path
    nib.save(nib.MGHImage(integers.astype(np.int32), head.affine), folder / "head.mgz")
    yield "format", "MGZ", folder / "head.mgz"
    yield "format", "NRRD", nrrd(replace(head, data=integers), folder / "head.nrrd")
    yield (
        "format",
        "DICOM series",
        dicom_files.write(folder / "dicom", dicom_files.series(integers, head.affine)),
    )
    for axis, name in enumerate(("left and right", "front and back", "below")):
        crop = [slice(None)] * 3
        many = round(10 / head.spacing[axis])
        crop[axis] = slice(many, None if axis == 2 else -many)
        yield "cropped by 1 cm", name, nifti(part_of(head, crop), "crop")
    for axis, name in enumerate(("left", "back", "down")):
        pads = [(0, 0)] * 3
        pads[axis] = (round(30 / head.spacing[axis]), 0)
        moved = np.pad(whole, pads)
        yield "moved by 3 cm in the grid", name, nifti(replace(head, data=moved), "moved")
        affine = head.affine.copy()
        affine[axis, 3] += 30
        yield "moved by 3 cm in the header", name, nifti(replace(head, affine=affine), "header")
    for axis, name in enumerate(("pitch", "roll", "yaw")):
        yield "turned by 10° in the grid", name, nifti(turned(head, axis, 10.0), "turned")
        affine = np.eye(4)
        affine[:3, :3] = rotation(axis, 10.0)
        affine = affine @ head.affine
        yield "turned by 10° in the header", name, nifti(replace(head, affine=affine), "oblique")
    for spacing in SPACINGS:
        yield f"voxel size {spacing:g} mm", "", nifti(to_grid(head, (spacing,) * 3), "grid")
    for thickness in THICKNESSES:
        for axis, name in enumerate(("sagittal", "coronal", "axial")):
            grid = [1.0] * 3
            grid[axis] = thickness
            thick = to_grid(head, grid)
            yield f"slices of {thickness:g} mm", name, nifti(thick, "slices")
    brain = brain_mask(head, register(head))
    for rim in RIMS:
        mask = brain
        if rim:
            mask = ndimage.distance_transform_edt(brain, sampling=head.spacing) > rim
        extracted = replace(head, data=np.where(mask, whole, 0))
        yield (
            "brain extracted" + (f", {rim:g} mm too tight" if rim else ""),
            "",
            nifti(extracted, "brain"),
        )


def nrrd(volume: Volume, path: Path) -> Path:
    """Write a volume by SimpleITK, whose world is LPS."""
    import SimpleITK as sitk

    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.affine
    image = sitk.GetImageFromArray(np.ascontiguousarray(volume.data.T))
    image.SetSpacing(volume.spacing)
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection((affine[:3, :3] / volume.spacing).ravel().tolist())
    sitk.WriteImage(image, str(path))
    return path


def part_of(head: Volume, crop: list[slice]) -> Volume:
    start = np.array([one.start or 0 for one in crop])
    affine = head.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ start
    return replace(head, data=np.asarray(head.data)[tuple(crop)], affine=affine)


def rotation(axis: int, degrees: float) -> np.ndarray:
    """(3, 3) rotation about an axis."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    others = [n for n in range(3) if n != axis]
    matrix = np.eye(3)
    matrix[np.ix_(others, others)] = [[cos, -sin], [sin, cos]]
    return matrix


def turned(head: Volume, axis: int, degrees: float) -> Volume:
    """The head itself turned about its centre, with an unchanged header: as in the scanner."""
    step = np.diag(head.spacing)
    matrix = np.linalg.inv(step) @ rotation(axis, degrees) @ step
    center = (np.array(head.data.shape) - 1) / 2
    data = ndimage.affine_transform(
        np.asarray(head.data, np.float32), matrix, center - matrix @ center, order=3
    )
    return replace(head, data=np.clip(data, 0, None))


def registered(explanation: Explanation) -> np.ndarray:
    """The registered head, left and right along the last axis."""
    return np.stack([view.image for view in explanation.views]).astype(float)


def measure(model: Model, head: Volume, given: Iterable[tuple[str, str, Path]]) -> list[Variant]:
    """Predictions of variants of a head, against that of the head."""
    original = expert.explain(model, head)
    image = registered(original)
    found = []
    for kind, name, path in given:
        try:
            volume = read_volume(path)
            explanation = expert.explain(model, volume)
        except InputError:
            found.append(Variant(kind, name, None, np.nan, False, False))
            continue
        same, mirror = (
            np.corrcoef(registered(explanation).ravel(), one.ravel())[0, 1]
            for one in (image, np.flip(image, -1))
        )
        found.append(
            Variant(
                kind,
                name,
                explanation.prediction,
                explanation.prediction - original.prediction,
                bool(mirror > same),
                any(notice.severity != "note" for notice in explanation.warnings),
            )
        )
    return found
