"""Resampling between the grid of a volume and a grid in template space."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from expert.imaging.registration import Registration
from expert.imaging.volume import Volume


def resample_to_template(
    volume: Volume,
    registration: Registration,
    affine: np.ndarray,
    shape: tuple[int, ...],
    order: int = 1,
) -> np.ndarray:
    """The volume on a grid in template space, interpolated once from its own voxels.

    Parameters
    ----------
    volume : Volume
        The registered volume.
    registration : Registration
        From `register`.
    affine : (4, 4) ndarray
        Output index to template RAS mm.
    shape : tuple[int, ...]
        (a, b, c) of the output.
    order : int
        Of the spline, 0 to 5.

    Returns
    -------
    ndarray
        (a, b, c) float32; 0 outside the volume.
    """
    to_index = np.linalg.inv(volume.affine) @ registration.template_to_subject @ affine
    data = np.asarray(volume.data, dtype=np.float32)
    return np.asarray(
        ndimage.affine_transform(data, to_index[:3, :3], to_index[:3, 3], shape, order=order)
    )


def resample_to_subject(
    array: np.ndarray,
    affine: np.ndarray,
    registration: Registration,
    volume: Volume,
    order: int = 1,
) -> np.ndarray:
    """The other way: an array that lies in template space, on the volume's own voxels.

    Parameters
    ----------
    array : (a, b, c) ndarray
    affine : (4, 4) ndarray
        Its index to template RAS mm.
    registration : Registration
        Of `volume`.
    volume : Volume
        Gives the grid.
    order : int
        Of the spline, 0 to 5.

    Returns
    -------
    ndarray
        Float32 of the volume's shape; 0 outside the array.
    """
    to_index = np.linalg.inv(registration.template_to_subject @ affine) @ volume.affine
    data = np.asarray(array, dtype=np.float32)
    return np.asarray(
        ndimage.affine_transform(data, to_index[:3, :3], to_index[:3, 3], volume.shape, order=order)
    )
