"""Corruptions of heads: known changes that make an image unlike the training data."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Corruption = Callable[[np.ndarray, np.random.Generator], np.ndarray]
RIGHT, FRONT, TOP = 0, 1, 2
"""Axes of a head's voxels after `Volume.canonical`."""
COARSER, NOISE = 4, 0.2
"""Factor of the voxel size of a blurred copy, and standard deviation of the noise of a noisy copy
as a fraction of the 99th percentile."""
UNCHANGED, MIRRORED, BRAIN_MASK = "unchanged", "mirrored left to right", "its brain mask"
SYNTHETIC, OTHER = "synthetic head", "other image (--other)"
"""Kinds of images, besides those of `CORRUPTIONS`."""


def _flip(axis: int) -> Corruption:
    return lambda data, _: np.flip(data, axis)


def _rotate(axis: int) -> Corruption:
    first, second = (other for other in range(3) if other != axis)
    return lambda data, _: np.rot90(data, axes=(first, second))


def _blacken_half(axis: int, lower: bool) -> Corruption:
    def corrupt(data: np.ndarray, _: np.random.Generator) -> np.ndarray:
        out, middle = data.copy(), data.shape[axis] // 2
        np.moveaxis(out, axis, 0)[slice(None, middle) if lower else slice(middle, None)] = 0
        return out

    return corrupt


def _blur(data: np.ndarray, _: np.random.Generator) -> np.ndarray:
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(data, (COARSER - 1) / 2)
    coarse = ndimage.zoom(smooth, 1 / COARSER, order=1, mode="nearest", grid_mode=True)
    factors = np.divide(data.shape, coarse.shape)
    return np.asarray(ndimage.zoom(coarse, factors, order=1, mode="nearest", grid_mode=True))


def _add_noise(data: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return data + generator.normal(0, NOISE * float(np.percentile(data, 99)), data.shape).astype(
        np.float32
    )


def _threshold(data: np.ndarray, _: np.random.Generator) -> np.ndarray:
    from skimage.filters import threshold_otsu

    return np.asarray(data > 0.5 * threshold_otsu(data), dtype=np.float32)


CORRUPTIONS: dict[str, Corruption] = {
    "upside down": _flip(TOP),
    "back to front": _flip(FRONT),
    MIRRORED: _flip(RIGHT),
    "turned by 90° about left–right": _rotate(RIGHT),
    "turned by 90° about back–front": _rotate(FRONT),
    "turned by 90° about bottom–top": _rotate(TOP),
    f"blurred {COARSER}-fold": _blur,
    "noisy": _add_noise,
    "upper half black": _blacken_half(TOP, False),
    "lower half black": _blacken_half(TOP, True),
    "right half black": _blacken_half(RIGHT, False),
    "right half cut away": lambda data, _: data[: len(data) // 2],
    "its outline (threshold mask)": _threshold,
    "all zeros": lambda data, _: np.zeros_like(data),
    "constant": lambda data, _: np.full_like(data, 100.0),
    "noise alone": lambda data, generator: np.abs(generator.normal(0, 100, data.shape)).astype(
        np.float32
    ),
}
"""Changes of a head's voxels (R, A, S). The affine stays, so that the header of a rotated head is
wrong."""
