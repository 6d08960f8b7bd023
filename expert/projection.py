"""Which training image each prototype becomes.

References
----------
.. [1] Hesse et al., "Prototype Learning for Explainable Brain Age Prediction", WACV 2024,
       arXiv:2306.09858. The label window, distinctness and relabelling are this project's, against
       prototypes that show a person of another age or the same person many times.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment


def nearest_images(
    distance: np.ndarray,
    labels: np.ndarray,
    subjects: np.ndarray,
    prototype_labels: np.ndarray,
    *,
    window: float | None = None,
    distinct: bool = False,
) -> np.ndarray:
    """The training image for each prototype.

    Parameters
    ----------
    distance : (N, P) ndarray
        Of every training image to every prototype, label units.
    labels : (N,) ndarray
        Of the images.
    subjects : (N,) ndarray
        Integer; images of one subject share it.
    prototype_labels : (P,) ndarray
    window : float, optional
        Only images whose label is this near count, label units; where none is, the nearest label;
        None: all count.
    distinct : bool
        Every prototype shows another subject (minimal total distance, an assignment problem).

    Returns
    -------
    (P,) ndarray
        Indices into the N images.

    Raises
    ------
    ValueError
        `distinct` with fewer subjects than prototypes.

    References
    ----------
    .. [1] Hesse et al., "Prototype Learning for Explainable Brain Age Prediction", WACV 2024,
           arXiv:2306.09858 (``window=None, distinct=False``).
    .. [2] Kuhn, "The Hungarian method", 1955.
    """
    cost = np.array(distance, dtype=float)
    if window is not None:
        gap = np.abs(labels[:, None] - prototype_labels[None, :])
        allowed = gap <= np.maximum(window, gap.min(axis=0, keepdims=True))
        # Outside the window the label decides, far above any distance: a distinct assignment stays
        # possible.
        cost = np.where(allowed, cost, cost.max() + 1e3 * (1 + gap))
    if not distinct:
        return np.asarray(cost.argmin(axis=0))
    people, member = np.unique(subjects, return_inverse=True)
    if len(people) < cost.shape[1]:
        raise ValueError(
            f"{cost.shape[1]} distinct prototypes need as many subjects, there are {len(people)}"
        )
    by_person = np.full((len(people), cost.shape[1]), np.inf)
    np.minimum.at(by_person, member, cost)
    rows, columns = linear_sum_assignment(by_person)
    chosen = np.empty(cost.shape[1], dtype=int)
    for person, prototype in zip(rows, columns, strict=True):
        own = np.flatnonzero(member == person)
        chosen[prototype] = own[cost[own, prototype].argmin()]
    return chosen


def spread_over_labels(labels: np.ndarray, count: int) -> np.ndarray:
    """Different subjects whose labels are as evenly spaced from least to largest as can be.

    Parameters
    ----------
    labels : (N,) ndarray
        Of the subjects.
    count : int
        How many to choose.

    Returns
    -------
    (count,) ndarray
        Indices into the subjects, by ascending target label.

    Raises
    ------
    ValueError
        Fewer subjects than `count`.
    """
    if len(labels) < count:
        raise ValueError(
            f"{count} prototypes need as many training subjects, there are {len(labels)}"
        )
    targets = np.linspace(labels.min(), labels.max(), count)
    rows, columns = linear_sum_assignment(np.abs(targets[:, None] - labels[None, :]))
    return np.asarray(columns[np.argsort(rows)])
