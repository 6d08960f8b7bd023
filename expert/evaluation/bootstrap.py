"""Means over subjects with 95 % bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
LARGEST_DRAW = 4_000_000
"""Numbers that are drawn at a time."""


@dataclass(frozen=True)
class Estimate:
    """A mean over subjects with its 95 % bootstrap interval."""

    value: float
    low: float
    """Lower limit of the 95 % bootstrap interval over subjects (2,000 resamples, seed 0); equal to
    `value` for a single subject."""
    high: float
    subjects: int
    """Number of subjects with a value."""
    chance: float | None = None
    """Chance level of the same measure; None where it is not defined."""


Figure = Estimate  # former name


def mean_interval(values: np.ndarray, subjects: np.ndarray | None = None) -> tuple[float, float]:
    """95 % bootstrap interval of a mean over images; whole subjects are resampled.

    Parameters
    ----------
    values : (N,) ndarray
        One per image, finite.
    subjects : (N,) ndarray, optional
        Subject of each image. If None, every image is of another subject.

    Returns
    -------
    low, high : float
        Percentile interval (2,000 resamples, seed 0).

    References
    ----------
    .. [1] Efron, "Bootstrap methods", Annals of Statistics 1979 (percentile interval).
    .. [2] Davison and Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8
       (resampling of whole groups).
    """
    if subjects is None:
        subjects = np.arange(len(values))
    _, first, inverse = np.unique(subjects, return_index=True, return_inverse=True)
    # Subjects are numbered in the order of the table, so that their names do not matter.
    order = np.argsort(np.argsort(first))[inverse]
    count, sums = np.bincount(order), np.bincount(order, values)
    generator = np.random.default_rng(0)
    means = np.empty(RESAMPLES)
    step = max(1, LARGEST_DRAW // len(sums))
    for start in range(0, RESAMPLES, step):  # in parts, for the memory; the numbers are the same
        part = slice(start, min(start + step, RESAMPLES))
        drawn = generator.integers(0, len(sums), (part.stop - start, len(sums)))
        means[part] = sums[drawn].sum(axis=1) / count[drawn].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def mean_over_subjects(
    values: Sequence[float] | np.ndarray,
    chance: Sequence[float] | np.ndarray | None = None,
    subjects: np.ndarray | None = None,
) -> Estimate | None:
    """Mean and interval of one value per image.

    Parameters
    ----------
    values : (N,) ndarray
        One per image; NaN where there is no value.
    chance : (N,) ndarray, optional
        Chance levels of the same images.
    subjects : (N,) ndarray, optional
        Subject of each image. If None, every image is of another subject.

    Returns
    -------
    Estimate or None
        None where no image has a value.
    """
    every = np.asarray(values, dtype=float)
    there = np.isfinite(every)
    if not there.any():
        return None
    found = every[there]
    of = None if subjects is None else np.asarray(subjects)[there]
    low, high = mean_interval(found, of)
    return Estimate(
        value=float(found.mean()),
        low=low,
        high=high,
        subjects=len(found) if of is None else len(np.unique(of)),
        chance=None if chance is None else float(np.asarray(chance, dtype=float)[there].mean()),
    )


over_subjects = mean_over_subjects  # former name


def mean_over_models(values: np.ndarray, chance: np.ndarray | None = None) -> Estimate | None:
    """Mean and interval over several trained models and the subjects measured with them.

    Models and subjects are both resampled.

    Parameters
    ----------
    values : (R, N) ndarray
        Models by subjects; NaN where there is no value.
    chance : (R, N) ndarray, optional
        Chance levels of the same.

    Returns
    -------
    Estimate or None
        The interval is over models and subjects (over subjects alone if R is 1). None where there
        is no value.

    References
    ----------
    .. [1] Davison and Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8
       (two-way resampling).
    """
    every = np.asarray(values, dtype=float)
    there = np.isfinite(every)
    if not there.any():
        return None
    generator = np.random.default_rng(0)
    models = generator.integers(0, len(every), (RESAMPLES, len(every), 1))
    subjects = generator.integers(0, every.shape[1], (RESAMPLES, 1, every.shape[1]))
    count = there[models, subjects].sum((1, 2))
    means = np.where(there, every, 0.0)[models, subjects].sum((1, 2))[count > 0] / count[count > 0]
    low, high = np.percentile(means, [2.5, 97.5])
    return Estimate(
        value=float(every[there].mean()),
        low=float(low),
        high=float(high),
        subjects=int(there.any(axis=0).sum()),
        chance=None if chance is None else float(np.asarray(chance, dtype=float)[there].mean()),
    )


over_both = mean_over_models  # former name
