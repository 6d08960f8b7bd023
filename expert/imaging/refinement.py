"""Refine a registration by the head's tissue values.

`expert.imaging.registration.register` is within half a millimetre of its optimum, and finds another
place for each grid of the same head. Here the squared differences between the tissue values and
those of the average brain are minimised, by the inverse compositional Gauss-Newton method. Its
derivatives are of the average brain, so that each iteration only samples the head.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from scipy import ndimage

from expert.imaging.registration import distance_mm
from expert.imaging.template import AVERAGE, DATA
from expert.imaging.volume import read_volume

ITERATIONS = 6
"""The sixth moves the brain by less than 0.002 mm."""
SMOOTHING = 1.0
"""Standard deviation of the blur of the average brain, voxels of 2 mm."""
RADIUS_MM = 60.0
"""Scale of the columns of rotations and scales, next to those of shifts."""
FARTHEST_MM = 8.0
"""Mean movement of the brain above which the refinement failed."""

Sample = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From template mm (3, N) and a registration (4, 4) to tissue values (N,), 0 outside the brain."""


def refine(template_to_subject: np.ndarray, sample: Sample) -> np.ndarray:
    """Refine an affine registration of a head by its tissue values.

    Parameters
    ----------
    template_to_subject : (4, 4) ndarray
        Template RAS mm to the subject's RAS mm, within some mm.
    sample : callable
        Tissue values of the head at template mm (3, N) under a registration: 0 fluid and outside
        the brain, 0.5 grey matter, 1 white matter.

    Returns
    -------
    (4, 4) ndarray
        The refined registration; the given one if the refinement would move the brain by more than
        8 mm.

    References
    ----------
    .. [1] Baker and Matthews, "Lucas-Kanade 20 years on", IJCV 2004 (inverse compositional).
    .. [2] Ashburner et al., "Incorporating prior knowledge into image registration", NeuroImage
           1997 (least squares with a factor of the grey values).
    """
    points, values, solve = _reference()
    matrix = template_to_subject
    for _ in range(ITERATIONS):
        found = solve @ (sample(points, matrix) - values)
        step = np.eye(4)
        step[:3] += found[:12].reshape(3, 4) @ _columns()
        matrix = matrix @ np.linalg.inv(step)
    if not distance_mm(matrix, template_to_subject) < FARTHEST_MM:  # also if it is not a number
        return template_to_subject
    return matrix


@functools.lru_cache(maxsize=1)
def _columns() -> np.ndarray:
    """(4, 4) from template mm to coordinates about the middle of the brain, in `RADIUS_MM`."""
    points = _reference()[0]
    out = np.diag([1 / RADIUS_MM] * 3 + [1.0])
    out[:3, 3] = -points.mean(axis=1) / RADIUS_MM
    return out


@functools.lru_cache(maxsize=1)
def _reference() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places in the average brain (3, N), its values there (N,), and the solver (14, N).

    The solver gives the twelve parameters, and a factor and an offset of the values.
    """
    average = read_volume(DATA / AVERAGE)
    data = np.asarray(average.data, float) / 200
    smooth = ndimage.gaussian_filter(data, SMOOTHING)
    near = ndimage.binary_dilation(data > 0, iterations=2)
    index = 2 * np.argwhere(near[::2, ::2, ::2])
    points = index @ average.affine[:3, :3].T + average.affine[:3, 3]
    there = tuple(index.T)
    slopes = np.stack([part[there] for part in np.gradient(smooth)], axis=1)
    slopes = slopes @ np.linalg.inv(average.affine[:3, :3])  # per mm of the template
    places = np.c_[(points - points.mean(axis=0)) / RADIUS_MM, np.ones(len(points))]
    moves = (slopes[:, :, None] * places[:, None, :]).reshape(len(points), 12)
    values = smooth[there]
    solve = np.linalg.pinv(np.c_[moves, values, np.ones(len(points))])
    return points.T, values, solve
