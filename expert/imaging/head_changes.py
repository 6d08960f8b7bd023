"""Changes of a head's grid and data type that leave every voxel at its place in the world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import ndimage

from expert.errors import InputError
from expert.imaging.volume import Volume

AIR_MM = 3.0
"""Air that stays around a head."""
TYPES = ("uint8", "int16", "uint16", "float32", "float64")
"""Data types of image files."""


@dataclass(frozen=True, eq=False)
class GreyValues:
    """Grey values of a head, from a sample of its voxels."""

    data: np.ndarray
    """(i, j, k) float32."""

    @property
    def steps(self) -> list[int]:
        """Voxels per axis from one voxel of the sample to the next."""
        return [max(1, n // 48) for n in self.data.shape]

    @cached_property
    def sample(self) -> np.ndarray:
        """(a, b, c) every n-th voxel of each axis, 48 to 96 of a larger one."""
        return np.asarray(self.data[tuple(slice(None, None, step) for step in self.steps)])

    @cached_property
    def low(self) -> float:
        """The darkest value."""
        return float(self.data.min())

    @cached_property
    def white(self) -> float:
        """About the grey value of white matter, above `low`: a percentile of the bright voxels."""
        raised = self.sample - self.low
        bright = raised[raised > raised.mean()]
        if not bright.size:
            raise InputError("The volume is empty: it contains no head.")
        return float(np.percentile(bright, 80))

    @cached_property
    def head(self) -> np.ndarray:
        """(a, b, c) bool, voxels of the sample that are not air."""
        return self.sample - self.low > 0.25 * self.white

    @cached_property
    def top(self) -> float:
        """The brightest value above `low`, without single bright voxels."""
        return float(np.percentile(self.sample - self.low, 99.9))


def head_values(volume: Volume) -> np.ndarray:
    """Grey values of a head.

    Parameters
    ----------
    volume : Volume

    Returns
    -------
    (i, j, k) float32 ndarray

    Raises
    ------
    InputError
        The volume is not 3D.
    """
    if volume.ndim != 3:
        raise InputError("Scanners are simulated for 3D heads: open a scan of the whole head.")
    return np.asarray(volume.data, dtype=np.float32)


def to_grid(volume: Volume, spacing: Sequence[float], rotation: np.ndarray | None = None) -> Volume:
    """The head on another grid: averaged over larger voxels, interpolated linearly.

    Parameters
    ----------
    volume : Volume
    spacing : sequence of 3 float
        mm per axis of the array.
    rotation : (3, 3) ndarray, optional
        Of the grid about its centre, in the world.

    Returns
    -------
    Volume
        float32. It shows the same part of space, and more where a rotated grid would cut the head.
    """
    data = head_values(volume)
    values = GreyValues(data)
    old, new = np.array(volume.spacing), np.array(spacing, dtype=float)
    turn = np.eye(3) if rotation is None else rotation
    directions = turn @ (volume.affine[:3, :3] / old)
    middle = volume.affine[:3, :3] @ ((np.array(data.shape) - 1) / 2) + volume.affine[:3, 3]
    half = old * np.array(data.shape) / 2
    low, high = -half, half
    if rotation is not None:
        head = values.steps * np.argwhere(values.head)
        places = (head @ volume.affine[:3, :3].T + volume.affine[:3, 3] - middle) @ directions
        low = np.minimum(low, places.min(axis=0) - AIR_MM)
        high = np.maximum(high, places.max(axis=0) + AIR_MM)
    shape = np.maximum(np.rint((high - low) / new), 2).astype(int)
    affine = np.eye(4)
    affine[:3, :3] = directions * new
    affine[:3, 3] = middle + directions @ ((low + high) / 2 - new * (shape - 1) / 2)
    # Of a box as wide as the new voxel, beyond what the old voxel averages already.
    sigma = np.sqrt(np.maximum(new**2 - old**2, 0) / 12) / old
    for axis in np.flatnonzero(sigma > 0.1):
        data = ndimage.gaussian_filter1d(data, sigma[axis], axis, mode="nearest", truncate=3.0)
    to_old = np.linalg.inv(volume.affine) @ affine
    matrix, offset = to_old[:3, :3], to_old[:3, 3]
    if rotation is None:
        matrix, offset = np.diag(matrix), np.round(offset, 9)
    out = ndimage.affine_transform(
        data, matrix, offset, tuple(shape), order=1, mode="grid-constant", cval=values.low
    )
    return replace(volume, data=out, affine=affine)


def as_type(volume: Volume, name: str, size: float = 1000.0, offset: float = 0.0) -> Volume:
    """The head stored with another data type.

    Parameters
    ----------
    volume : Volume
    name : str
        Of `TYPES`.
    size : float
        From the darkest to the brightest value; of uint8 it is always 255.
    offset : float
        The darkest value; of unsigned types it is at least 0.

    Returns
    -------
    Volume
        Values outside the type's range are clipped.
    """
    data = head_values(volume)
    values = GreyValues(data)
    kind = np.dtype(name)
    if kind.kind == "u":
        offset = 0.0 if name == "uint8" else max(offset, 0.0)
    size = 255.0 if name == "uint8" else size
    scaled = (data - values.low) * np.float32(size / values.top) + np.float32(offset)
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        scaled = np.clip(np.rint(scaled), limits.min, limits.max)
    return replace(volume, data=scaled.astype(kind))


def reorder(volume: Volume, axes: Sequence[int], flipped: Sequence[bool]) -> Volume:
    """Array axes in another order and direction; no voxel changes its place in the world.

    Parameters
    ----------
    volume : Volume
    axes : sequence of 3 int
        Old axis of each new one.
    flipped : sequence of 3 bool
        Whether the new axis runs backwards.

    Returns
    -------
    Volume
    """
    data = np.transpose(volume.data, axes)
    to_old = np.zeros((4, 4))
    to_old[3, 3] = 1
    for new, (old, backwards) in enumerate(zip(axes, flipped, strict=True)):
        to_old[old, new] = -1 if backwards else 1
        to_old[old, 3] = data.shape[new] - 1 if backwards else 0
    data = data[tuple(slice(None, None, -1 if backwards else 1) for backwards in flipped)]
    return replace(volume, data=np.ascontiguousarray(data), affine=volume.affine @ to_old)
