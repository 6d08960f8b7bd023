"""The brain of a registered volume: mask, missing fraction, range of grey values."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from expert.errors import InputError
from expert.imaging.brain_finding import FoundBrain
from expert.imaging.registration import Registration
from expert.imaging.resampling import resample_to_subject
from expert.imaging.template import load_template
from expert.imaging.volume import Volume

SURFACE_SAMPLE = 20_000
"""Voxels of a surface that are looked at."""
EXTRACTED = 0.95
"""Fraction of the surface that lies in the brain, from which on the brain has been extracted."""


def brain_mask(volume: Volume, registration: Registration) -> np.ndarray:
    """The template's brain mask on the volume's own grid.

    Parameters
    ----------
    volume : Volume
    registration : Registration
        Of this volume.

    Returns
    -------
    bool ndarray
        Of the volume's shape.
    """
    template = load_template("mask")
    soft = ndimage.gaussian_filter(template.data.astype(np.float32), 1.0)
    return np.asarray(resample_to_subject(soft, template.affine, registration, volume) > 0.2)


def missing_brain(found: FoundBrain, registration: Registration) -> float:
    """Fraction of the template's brain where the head shows no brain.

    Half a head can be registered well, and its planes can look normal: neither the registration nor
    the out-of-distribution indicators detect it.

    Parameters
    ----------
    found : FoundBrain
        The brain in the head.
    registration : Registration
        Of this head.

    Returns
    -------
    float
        0 to 1, as a fraction of the template's brain without its outer 4 mm.
    """
    template = load_template("mask")
    inside = ndimage.binary_erosion(template.data > 0.5, iterations=2)[::2, ::2, ::2]
    affine = template.affine @ np.diag([2.0, 2.0, 2.0, 1.0])
    to_index = np.linalg.inv(found.affine) @ registration.template_to_subject @ affine
    there = ndimage.affine_transform(
        found.brain, to_index[:3, :3], to_index[:3, 3], inside.shape, order=1
    )
    return float((there[inside] < 0.5).mean())


def exposed_tissue(volume: Volume, found: FoundBrain, fluid_limit: float) -> float:
    """Fraction of an extracted brain's surface that is grey or white matter.

    An extraction that keeps the fluid around the brain has at most 0.15; one that cuts 2 mm too
    deep has more than 0.3. The voxels around the brain must have the lowest grey value.

    Parameters
    ----------
    volume : Volume
        A head or an extracted brain.
    found : FoundBrain
        The brain in this volume.
    fluid_limit : float
        Brighter voxels are grey or white matter; above the volume's lowest grey value.

    Returns
    -------
    float
        0 to 1; 0 for a whole head.
    """
    places = brain_surface(volume, found)
    if not places.size:
        return 0.0
    data = np.asarray(volume.data)
    return float((data[tuple(places)] - data.min() > fluid_limit).mean())


def brain_surface(volume: Volume, found: FoundBrain, least: float = EXTRACTED) -> np.ndarray:
    """Voxels at the surface of an extracted brain.

    Parameters
    ----------
    volume : Volume
        A head or an extracted brain.
    found : FoundBrain
        The brain in this volume.
    least : float
        Fraction of the surface that lies in the brain, from which on the brain has been extracted.

    Returns
    -------
    (3, N) ndarray
        Indices of at most about 20 000 voxels beside voxels of the lowest grey value; none for a
        whole head, whose surface is not the brain's.
    """
    data = np.asarray(volume.data)
    outside = data <= data.min()
    surface = np.zeros_like(outside)
    for axis in range(3):
        after, before = np.moveaxis(surface, axis, 0), np.moveaxis(outside, axis, 0)
        after[1:] |= before[:-1]
        after[:-1] |= before[1:]
    places = np.argwhere(surface & ~outside)
    places = places[:: 1 + len(places) // SURFACE_SAMPLE].T
    if not places.size:
        return places
    matrix = np.linalg.inv(found.affine) @ volume.affine
    share = ndimage.map_coordinates(found.brain, matrix[:3, :3] @ places + matrix[:3, 3:], order=1)
    return places if (share > 0.2).mean() >= least else places[:, :0]


def intensity_range(volume: Volume, registration: Registration) -> tuple[float, float]:
    """Grey values that become 0 and 1: robust percentiles inside the brain.

    Parameters
    ----------
    volume : Volume
    registration : Registration
        Of this volume.

    Returns
    -------
    low, high : float
        With low < high.

    Raises
    ------
    InputError
        The brain lies outside the volume, or its grey values are constant.
    """
    inside = volume.data[brain_mask(volume, registration)]
    if inside.size < 100:
        raise InputError(
            "No brain was found in this volume: a T1-weighted image of the whole head is required."
        )
    low, high = (float(v) for v in np.percentile(inside, [0.5, 99.5]))
    if not high > low:
        raise InputError(
            "The grey values in the brain of this volume are constant: a T1-weighted image is "
            "required."
        )
    return low, high
