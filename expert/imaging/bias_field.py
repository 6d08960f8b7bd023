"""Bias field correction: white matter gets the same grey value everywhere, in every head.

The logarithm of the bias field (the slow change of brightness over the head) is modelled as a
second-order polynomial of the template coordinates. It is fitted to the voxels that are white
matter in the registered template, whose median then becomes 1. Fluid, grey and white matter have
fixed grey values afterwards. N4 is not used: it corrects the field, but does not set the grey value
of white matter, which needs the template anyway.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from expert.errors import InputError
from expert.imaging.registration import Registration
from expert.imaging.template import load_template
from expert.imaging.volume import Volume

ORDER = 2
UNIT_MM = 80.0
"""Template coordinates are divided by this, so that the terms of the polynomial are of similar
size."""
LIMIT = 0.7
"""Largest strength of the field (natural logarithm): outside the brain, where the polynomial is
extrapolated, it is clipped to this."""


@dataclass(frozen=True)
class BiasField:
    """Brightness of white matter at every place of the template."""

    zero: float
    """Grey value of no signal."""
    white: float
    """Median of the white matter above `zero`."""
    coefficients: np.ndarray
    """(10,) of the polynomial: natural logarithm of the brightness relative to `white`."""

    def apply(self, image: np.ndarray, affine: np.ndarray) -> np.ndarray:
        """Corrected grey values, with white matter at 1.

        Parameters
        ----------
        image : (a, b, c) ndarray
            Grey values of the volume on a grid in template space.
        affine : (4, 4) ndarray
            Index to template RAS mm.

        Returns
        -------
        (a, b, c) float32 ndarray
        """
        index = np.stack(
            np.meshgrid(*[np.arange(n, dtype=float) for n in image.shape], indexing="ij")
        )
        world = np.tensordot(affine[:3, :3], index, 1) + affine[:3, 3].reshape(3, 1, 1, 1)
        field = np.clip(np.tensordot(self.coefficients, _terms(world), 1), -LIMIT, LIMIT)
        return np.asarray((image - self.zero) / self.white / np.exp(field), dtype=np.float32)


def fit_bias_field(volume: Volume, registration: Registration) -> BiasField:
    """Estimate the bias field of a head.

    Parameters
    ----------
    volume : Volume
        Whole-head T1.
    registration : Registration
        Of this volume.

    Returns
    -------
    BiasField

    Raises
    ------
    InputError
        The template's white matter lies outside the volume, or the volume is constant there.
    """
    points = _white_points()
    matrix = np.linalg.inv(volume.affine) @ registration.template_to_subject
    index = matrix[:3, :3] @ points + matrix[:3, 3:]
    inside = ((index >= 0) & (index <= np.array(volume.shape)[:, None] - 1)).all(axis=0)
    if inside.mean() < 0.5:
        raise InputError(
            "No brain was found in this volume: a T1-weighted image of the whole head is required."
        )
    data = np.asarray(volume.data, dtype=np.float32)
    zero = min(0.0, float(data.min()))
    value = ndimage.map_coordinates(data, index[:, inside], order=1).astype(float) - zero
    white = float(np.median(value))
    if not white > 0 or float(np.ptp(value)) == 0:
        raise InputError(
            "The grey values in the brain of this volume are constant: a T1-weighted image is "
            "required."
        )
    terms = _terms(points[:, inside]).T
    log = np.log(np.maximum(value / white, 0.05))
    kept = np.abs(log) < 0.2
    for _ in range(4):
        # Robust fit: voxels that are not white matter in this head (lesions, sulci, large
        # ventricles) are left out, and the rest is fitted again.
        if kept.sum() < 5 * terms.shape[1]:
            return BiasField(zero, white, np.zeros(terms.shape[1]))
        coefficients = np.linalg.lstsq(terms[kept], log[kept], rcond=None)[0]
        rest = log - terms @ coefficients
        kept = np.abs(rest) < 2.5 * rest[kept].std() + 0.01
    return BiasField(zero, white, coefficients)


@functools.lru_cache(maxsize=1)
def _white_points() -> np.ndarray:
    """(3, N) template RAS mm, well inside the white matter."""
    template = load_template("wm")
    core = ndimage.binary_erosion(
        ndimage.gaussian_filter(np.asarray(template.data, np.float32) / 255, 0.5) > 0.9
    )
    index = np.argwhere(core)[::4].T
    return np.asarray(template.affine[:3, :3] @ index + template.affine[:3, 3:])


def _terms(world: np.ndarray) -> np.ndarray:
    """(10, ...) products of powers of template coordinates (3, ...), mm."""
    x, y, z = world / UNIT_MM
    powers = [
        (i, j, k)
        for i in range(ORDER + 1)
        for j in range(ORDER + 1 - i)
        for k in range(ORDER + 1 - i - j)
    ]
    return np.stack([x**i * y**j * z**k for i, j, k in powers])
