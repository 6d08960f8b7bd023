"""Projection: which training image each prototype becomes.

The published rule is the nearest image, whatever its label. The label window, distinct subjects and
relabelling were added here: without them, a prototype can show a subject with another label, and
many prototypes the same subject.

References
----------
.. [1] Hesse et al., "Prototype Learning for Explainable Brain Age Prediction", WACV 2024,
       arXiv:2306.09858.
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
    """Choose the training image of each prototype.

    Parameters
    ----------
    distance : (N, P) ndarray
        Distance of every training image to every prototype, label units.
    labels : (N,) ndarray
        Labels of the images.
    subjects : (N,) ndarray
        Integers: the same for all images of one subject.
    prototype_labels : (P,) ndarray
    window : float, optional
        Largest difference between the label of the prototype and that of the image, label units; if
        no image is that close, the closest label is used. By default any label.
    distinct : bool
        Whether every prototype shows a different subject: the assignment with the least total
        distance.

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
    .. [2] Kuhn, "The Hungarian Method for the Assignment Problem", 1955 (`distinct`).
    """
    cost = np.array(distance, dtype=float)
    if window is not None:
        gap = np.abs(labels[:, None] - prototype_labels[None, :])
        allowed = gap <= np.maximum(window, gap.min(axis=0, keepdims=True))
        # Images outside the window cost more than any distance, but are not excluded: a distinct
        # assignment stays possible.
        cost = np.where(allowed, cost, cost.max() + 1e3 * (1 + gap))
    if not distinct:
        return np.asarray(cost.argmin(axis=0))
    names, member = np.unique(subjects, return_inverse=True)
    if len(names) < cost.shape[1]:
        raise ValueError(
            f"{cost.shape[1]} distinct prototypes need as many subjects, there are {len(names)}"
        )
    by_subject = np.full((len(names), cost.shape[1]), np.inf)
    np.minimum.at(by_subject, member, cost)
    rows, columns = linear_sum_assignment(by_subject)
    chosen = np.empty(cost.shape[1], dtype=int)
    for subject, prototype in zip(rows, columns, strict=True):
        own = np.flatnonzero(member == subject)
        chosen[prototype] = own[cost[own, prototype].argmin()]
    return chosen


def spread_over_labels(labels: np.ndarray, count: int, *, quantiles: bool = False) -> np.ndarray:
    """Choose different subjects with labels as evenly spaced as possible, or at even quantiles.

    Parameters
    ----------
    labels : (N,) ndarray
        Labels of the subjects.
    count : int
        Number of subjects to choose.
    quantiles : bool
        At even quantiles: many where there are many labels, the smallest and largest included.

    Returns
    -------
    (count,) ndarray
        Indices into the subjects, by ascending target label.

    Raises
    ------
    ValueError
        There are fewer subjects than `count`.
    """
    if len(labels) < count:
        raise ValueError(
            f"{count} prototypes need as many training subjects, there are {len(labels)}"
        )
    if quantiles:
        ranks = np.linspace(0, len(labels) - 1, count).round().astype(int)
        return np.asarray(np.argsort(labels, kind="stable")[ranks])
    targets = np.linspace(labels.min(), labels.max(), count)
    rows, columns = linear_sum_assignment(np.abs(targets[:, None] - labels[None, :]))
    return np.asarray(columns[np.argsort(rows)])
