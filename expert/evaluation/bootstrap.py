"""A measured figure with its doubt: mean over subjects and 95 % bootstrap interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000


@dataclass(frozen=True)
class Figure:
    """A mean over subjects."""

    value: float
    low: float
    """95 % bootstrap interval over subjects (2,000 resamples, seed 0); equal to `value` for a
    single subject."""
    high: float
    subjects: int
    """How many subjects it is a mean of: those in which there was something to measure."""
    chance: float | None = None
    """What the same measure gives where the explanation says nothing; None where there is no such
    thing."""


def mean_interval(values: np.ndarray, subjects: np.ndarray | None = None) -> tuple[float, float]:
    """95 % bootstrap interval of a mean over images: whole subjects are drawn (2,000 resamples,
    seed 0).

    Parameters
    ----------
    values : (N,) one per image, finite
    subjects : (N,) whose image each is; every image is another subject's if None

    Source: Efron, "Bootstrap methods", Annals of Statistics 1979 (percentile interval); Davison and
    Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8 (whole groups are drawn).
    """
    if subjects is None:
        subjects = np.arange(len(values))
    _, first, whose = np.unique(subjects, return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(first))[
        whose
    ]  # in the order of the table, whatever they are called
    count, sums = np.bincount(order), np.bincount(order, values)
    drawn = np.random.default_rng(0).integers(0, len(sums), (RESAMPLES, len(sums)))
    low, high = np.percentile(sums[drawn].sum(axis=1) / count[drawn].sum(axis=1), [2.5, 97.5])
    return float(low), float(high)


def over_subjects(
    values: Sequence[float] | np.ndarray,
    chance: Sequence[float] | np.ndarray | None = None,
    subjects: np.ndarray | None = None,
) -> Figure | None:
    """Mean and interval of one value per image.

    Parameters
    ----------
    values : (N,) one per image, NaN where there was nothing to measure
    chance : (N,) what chance gives for the same images
    subjects : (N,) whose image each is; every image is another subject's if None

    Returns
    -------
    Figure, or None where no image has a value
    """
    every = np.asarray(values, dtype=float)
    there = np.isfinite(every)
    if not there.any():
        return None
    found = every[there]
    whose = None if subjects is None else np.asarray(subjects)[there]
    low, high = mean_interval(found, whose)
    return Figure(
        value=float(found.mean()),
        low=low,
        high=high,
        subjects=len(found) if whose is None else len(np.unique(whose)),
        chance=None if chance is None else float(np.asarray(chance, dtype=float)[there].mean()),
    )


def over_both(values: np.ndarray, chance: np.ndarray | None = None) -> Figure | None:
    """Mean and interval where every subject was measured with several trained models: both are
    drawn anew.

    Parameters
    ----------
    values : (R, N) models by subjects, NaN where there was nothing to measure
    chance : (R, N) what chance gives for the same

    Returns
    -------
    Figure whose interval is over models and subjects (over subjects alone where R is 1), or None
    where there is no value

    Source: Davison and Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8 (two
    ways of resampling at once).
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
    return Figure(
        value=float(every[there].mean()),
        low=float(low),
        high=float(high),
        subjects=int(there.any(axis=0).sum()),
        chance=None if chance is None else float(np.asarray(chance, dtype=float)[there].mean()),
    )
