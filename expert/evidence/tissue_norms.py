"""Normative curves: fractions of fluid, grey and white matter in each patch, by label.

Only for models whose grey values mean tissue (`input.intensity: tissue`). The curves are means and
standard deviations over the training images, smoothed along the label, and stored in the model
file. They are statistics of the training images of all sites together, not of a population.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from expert.errors import InputError
from expert.features.grey_values import WHITE_MATTER
from expert.model_file import IMAGES, WEIGHTS, save_model

if TYPE_CHECKING:
    from expert.datasets.prepared_dataset import CohortArrays
    from expert.explanation import Explanation
    from expert.model_file import Model
    from expert.schema import InputSettings

TISSUES = ("fluid", "grey matter", "white matter")
POINTS = 13
"""Labels at which the curves are stored, evenly over the range of the training labels."""
WIDTH = 1 / 12
"""Standard deviation of the smoothing kernel, as a fraction of the range: 5 years of 60."""
BRAIN = 0.05
"""A patch counts if at least this fraction of it is brain."""
PEOPLE = 10
"""A patch has curves if it counts in at least this many training images."""
LEAST_WEIGHT = 0.1
"""Least sum of kernel weights: a tenth of one person of the label."""
NORMS, LABELS = "tissue_norms", "tissue_norm_labels"
"""Names of the two tensors in a model file."""


def tissue_fractions(image: np.ndarray, grid: tuple[int, ...]) -> np.ndarray:
    """Fractions of the three tissues in each patch of an image of tissue values.

    Parameters
    ----------
    image : (*shape) uint8 ndarray
        0 outside the brain; 1 fluid, 100 grey and 200 white matter, see
        `expert.imaging.tissue_values`. Each voxel counts as the tissue whose value is nearest.
    grid : tuple[int, ...]
        Patches per axis.

    Returns
    -------
    (M, 3) ndarray
        Fluid, grey and white matter as fractions of the brain in the patch; they sum to 1. NaN
        where less than 5 % of the patch is brain.
    """
    values = np.asarray(image)
    brain = values > 0
    parts = [
        brain & (values < WHITE_MATTER / 4),
        (values >= WHITE_MATTER / 4) & (values < 3 * WHITE_MATTER / 4),
        values >= 3 * WHITE_MATTER / 4,
    ]
    counts = np.stack([_per_patch(part, grid) for part in parts], axis=1)
    total = counts.sum(axis=1, keepdims=True)
    size = values.size / math.prod(grid)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(total >= BRAIN * size, counts / total, np.nan)


def _per_patch(part: np.ndarray, grid: tuple[int, ...]) -> np.ndarray:
    """(M,) number of true voxels in each patch."""
    for axis, (size, cells) in enumerate(zip(part.shape, grid, strict=True)):
        part = np.add.reduceat(part, np.arange(cells) * size // cells, axis=axis, dtype=int)
    return np.asarray(part.ravel(), dtype=float)


@dataclass(frozen=True, eq=False)
class TissueNorms:
    """Mean and standard deviation of the tissue fractions by label."""

    labels: np.ndarray
    """(A,) increasing, label units."""
    mean: np.ndarray
    """(A, V, M, 3) fractions of fluid, grey and white matter; NaN where a patch has no curves."""
    spread: np.ndarray
    """(A, V, M, 3) standard deviations over people of this label."""

    def at(self, label: float, view: int) -> np.ndarray:
        """Mean fractions for a label, with straight lines in between.

        Parameters
        ----------
        label : float
            Beyond the ends, the ends count.
        view : int
            0-based.

        Returns
        -------
        (M, 3) ndarray
        """
        place = float(np.interp(label, self.labels, np.arange(len(self.labels))))
        low = min(int(place), len(self.labels) - 2)
        part = place - low
        curves = self.mean[:, view]
        return np.asarray((1 - part) * curves[low] + part * curves[low + 1])

    @property
    def tensors(self) -> dict[str, np.ndarray]:
        """What a model file stores: -1 where a patch has no curves."""
        both = np.stack([self.mean, self.spread], axis=-1)
        return {
            NORMS: np.nan_to_num(both, nan=-1.0).astype(np.float16),
            LABELS: self.labels.astype(np.float32),
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray]) -> TissueNorms | None:
        """The curves of a model file; None if it has none.

        Parameters
        ----------
        tensors : Mapping[str, ndarray]
            Such as `Model.tensors`, or `Explanation.norms`.

        Returns
        -------
        TissueNorms or None
        """
        if NORMS not in tensors or LABELS not in tensors:
            return None
        both = tensors[NORMS].astype(float)
        both = np.where(both < 0, np.nan, both)
        return cls(tensors[LABELS].astype(float), both[..., 0], both[..., 1])

    @classmethod
    def of_explanation(cls, explanation: Explanation) -> TissueNorms | None:
        """The curves that an explanation carries; None if its model has none."""
        return cls.from_tensors(explanation.norms)


def estimate_norms(
    images: np.ndarray, labels: np.ndarray, grid: tuple[int, ...], points: int = POINTS
) -> TissueNorms:
    """Estimate the curves from training images.

    Parameters
    ----------
    images : (N, V, *shape) uint8 ndarray
        The explained views of each image, as tissue values.
    labels : (N,) ndarray
        Label units.
    grid : tuple[int, ...]
        Patches per axis.
    points : int
        Number of labels at which the curves are stored.

    Returns
    -------
    TissueNorms
        Kernel-weighted means and standard deviations (Nadaraya-Watson): a Gaussian whose standard
        deviation is a twelfth of the range of the labels, each image corrected for its distance
        from the label by the local slope (local linear regression).

    References
    ----------
    .. [1] Fan and Gijbels, "Local Polynomial Modelling and Its Applications", 1996.
    """
    found = np.stack([[tissue_fractions(view, grid) for view in image] for image in images])
    labels = np.asarray(labels, dtype=float)
    present = ~np.isnan(found[..., 0])  # (N, V, M)
    values = np.nan_to_num(found)
    places = np.linspace(labels.min(), labels.max(), points)
    width = WIDTH * float(np.ptp(labels))
    means, spreads = [], []
    for place in places:
        kernel = np.exp(-0.5 * ((labels - place) / width) ** 2)
        weights = kernel[:, None, None, None] * present[..., None]
        offset = (labels - place)[:, None, None, None]
        total = weights.sum(axis=0) + 1e-12
        off_mean = (weights * offset).sum(axis=0) / total
        mean = (weights * values).sum(axis=0) / total
        covariance = (weights * (offset - off_mean) * values).sum(axis=0) / total
        variance = (weights * (offset - off_mean) ** 2).sum(axis=0) / total
        slope = covariance / (variance + 0.1 * width**2)
        level = mean - slope * off_mean
        rest = values - mean - slope * (offset - off_mean)
        spreads.append(np.sqrt((weights * rest**2).sum(axis=0) / total))
        level = np.clip(level, 0, 1)
        level /= np.maximum(level.sum(axis=-1, keepdims=True), 1e-12)
        means.append(np.where(total > LEAST_WEIGHT, level, np.nan))
    few = present.sum(axis=0) < min(PEOPLE, len(labels))
    mean, spread = np.stack(means), np.stack(spreads)
    mean[:, few], spread[:, few] = np.nan, np.nan
    return TissueNorms(places, mean, spread)


def norms_of_training(
    settings: InputSettings, cohort: CohortArrays, grid: tuple[int, ...]
) -> TissueNorms | None:
    """The curves that a training writes; None for models whose grey values do not mean tissue.

    Parameters
    ----------
    settings : InputSettings
        Of the model.
    cohort : CohortArrays
        All training images.
    grid : tuple[int, ...]
        Patches per axis.

    Returns
    -------
    TissueNorms or None
    """
    if settings.intensity != "tissue":
        return None
    return estimate_norms(cohort.images[:, cohort.explained_planes(settings)], cohort.labels, grid)


def add_norms(
    model: Model,
    cohort: CohortArrays,
    path: str | os.PathLike[str],
) -> Path:
    """Write a model file with the curves of its training images added.

    Parameters
    ----------
    model : Model
        From `expert.load_model`, with `input.intensity` "tissue".
    cohort : CohortArrays
        The training images, from `expert.datasets.prepared_dataset.load_cohort` with
        ``model.info.input``.
    path : path-like
        Model file to write.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    InputError
        The grey values of the model do not mean tissue.
    """
    norms = norms_of_training(model.info.input, cohort, model.info.grid)
    if norms is None:
        raise InputError(
            f"The grey values of the model {model.info.name} do not mean tissue: tissue curves "
            "need a model with input.intensity: tissue."
        )
    weights = {
        name.removeprefix(WEIGHTS): value
        for name, value in model.tensors.items()
        if name.startswith(WEIGHTS)
    }
    further = {
        name: value
        for name, value in model.tensors.items()
        if not name.startswith(WEIGHTS) and name != IMAGES
    }
    return save_model(
        path, model.info, weights, model.prototype_images, further={**further, **norms.tensors}
    )
