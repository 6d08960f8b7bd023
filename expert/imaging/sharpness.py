"""Bring heads to one sharpness, which is measured in the head itself.

The voxel size says little about the sharpness of an image that was interpolated, filtered or moved.
Measured is how much of the squared slopes of the grey values inside the brain is left after a known
blur: much in a blurred image, little in a sharp one. This ratio hardly differs between people and
scanners, and does not depend on contrast.
"""

from __future__ import annotations

import functools

import numpy as np
from scipy import ndimage

from expert.imaging.conforming import add_blur
from expert.imaging.template import load_template
from expert.imaging.volume import Volume

TEST_MM2 = 8.0
"""Variance of the known blur, template mm squared."""
MOST_MM2 = 12.0
"""Most variance that is added to a head, template mm squared."""
DEPTH = 2
"""Voxels of 2 mm from the surface of the template's brain that are left out."""
DARK = 0.05
"""Voxels below this fraction of the median are outside the image or the extracted brain."""
LEAST_VOXELS = 1000
MARGIN = 3
"""Voxels around the template's brain."""


def sharpness(image: np.ndarray, where: np.ndarray) -> float:
    """Sum of the squared slopes of an image, divided by what a known blur leaves of it.

    Parameters
    ----------
    image : (a, b, c) ndarray
        A head on the grid of `brain_grid`.
    where : (a, b, c) bool ndarray
        The voxels that count.

    Returns
    -------
    float
        1 to about 10; larger for sharper images.
    """
    return _energy(image, where) / max(_energy(_blurred(image, TEST_MM2), where), 1e-12)


def missing_blur(image: np.ndarray, target: float) -> float:
    """The blur that brings a head to a sharpness.

    Parameters
    ----------
    image : (a, b, c) float32 ndarray
        Grey values of a head on the grid of `brain_grid`, at least 0.
    target : float
        See `sharpness`.

    Returns
    -------
    float
        Variance of a Gaussian, template mm squared; 0 if the head is no sharper than `target`, or
        if too little of the brain is in the image.
    """
    from scipy.optimize import brentq

    _, inner = brain_grid()
    bright = image > DARK * np.median(image[inner])
    where = inner & ndimage.binary_erosion(bright, iterations=DEPTH)
    if where.sum() < LEAST_VOXELS:
        return 0.0

    @functools.cache
    def excess(variance: float) -> float:
        return sharpness(_blurred(image, variance), where) - target

    if excess(0.0) <= 0:
        return 0.0
    if excess(MOST_MM2) >= 0:
        return MOST_MM2
    return float(brentq(excess, 0.0, MOST_MM2, xtol=0.01))


@functools.lru_cache(maxsize=1)
def brain_grid() -> tuple[np.ndarray, np.ndarray]:
    """Where a head is sampled to measure its sharpness.

    Returns
    -------
    affine : (4, 4) ndarray
        Index to template RAS mm, 2 mm per voxel.
    inner : (a, b, c) bool ndarray
        The voxels inside the template's brain.
    """
    template = load_template("mask")
    brain = template.data > 0
    places = np.argwhere(brain)
    low = np.maximum(places.min(axis=0) - MARGIN, 0)
    high = places.max(axis=0) + MARGIN + 1
    inner = ndimage.binary_erosion(brain, iterations=DEPTH)
    affine = template.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ low
    part = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    return affine, inner[part]


def _energy(image: np.ndarray, where: np.ndarray) -> float:
    return float(sum((part[where] ** 2).sum() for part in np.gradient(image)))


def _blurred(image: np.ndarray, variance_mm2: float) -> np.ndarray:
    return np.asarray(add_blur(Volume(image, brain_grid()[0]), variance_mm2).data)
