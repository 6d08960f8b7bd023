"""Known changes of an image: copies of which it is known where every cell went, and slight ones
that should change nothing.

All work in two and three dimensions; the last axis runs from side to side (right–left in heads), a
rotation turns the last two axes (the axial plane of a head).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

ROTATION_DEG = 10.0
GAMMA = 1.5
NOISE = 0.02
"""Standard deviation of the slight noise, of full scale."""
ELSEWHERE = -1
"""Partner of a cell that left the picture."""


@dataclass(frozen=True, eq=False)
class Change:
    """A changed copy of an image."""

    name: str
    """What it is counted under; several changes may share one."""
    image: np.ndarray
    """(*shape) float32, 0 to 255."""
    content: np.ndarray
    """(*shape) float32, 0 to 255."""
    partner: np.ndarray
    """(M,) the cell of the copy that holds what was at the centre of each cell, or -1."""


def known_changes(
    image: np.ndarray, content: np.ndarray, grid: tuple[int, ...]
) -> Iterator[Change]:
    """Copies for the self-match: shifted by one cell along each axis, mirrored, turned by 10°, of
    other contrast.

    Other contrast is once ``x^1.5`` and once ``1 - (1 - x)^1.5`` for intensities x of 0 to 1: black
    stays black, white white.

    Parameters
    ----------
    image, content : (*shape) 0 to 255
    grid : cells per axis of the feature grid; M is their product

    Yields
    ------
    Change
    """
    x, y = np.asarray(image, dtype=np.float32), np.asarray(content, dtype=np.float32)
    numbers = np.arange(int(np.prod(grid))).reshape(grid)
    for axis in range(x.ndim):
        step = x.shape[axis] // grid[axis]
        partner = (
            shifted(numbers + 1, -1, axis) - 1
        )  # what lies one cell further is where the content went
        yield Change("shift", shifted(x, step, axis), shifted(y, step, axis), partner.ravel())
    yield Change("flip", np.flip(x, -1).copy(), np.flip(y, -1).copy(), np.flip(numbers, -1).ravel())
    turned = rotated_cells(x.shape, grid, ROTATION_DEG)
    yield Change("rotation", rotated(x, ROTATION_DEG), rotated(y, ROTATION_DEG), turned)
    unit = np.clip(x / 255, 0, 1)
    for other in (unit**GAMMA, 1 - (1 - unit) ** GAMMA):
        yield Change("contrast", (255 * other).astype(np.float32), y, numbers.ravel())


def slight_changes(
    image: np.ndarray, content: np.ndarray, grid: tuple[int, ...], seed: int
) -> Iterator[Change]:
    """Copies that should be explained alike: noise, a shift of one and of two pixels along every
    axis, the mirror image.

    Parameters
    ----------
    image, content, grid : as in `known_changes`
    seed : of the noise, which has a standard deviation of 2 % of full scale and stays within the
        content

    Yields
    ------
    Change  named "noise", "shift of 1", "shift of 2", "flip"
    """
    x, y = np.asarray(image, dtype=np.float32), np.asarray(content, dtype=np.float32)
    numbers = np.arange(int(np.prod(grid))).reshape(grid)
    noise = np.random.default_rng(seed).standard_normal(x.shape, dtype=np.float32)
    # Where an image is black it is outside, or counts as that: noise there would be tissue that no
    # preparation leaves.
    noisy = np.where(x > 0, np.clip(x + 255 * NOISE * noise * (y / 255), 1, 255), x)
    yield Change("noise", noisy, y, numbers.ravel())
    for pixels in (1, 2):
        moved = [x, y]
        for axis in range(x.ndim):
            moved = [shifted(one, pixels, axis) for one in moved]
        yield Change(f"shift of {pixels}", moved[0], moved[1], numbers.ravel())
    yield Change("flip", np.flip(x, -1).copy(), np.flip(y, -1).copy(), np.flip(numbers, -1).ravel())


def shifted(array: np.ndarray, by: int, axis: int) -> np.ndarray:
    """An array moved along an axis; what enters is 0, what leaves is lost."""
    out = np.zeros_like(array)
    size = array.shape[axis]
    source, target = [slice(None)] * array.ndim, [slice(None)] * array.ndim
    source[axis] = slice(max(0, -by), size - max(0, by))
    target[axis] = slice(max(0, by), size - max(0, -by))
    out[tuple(target)] = array[tuple(source)]
    return out


def rotated(array: np.ndarray, degrees: float) -> np.ndarray:
    """An array turned about its centre in its last two axes, linearly interpolated; what enters is
    0."""
    from scipy import ndimage

    turn = _turn(array.ndim, degrees)
    center = (np.array(array.shape) - 1) / 2
    # Where each cell of the result comes from: the turn back.
    out = ndimage.affine_transform(array, turn.T, center - turn.T @ center, order=1)
    return np.asarray(out, dtype=np.float32)


def rotated_cells(shape: tuple[int, ...], grid: tuple[int, ...], degrees: float) -> np.ndarray:
    """(M,) the cell that holds each cell's centre after `rotated`, -1 where that is outside of the
    picture."""
    step = np.array(shape) / np.array(grid)
    cells = np.indices(grid).reshape(len(grid), -1).T
    center = np.array(shape) / 2
    turned = ((cells + 0.5) * step - center) @ _turn(len(shape), degrees).T + center
    place = np.floor(np.round(turned / step, 9)).astype(
        int
    )  # rounded: a centre that stays where it was is not moved by 1e-16
    inside = ((place >= 0) & (place < np.array(grid))).all(axis=1)
    numbers = np.ravel_multi_index(tuple(np.clip(place, 0, np.array(grid) - 1).T), grid)
    return np.where(inside, numbers, ELSEWHERE)


def _turn(axes: int, degrees: float) -> np.ndarray:
    """(axes, axes) rotation of the last two axes."""
    out = np.eye(axes)
    angle = np.deg2rad(degrees)
    out[-2:, -2:] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return out
