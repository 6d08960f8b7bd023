"""Perturbed copies of an image, for measures of explanations.

In some copies, the new place of every patch is known; others are slight changes that should leave
an explanation unchanged. All functions work in two and three dimensions. The last axis runs from
side to side (right–left in heads); a rotation turns the last two axes (the axial plane of a head).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

ROTATION_DEG = 10.0
GAMMA = 1.5
NOISE = 0.02
"""Standard deviation of the slight noise, as a fraction of full scale."""
NO_PARTNER = -1
"""Partner of a patch that left the image."""


@dataclass(frozen=True, eq=False)
class Change:
    """A changed copy of an image."""

    name: str
    """Name under which it is reported; several changes may share one."""
    image: np.ndarray
    """(*shape) float32, 0 to 255."""
    content: np.ndarray
    """(*shape) float32, 0 to 255."""
    partner: np.ndarray
    """(M,) the patch of the copy that holds what was at the centre of each patch, or -1."""


def known_changes(
    image: np.ndarray, content: np.ndarray, grid: tuple[int, ...], *, rim: bool = False
) -> Iterator[Change]:
    """Copies for the self-match, in which the new place of every patch is known.

    The image is shifted by one patch along each axis, mirrored, rotated by 10°, and changed in
    contrast. The contrast is changed twice, to ``x^1.5`` and to ``1 - (1 - x)^1.5`` for intensities
    x from 0 to 1: black stays black and white stays white.

    Parameters
    ----------
    image, content : (*shape) ndarray
        Intensity and content, 0 to 255.
    grid : tuple of int
        Patches per axis of the feature grid; M is their product.
    rim : bool
        Whether the outermost pixels hold the size of a fetal head, which no change touches.

    Yields
    ------
    Change
        Named "shift", "flip", "rotation" or "contrast".
    """
    changes = _known_changes(image, content, grid)
    yield from (_with_rim_of(image, change) for change in changes) if rim else changes


def _known_changes(
    image: np.ndarray, content: np.ndarray, grid: tuple[int, ...]
) -> Iterator[Change]:
    x, y = np.asarray(image, dtype=np.float32), np.asarray(content, dtype=np.float32)
    numbers = np.arange(int(np.prod(grid))).reshape(grid)
    for axis in range(x.ndim):
        step = x.shape[axis] // grid[axis]
        # The content of each patch is now in the next one; patches without a next one get -1.
        partner = shifted(numbers + 1, -1, axis) - 1
        yield Change("shift", shifted(x, step, axis), shifted(y, step, axis), partner.ravel())
    yield Change("flip", np.flip(x, -1).copy(), np.flip(y, -1).copy(), np.flip(numbers, -1).ravel())
    turned = rotated_patches(x.shape, grid, ROTATION_DEG)
    yield Change("rotation", rotated(x, ROTATION_DEG), rotated(y, ROTATION_DEG), turned)
    unit = np.clip(x / 255, 0, 1)
    for other in (unit**GAMMA, 1 - (1 - unit) ** GAMMA):
        yield Change("contrast", (255 * other).astype(np.float32), y, numbers.ravel())


def _with_rim_of(image: np.ndarray, change: Change) -> Change:
    changed = np.array(image, dtype=np.float32)
    changed[1:-1, 1:-1] = change.image[1:-1, 1:-1]
    return replace(change, image=changed)


def slight_changes(
    image: np.ndarray,
    content: np.ndarray,
    grid: tuple[int, ...],
    seed: int,
    *,
    rim: bool = False,
) -> Iterator[Change]:
    """Copies whose explanation should stay the same.

    They have noise, are shifted by one and by two pixels along every axis, or are mirrored.

    Parameters
    ----------
    image, content : (*shape) ndarray
        Intensity and content, 0 to 255.
    grid : tuple of int
        Patches per axis of the feature grid.
    seed : int
        Of the noise, whose standard deviation is 2 % of full scale inside the content and 0
        outside.
    rim : bool
        As in `known_changes`.

    Yields
    ------
    Change
        Named "noise", "shift of 1", "shift of 2" or "flip".
    """
    changes = _slight_changes(image, content, grid, seed)
    yield from (_with_rim_of(image, change) for change in changes) if rim else changes


def _slight_changes(
    image: np.ndarray, content: np.ndarray, grid: tuple[int, ...], seed: int
) -> Iterator[Change]:
    x, y = np.asarray(image, dtype=np.float32), np.asarray(content, dtype=np.float32)
    numbers = np.arange(int(np.prod(grid))).reshape(grid)
    noise = np.random.default_rng(seed).standard_normal(x.shape, dtype=np.float32)
    # Black pixels count as background: noise there would be tissue that preprocessing never gives.
    noisy = np.where(x > 0, np.clip(x + 255 * NOISE * noise * (y / 255), 1, 255), x)
    yield Change("noise", noisy, y, numbers.ravel())
    for pixels in (1, 2):
        moved = [x, y]
        for axis in range(x.ndim):
            moved = [shifted(one, pixels, axis) for one in moved]
        yield Change(f"shift of {pixels}", moved[0], moved[1], numbers.ravel())
    yield Change("flip", np.flip(x, -1).copy(), np.flip(y, -1).copy(), np.flip(numbers, -1).ravel())


def shifted(array: np.ndarray, by: int, axis: int) -> np.ndarray:
    """An array shifted by whole elements along an axis, filled with 0.

    Parameters
    ----------
    array : ndarray
    by : int
        Elements; negative towards lower indices.
    axis : int

    Returns
    -------
    ndarray
        Of the same shape and type.
    """
    from scipy import ndimage

    return np.asarray(ndimage.shift(array, by * np.eye(array.ndim)[axis], order=0))


def rotated(array: np.ndarray, degrees: float) -> np.ndarray:
    """An array rotated about its centre in its last two axes, linearly interpolated, filled with 0.

    Parameters
    ----------
    array : (*shape) ndarray
    degrees : float

    Returns
    -------
    (*shape) ndarray
        float32.
    """
    from scipy import ndimage

    out = ndimage.rotate(array, degrees, axes=(-2, -1), reshape=False, order=1)
    return np.asarray(out, dtype=np.float32)


def rotated_patches(shape: tuple[int, ...], grid: tuple[int, ...], degrees: float) -> np.ndarray:
    """The patch in which each patch's centre lies after `rotated`.

    Parameters
    ----------
    shape : tuple of int
        Of the image.
    grid : tuple of int
        Patches per axis.
    degrees : float

    Returns
    -------
    (M,) ndarray of int
        Patch numbers; -1 outside the image.
    """
    step, center, angle = np.array(shape) / np.array(grid), np.array(shape) / 2, np.deg2rad(degrees)
    turned = (np.indices(grid).reshape(len(grid), -1).T + 0.5) * step - center
    turn = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    turned[:, -2:] = turned[:, -2:] @ np.transpose(turn)
    # Rounded, so that a centre on a border is not moved across it by 1e-16.
    place = np.floor(np.round((turned + center) / step, 9)).astype(int)
    inside = ((place >= 0) & (place < np.array(grid))).all(axis=1)
    numbers = np.ravel_multi_index(tuple(np.clip(place, 0, np.array(grid) - 1).T), grid)
    return np.where(inside, numbers, NO_PARTNER)


rotated_cells = rotated_patches  # former name
