"""Volumes on coarser and on regular grids, without aliasing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage

from expert.errors import InputError
from expert.imaging.volume import Volume

LARGEST_MM = 600.0
SMALLEST_MM = 60.0


def reduce_resolution(volume: Volume, spacing_mm: float) -> Volume:
    """Average boxes of voxels until another doubling would make them larger than `spacing_mm`.

    Parameters
    ----------
    volume : Volume
        3D.
    spacing_mm : float
        Largest size of the new voxels, mm; axes with larger voxels stay as they are.

    Returns
    -------
    Volume
        float32; the last voxels of an axis may be left out.
    """
    data, affine = np.asarray(volume.data), volume.affine.copy()
    for axis, size in enumerate(volume.spacing):
        factor = min(int(spacing_mm / size + 0.1), data.shape[axis] // 8)
        if factor < 2:
            continue
        parts = [data[(slice(None),) * axis + (slice(k, None, factor),)] for k in range(factor)]
        length = data.shape[axis] // factor
        total = np.zeros(parts[0][(slice(None),) * axis + (slice(length),)].shape, np.float32)
        for part in parts:
            total += part[(slice(None),) * axis + (slice(length),)]
        data = total / factor
        affine[:3, 3] += affine[:3, axis] * (factor - 1) / 2
        affine[:3, axis] *= factor
    return replace(volume, data=np.asarray(data, np.float32), affine=affine)


def common_resolution(volume: Volume, spacing_mm: float) -> Volume:
    """The volume on its own axes, as blurred as an image of this voxel size.

    Heads of 0.7 and of 2 mm then differ little, whatever is computed from their voxels.

    Parameters
    ----------
    volume : Volume
        3D.
    spacing_mm : float
        Axes with larger voxels stay as they are.

    Returns
    -------
    Volume
        float32.
    """
    fine = reduce_resolution(volume, spacing_mm)
    ratio = spacing_mm / np.array(fine.spacing)
    sigma = 0.4 * np.sqrt(np.maximum(ratio**2 - 1, 0))
    sigma = np.where(sigma > 0.1, sigma, 0)
    if not sigma.any():
        return fine
    return replace(fine, data=ndimage.gaussian_filter(fine.data, sigma))


def equal_blur(volume: Volume, sigma_mm: float) -> Volume:
    """The volume on its own axes, with the same blur whatever its voxel size.

    A voxel is the mean of a box, with a variance of a twelfth of its size squared. A discrete
    Gaussian adds what is missing to `sigma_mm` squared.

    Parameters
    ----------
    volume : Volume
        3D.
    sigma_mm : float
        Standard deviation of the blur, mm. Axes with voxels larger than 3.4 times this are more
        blurred already, and stay as they are.

    Returns
    -------
    Volume
        float32, with voxels of at most `sigma_mm` where the volume's own are smaller. Interpolate
        it with cubic splines: linear interpolation would blur it again.
    """
    fine = reduce_resolution(volume, 0.75 * sigma_mm)
    variance = sigma_mm**2 - np.array(fine.spacing) ** 2 / 12
    return add_blur(fine, variance, sigma_mm)


def add_blur(volume: Volume, variance_mm2: np.ndarray | float, spacing_mm: float = 0.0) -> Volume:
    """The volume after a discrete Gaussian, whose variance is exact however small it is.

    Parameters
    ----------
    volume : Volume
        3D.
    variance_mm2 : (3,) ndarray or float
        Of the Gaussian along each axis, mm squared; at most 0: none.
    spacing_mm : float
        Voxels are left out where they are this close, mm; 0: none are.

    Returns
    -------
    Volume
        float32.

    References
    ----------
    .. [1] Lindeberg, "Scale-space for discrete signals", IEEE PAMI 1990.
    """
    from scipy.special import ive

    data, affine = np.asarray(volume.data, np.float32), volume.affine.copy()
    variances = np.broadcast_to(variance_mm2, 3)
    for axis, (size, variance) in enumerate(zip(volume.spacing, variances, strict=True)):
        if variance <= 0:
            continue
        step = max(1, int(spacing_mm / size + 0.01))
        length = data.shape[axis]
        places = np.arange((length - 1) % step // 2, length, step)
        weights = ive(np.abs(np.arange(length) - places[:, None]), variance / size**2)
        weights /= weights.sum(axis=1, keepdims=True)
        data = np.moveaxis(np.tensordot(weights.astype(np.float32), data, (1, axis)), 0, axis)
        affine[:3, 3] += affine[:3, axis] * places[0]
        affine[:3, axis] *= step
    return replace(volume, data=np.ascontiguousarray(data), affine=affine)


def regular_grid(volume: Volume, spacing_mm: float, multiple: int = 1) -> Volume:
    """The volume on a grid along RAS that contains it.

    Parameters
    ----------
    volume : Volume
        3D, of any orientation.
    spacing_mm : float
        Of the new voxels in each axis.
    multiple : int
        The number of voxels per axis is a multiple of this.

    Returns
    -------
    Volume
        float32; the smallest value of the volume outside of it.

    Raises
    ------
    InputError
        The volume is too small or too large to be of a head.
    """
    fine = common_resolution(volume, spacing_mm)
    data = fine.data
    corners = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in fine.shape], indexing="ij")).reshape(
        3, -1
    )
    world = fine.affine[:3, :3] @ corners + fine.affine[:3, 3:]
    extent = np.ptp(world, axis=1)
    if extent.max() > LARGEST_MM or extent.min() < SMALLEST_MM:
        size = "×".join(f"{n:.0f}" for n in extent)
        raise InputError(
            f"The volume is {size} mm in size, which is not the size of a head: check its voxel "
            "size."
        )
    shape = np.ceil(extent / spacing_mm).astype(int)
    shape = -(-shape // multiple) * multiple
    middle = (world.min(axis=1) + world.max(axis=1)) / 2
    affine = np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
    affine[:3, 3] = middle - spacing_mm * (shape - 1) / 2
    to_index = np.linalg.inv(fine.affine) @ affine
    out = ndimage.affine_transform(
        data, to_index[:3, :3], to_index[:3, 3], tuple(shape), order=1, cval=float(data.min()),
        mode="grid-constant",
    )  # fmt: skip
    return replace(volume, data=np.asarray(out, np.float32), affine=affine)
