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
    """A volume on a grid in template space, interpolated once from its own voxels.

    Parameters
    ----------
    volume : Volume
        The registered volume.
    registration : Registration
        From `expert.imaging.registration.register`.
    affine : (4, 4) ndarray
        Output index to template RAS mm.
    shape : tuple[int, ...]
        (a, b, c) of the output.
    order : int
        Order of the spline, 0 to 5.

    Returns
    -------
    (a, b, c) float32 ndarray
        0 outside the volume.
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
    """An array in template space, interpolated on the voxels of a volume.

    Parameters
    ----------
    array : (a, b, c) ndarray
    affine : (4, 4) ndarray
        Index of the array to template RAS mm.
    registration : Registration
        Of `volume`.
    volume : Volume
        The volume whose grid is used.
    order : int
        Order of the spline, 0 to 5.

    Returns
    -------
    float32 ndarray
        Of the volume's shape; 0 outside the array.
    """
    to_index = np.linalg.inv(registration.template_to_subject @ affine) @ volume.affine
    data = np.asarray(array, dtype=np.float32)
    return np.asarray(
        ndimage.affine_transform(data, to_index[:3, :3], to_index[:3, 3], volume.shape, order=order)
    )
