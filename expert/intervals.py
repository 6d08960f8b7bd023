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
    """95 % bootstrap interval over subjects (2,000 resamples, seed 0); equal to `value` for a single subject."""
    high: float
    subjects: int
    """How many subjects it is a mean of: those in which there was something to measure."""
    chance: float | None = None
    """What the same measure gives where the explanation says nothing; None where there is no such thing."""


def over_subjects(values: Sequence[float] | np.ndarray, chance: Sequence[float] | np.ndarray | None = None) -> Figure | None:
    """Mean and interval of one value per subject.

    Parameters
    ----------
    values : (N,) one per subject, NaN where there was nothing to measure
    chance : (N,) what chance gives for the same subjects

    Returns
    -------
    Figure, or None where no subject has a value

    Source: Efron, "Bootstrap methods", Annals of Statistics 1979 (percentile interval).
    """
    every = np.asarray(values, dtype=float)
    there = np.isfinite(every)
    if not there.any():
        return None
    found = every[there]
    resamples = np.random.default_rng(0).integers(0, len(found), (RESAMPLES, len(found)))
    low, high = np.percentile(found[resamples].mean(axis=1), [2.5, 97.5])
    return Figure(
        value=float(found.mean()),
        low=float(low),
        high=float(high),
        subjects=len(found),
        chance=None if chance is None else float(np.asarray(chance, dtype=float)[there].mean()),
    )


def over_both(values: np.ndarray, chance: np.ndarray | None = None) -> Figure | None:
    """Mean and interval where every subject was measured with several trained models: both are drawn anew.

    Parameters
    ----------
    values : (R, N) models by subjects, NaN where there was nothing to measure
    chance : (R, N) what chance gives for the same

    Returns
    -------
    Figure whose interval is over models and subjects (over subjects alone where R is 1), or None where there is no value

    Source: Davison and Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8 (two ways of resampling at once).
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
