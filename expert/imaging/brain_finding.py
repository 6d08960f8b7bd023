"""Find the brain of a head of any contrast: mask, tissues, and first pose in the template.

A small network (`expert.imaging.head_network`) reads the head at 4 mm. Everything after it, the
registration and the grey values, follows from what it found.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from expert.errors import InputError
from expert.features.threads import one_thread
from expert.imaging.conforming import regular_grid
from expert.imaging.volume import Volume

SPACING_MM = 4.0
SMALLEST_ML = 500.0
"""Volume of a brain with the fluid between its folds; adults have 1000 to 1900 ml."""


@dataclass(frozen=True, eq=False)
class FoundBrain:
    """The brain in a head, on a 4 mm grid along RAS."""

    tissues: np.ndarray
    """(4, x, y, z) float32 fractions of outside, fluid, grey and white matter; away from the brain
    they are 1, 0, 0, 0."""
    affine: np.ndarray
    """(4, 4) index to RAS mm."""
    template_to_subject: np.ndarray
    """(4, 4) template RAS mm to subject RAS mm, as the network sees it."""

    @property
    def brain(self) -> np.ndarray:
        """(x, y, z) float32, fraction of brain, with the fluid between its folds."""
        return np.asarray(1 - self.tissues[0])

    @property
    def volume_ml(self) -> float:
        """Volume of the brain."""
        return float(self.brain.sum()) * SPACING_MM**3 / 1000


def find_brain(volume: Volume) -> FoundBrain:
    """Find the brain of a head.

    Parameters
    ----------
    volume : Volume
        3D, of any orientation, voxel size and contrast, with or without skull.

    Returns
    -------
    FoundBrain

    Raises
    ------
    InputError
        The volume contains no brain, or is too small or too large to be of a head.
    """
    import torch

    from expert.imaging.head_network import COORDINATE_MM, load_head_network

    if volume.ndim != 3:
        raise InputError("Only 3D volumes can be registered: open a scan of the whole head.")
    grid = regular_grid(volume, SPACING_MM, 8)
    image = normalise(grid.data)
    with torch.inference_mode(), one_thread():
        logits, places = load_head_network()(torch.from_numpy(image)[None, None])
        tissues = logits.softmax(1)[0].numpy()
    coordinates = places[0].double().numpy() * COORDINATE_MM
    found = largest_component(tissues[0] < 0.5)
    tissues = tissues * ndimage.binary_dilation(found)
    tissues[0] = 1 - tissues[1:].sum(axis=0)
    volume_ml = float(found.sum()) * SPACING_MM**3 / 1000
    if volume_ml < SMALLEST_ML:
        raise InputError(
            "No brain was found in this volume: open a T1-weighted scan of the whole head."
        )
    return FoundBrain(tissues, grid.affine, _fit_pose(coordinates, tissues, grid.affine))


def normalise(image: np.ndarray) -> np.ndarray:
    """Grey values from 0 (smallest) to 1 (98th percentile of those above the mean), at most 1.5.

    Parameters
    ----------
    image : (x, y, z) ndarray

    Returns
    -------
    (x, y, z) float32 ndarray

    Raises
    ------
    InputError
        All values are the same.
    """
    raised = image - image.min()
    bright = raised[raised > raised.mean()]
    if not bright.size:
        raise InputError("The volume is (nearly) empty: it contains no head.")
    top = np.percentile(bright[:: max(1, bright.size // 20000)], 98)
    return np.asarray(np.clip(raised / top, 0, 1.5), np.float32)


def largest_component(mask: np.ndarray) -> np.ndarray:
    """The largest connected part of a mask.

    Parameters
    ----------
    mask : (x, y, z) bool ndarray

    Returns
    -------
    (x, y, z) bool ndarray
    """
    labels, count = ndimage.label(mask)
    if count < 2:
        return mask
    return np.asarray(labels == np.argmax(np.bincount(labels.ravel())[1:]) + 1)


def _fit_pose(coordinates: np.ndarray, tissues: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Affine template mm to subject mm by robust least squares.

    Coordinates (3, x / 2, y / 2, z / 2) are of voxels of 8 mm.
    """
    brain = 1 - tissues[0]
    halves = [n // 2 for n in brain.shape]
    share = brain.reshape(halves[0], 2, halves[1], 2, halves[2], 2).mean(axis=(1, 3, 5))
    inside = np.argwhere(share > 0.5)
    world = (2 * inside + 0.5) @ affine[:3, :3].T + affine[:3, 3]
    target = coordinates[:, share > 0.5].T
    terms = np.c_[world, np.ones(len(world))]
    weight = np.ones(len(world))
    for _ in range(10):
        root = np.sqrt(weight)[:, None]
        solved = np.linalg.lstsq(terms * root, target * root, rcond=None)[0]
        off = np.linalg.norm(target - terms @ solved, axis=1)
        weight = 1 / np.maximum(off / max(float(np.median(off)), 0.5), 1)  # Huber
    matrix = np.eye(4)
    matrix[:3] = solved.T
    return np.asarray(np.linalg.inv(matrix))
