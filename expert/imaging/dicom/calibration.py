"""The pixel size of a single DICOM image, wherever it stands."""

from __future__ import annotations

from typing import Any

import numpy as np

from expert.imaging.dicom.headers import Frame, numbers

CENTIMETRES = 3
"""Code of the unit of an ultrasound region."""
TISSUE = 1
"""Code of an ultrasound region with a 2D image."""
APART = 0.02
"""Pixel sizes that differ by more contradict each other."""


def pixel_size(frame: Frame) -> tuple[tuple[float, float] | None, list[str], list[str]]:
    """Find the pixel size of an image.

    Parameters
    ----------
    frame : Frame

    Returns
    -------
    steps : tuple of float or None
        mm between rows and between columns; None where it is not stated.
    assumed : list of str
        Where it was read, if that is not the usual place.
    doubts : list of str
    """
    header = frame.file.header
    regions = _regions(header)
    region = regions[0] if regions else None
    doubts = []
    if region is not None and any(_differ(region, other) for other in regions[1:]):
        doubts.append(
            "The ultrasound image has regions with different pixel sizes: that of the largest one "
            f"was used ({_text(region)})."
        )
    if frame.spacing is not None:
        if region is not None and _differ(frame.spacing, region):
            doubts.append(
                f"The file states two pixel sizes: {_text(region)} for the ultrasound region "
                f"(used) and {_text(frame.spacing)} for the image."
            )
            return region, [], doubts
        return frame.spacing, [], []
    if region is not None:
        said = f"The pixel size of {_text(region)} was read from the calibrated ultrasound region."
        return region, [said], doubts
    for keyword, where in (
        ("NominalScannedPixelSpacing", "scanned film"),
        ("ImagerPixelSpacing", "detector: the body is smaller by the magnification"),
    ):
        value = numbers(header, keyword, 2)
        if value is not None and (value > 0).all():
            steps = (float(value[0]), float(value[1]))
            return steps, [], [f"The pixel size of {_text(steps)} is that of the {where}."]
    return None, [], []


def _regions(header: Any) -> list[tuple[float, float]]:
    """Pixel sizes of the calibrated 2D regions, that of the largest region first."""
    found = []
    for region in header.get("SequenceOfUltrasoundRegions") or []:
        units = [region.get(f"PhysicalUnits{axis}Direction") for axis in "XY"]
        deltas = [numbers(region, f"PhysicalDelta{axis}", 1) for axis in "YX"]
        if units != [CENTIMETRES, CENTIMETRES] or region.get("RegionSpatialFormat") != TISSUE:
            continue
        if any(delta is None or delta[0] == 0 for delta in deltas):
            continue
        corners = [
            float(region.get(f"RegionLocation{name}") or 0)
            for name in ("MinX0", "MaxX1", "MinY0", "MaxY1")
        ]
        area = abs((corners[1] - corners[0]) * (corners[3] - corners[2]))
        y, x = (10 * abs(float(delta[0])) for delta in deltas if delta is not None)
        found.append((area, (y, x)))
    return [steps for _, steps in sorted(found, key=lambda one: -one[0])]


def _differ(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return not np.allclose(one, other, rtol=APART)


def _text(steps: tuple[float, float]) -> str:
    return " × ".join(dict.fromkeys(f"{step:.3g}" for step in steps)) + " mm"
