"""The split-conformal quantile: interval half widths and out-of-distribution limits."""

from __future__ import annotations

import math

import numpy as np


def conformal_rank(count: int, level: float) -> int:
    """Rank of the score, from 1, below which a new score lies with the given probability.

    Parameters
    ----------
    count : int
        Number of held-out scores.
    level : float
        Probability, 0 to 1.

    Returns
    -------
    int
        ``ceil((count + 1) * level)``, at most `count`.

    References
    ----------
    .. [1] Papadopoulos et al., "Inductive Confidence Machines for Regression", ECML 2002.
    """
    return min(math.ceil((count + 1) * level), count)


def conformal_quantile(scores: np.ndarray, level: float) -> float:
    """The held-out score below which a new score lies with the given probability.

    Parameters
    ----------
    scores : (N,) ndarray
        Scores of held-out images, N > 0.
    level : float
        Probability, 0 to 1.

    Returns
    -------
    float
    """
    return float(np.sort(scores)[conformal_rank(len(scores), level) - 1])
