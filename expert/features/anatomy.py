"""Anatomical coordinates: where in the average brain each place of a registered head is.

An affine registration brings heads together to about a centimetre. Here the tissue values of a head
are registered to those of the average brain without that limit (demons, SimpleITK). Places with
equal coordinates hold the same structure in two heads.

References
----------
.. [1] Vercauteren et al., "Diffeomorphic demons: efficient non-parametric image registration",
       NeuroImage 2009 (symmetric forces).
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from expert.features.grey_values import WHITE_MATTER

LEVELS = ((4, 30), (2, 30))
"""Pixels averaged to one, and iterations, from coarse to fine. A third level at full resolution,
with twice the smoothing, found partners no better, in four times the time."""
SMOOTHING = 0.5
"""Standard deviation of the Gaussian that smooths displacements, pixels of the level."""
UPDATE_SMOOTHING = 0.7
"""The same for the change of each iteration."""
KEPT = 1024
"""Images whose coordinates are kept in memory: a cross-validation needs the same ones again."""

_KNOWN: OrderedDict[bytes, Tensor] = OrderedDict()


def anatomical_displacement(image: np.ndarray, average: np.ndarray) -> np.ndarray:
    """How far each pixel is from the place of its structure in the average brain.

    Parameters
    ----------
    image : (z, y, x) uint8 ndarray
        Tissue values of a registered head (`expert.imaging.tissue_values`).
    average : (z, y, x) uint8 ndarray
        Those of the average brain, on the same grid.

    Returns
    -------
    (3, z, y, x) float32 ndarray
        Pixels, along the axes of the image: the structure at x is at x + d in the average.
    """
    import SimpleITK as sitk

    fixed, moving = (
        sitk.GetImageFromArray(a.astype(np.float32) / WHITE_MATTER) for a in (image, average)
    )
    field = None
    for factor, iterations in LEVELS:
        one, two = (_shrunk(picture, factor) for picture in (fixed, moving))
        demons = sitk.FastSymmetricForcesDemonsRegistrationFilter()
        demons.SetNumberOfIterations(iterations)
        demons.SetSmoothDisplacementField(True)
        demons.SetStandardDeviations(SMOOTHING * factor)
        demons.SetSmoothUpdateField(True)
        demons.SetUpdateFieldStandardDeviations(UPDATE_SMOOTHING * factor)
        start = () if field is None else (sitk.Resample(field, one),)
        field = demons.Execute(one, two, *start)
    field = sitk.Resample(field, fixed)
    return np.ascontiguousarray(np.moveaxis(sitk.GetArrayFromImage(field)[..., ::-1], -1, 0))


def _shrunk(picture: object, factor: int) -> object:
    import SimpleITK as sitk

    return sitk.Shrink(sitk.SmoothingRecursiveGaussian(picture, 0.6 * factor), [factor] * 3)


def patch_coordinates(image: np.ndarray, average: np.ndarray, grid: tuple[int, ...]) -> np.ndarray:
    """Anatomical coordinates of the patches of a head.

    Parameters
    ----------
    image, average : (z, y, x) uint8 ndarray
        As in `anatomical_displacement`.
    grid : tuple[int, ...]
        Patches per axis.

    Returns
    -------
    (3, *grid) float32 ndarray
        In patches, along the axes of the grid; 0 is the centre of the first patch. The mean over
        the brain in each patch; patches without brain have their own place.
    """
    moved, inside = anatomical_displacement(image, average), (image > 0).astype(np.float32)
    parts = torch.from_numpy(np.concatenate([moved * inside, inside[None]]))
    sums = functional.adaptive_avg_pool3d(parts, grid).numpy()  # type: ignore[arg-type]
    size = np.array(image.shape) / np.array(grid)
    shift = sums[:3] / np.maximum(sums[3], 1e-6) / size[:, None, None, None]
    return np.asarray(np.indices(grid) + shift, dtype=np.float32)


class AnatomicalCoordinates(nn.Module):
    """Anatomical coordinates as a part of a network, which keeps its own average brain.

    Parameters
    ----------
    shape : tuple[int, ...]
        Pixels of the input.
    """

    average: Tensor
    """(z, y, x) uint8."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("average", torch.zeros(shape, dtype=torch.uint8))

    def forward(self, images: Tensor, grid: tuple[int, ...]) -> Tensor:
        """(B, 3, *grid) coordinates in patches, of images (B, 1, z, y, x): tissue values / 255."""
        return torch.stack([self._of(image[0], grid) for image in images]).to(images)

    def _of(self, image: Tensor, grid: tuple[int, ...]) -> Tensor:
        pixels = (image * 255).round().to(torch.uint8).cpu().numpy()
        average = self.average.cpu().numpy()
        key = hashlib.sha256(pixels.tobytes() + average.tobytes() + bytes(grid)).digest()
        if key not in _KNOWN:
            _KNOWN[key] = torch.from_numpy(patch_coordinates(pixels, average, grid))
            if len(_KNOWN) > KEPT:
                _KNOWN.popitem(last=False)
        return _KNOWN[key]
