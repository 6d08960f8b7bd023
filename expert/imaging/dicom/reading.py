"""Read a DICOM series as an image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from expert.errors import InputError
from expert.imaging.dicom.calibration import pixel_size
from expert.imaging.dicom.completeness import refuse_incomplete, signs_of_missing, slice_number
from expert.imaging.dicom.finding import Found, dicom_files
from expert.imaging.dicom.headers import film_length, image_type
from expert.imaging.dicom.pixels import grey_values
from expert.imaging.dicom.series import Series, choose, entries_of
from expert.imaging.dicom.stacks import FEW, Stack
from expert.imaging.formats.stored import StoredImage, check_size

KIND = "DICOM series"
TILTED = 1.0
"""Degrees above which sheared slices are said to be."""


def read_dicom(source: Path, series: int | str | None = None) -> StoredImage:
    """Read the DICOM series of an input.

    Parameters
    ----------
    source : pathlib.Path
        As in `list_series`.
    series : int or str, optional
        Number or UID of the series; without it, the only whole volume is read.

    Returns
    -------
    StoredImage

    Raises
    ------
    SeriesChoiceError
        There are several series to choose from.
    InputError
        There is none, slices are missing, or a file is damaged.
    """
    with dicom_files(source) as found:
        entries = entries_of(found)
        chosen, stack = choose(entries, found, series)
        _check_files(found, stack)
        if len(stack.frames) == 1:
            image = _single(stack, found.name)
        else:
            own = [other for one, other in entries if one.uid == chosen.uid]
            alone = sum(len(other.frames) >= FEW for other in own) < 2
            image = _volume(stack, found.name, alone)
    assumed = _chosen_text(chosen, stack, len(entries))
    if found.absent:
        absent = f"Files that the DICOMDIR lists are not in its folder: {found.absent}."
        image = replace(image, doubts=(*image.doubts, absent))
    return replace(image, assumed=(*assumed, *image.assumed))


def _chosen_text(chosen: Series, stack: Stack, among: int) -> list[str]:
    """What was chosen and left out, without texts of the file."""
    said = []
    if among > 1:
        said.append(
            f"DICOM series {chosen.number} was read, one of {among}"
            + (f": {len(stack.frames)} slices." if len(stack.frames) > 1 else ".")
        )
    if stack.copies:
        said.append(f"Copies of slices were left out: {stack.copies}.")
    return said


def _check_files(found: Found, stack: Stack) -> None:
    """Refuse a series with a damaged file, and a film."""
    uid = stack.first.file.text("SeriesInstanceUID")
    folders = {frame.file.path.parent for frame in stack.frames}
    whole = {file.text("SeriesInstanceUID") for file in found.files}
    for file in found.damaged:
        own = file.text("SeriesInstanceUID")
        if own == uid or (own not in whole and file.path.parent in folders):
            raise InputError(f"{file.name} {file.damage}: copy the series again.")
    frames = film_length(stack.first)
    if frames > 1:
        raise InputError(
            f"{stack.first.file.name} contains {frames} images without positions: save one of them "
            "as a file."
        )
    if "MOSAIC" in image_type(stack.first.file.header):
        raise InputError(f"{stack.first.file.name} is a mosaic of many slices, not a volume.")


def _single(stack: Stack, name: str) -> StoredImage:
    """A 2D image."""
    frame = stack.first
    check_size(frame.shape, name)
    steps, assumed, doubts = pixel_size(frame)
    rows, columns = steps or (1.0, 1.0)
    return StoredImage(
        grey_values([frame])[0],
        np.diag([rows, columns, 1.0, 1.0]),
        KIND,
        "image",
        steps is not None,
        tuple(assumed),
        tuple(doubts),
    )


def _volume(stack: Stack, name: str, alone: bool) -> StoredImage:
    """A volume, with a single missing slice interpolated."""
    geometry = stack.geometry
    rows, columns = stack.first.shape
    refuse_incomplete(stack, name, alone)
    check_size((columns, rows, geometry.count), name)
    slices = grey_values([stack.frames[n] for n in geometry.order])
    tilt = geometry.tilt
    doubts = signs_of_missing(stack) if alone else []
    for place in geometry.missing:
        both = slices[place - 1 : place + 1].astype(np.float64).mean(axis=0)
        both = np.rint(both) if slices.dtype.kind in "iu" else both
        slices = np.insert(slices, place, both.astype(slices.dtype), axis=0)
        doubts.append(
            f"Slice {slice_number(stack, place)} of {geometry.count} was missing and was "
            "interpolated between its neighbours."
        )
    if tilt > TILTED:
        doubts.append(
            f"The slices are shifted against each other, by a tilt of {tilt:.0f}°: their stated "
            "positions were used."
        )
    assumed = []
    if not geometry.oriented:
        assumed.append(
            "The DICOM files state no position: their slices are in the order of their numbers."
        )
    return StoredImage(
        slices.T,
        geometry.affine,
        KIND,
        "ras" if geometry.oriented else "unknown",
        geometry.step_known and stack.first.spacing is not None,
        tuple(assumed),
        tuple(doubts),
    )
