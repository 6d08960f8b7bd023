"""Contributions of the patches: to the prediction, and to the similarity to a prototype.

All of them are computed from the exact decomposition of each distance over the image's patches,
``d_p = sum_i c_pi`` (`expert.explanation.View.contributions`). The contributions to the prediction
sum to its difference from a reference: the prediction if all prototypes were equally far.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from expert.explanation import Explanation, View

RESIDUAL = 1e-3
"""Largest difference between the sum of the contributions and what they explain, label units."""
NODES = 32
"""Points of the path at which the integral is first evaluated; doubled until `RESIDUAL` holds."""
MOST_NODES = 8192


def for_prediction(explanation: Explanation, view: int) -> np.ndarray:
    """How much each patch increases (+) or decreases (-) the prediction: integrated gradients.

    Over all views and patches, the contributions sum to the prediction minus `reference`. Where
    planes are combined, a patch contributes through its part of the mean distance to the prediction
    of all views; otherwise through the prediction of its own view, of which the prediction is the
    mean.

    Parameters
    ----------
    explanation : Explanation
        From `expert.explain`.
    view : int
        0-based.

    Returns
    -------
    (M,) ndarray
        Label units; all 0 where the prediction is the nearest prototype's label (a fallback), which
        does not change with small changes of the distances.

    References
    ----------
    .. [1] Sundararajan, Taly, Yan, "Axiomatic Attribution for Deep Networks", ICML 2017
           (integrated gradients).
    """
    e, own = explanation, explanation.views[view]
    count = len(e.views)
    if e.fallback if e.together else own.fallback:
        return np.zeros(len(own.mass))
    distances, shares = (e.distances, e.shares) if e.together else (own.distances, own.shares)
    if e.together:
        return contribution_to_prediction(
            distances, shares, own.contributions / count, e.labels, e.radius
        )
    return (
        contribution_to_prediction(distances, shares, own.contributions, e.labels, e.radius) / count
    )


def reference(explanation: Explanation) -> float:
    """The prediction if all prototypes were equally far: the start of `for_prediction`.

    Parameters
    ----------
    explanation : Explanation

    Returns
    -------
    float
        Label units: the mean label of the prototypes. With weights that are cut off at the radius,
        the mean label of those within it. A view without a prototype in the radius counts with its
        prediction, because no patch contributes there.
    """
    e = explanation
    return float(
        np.mean(
            [
                part.prediction
                if part.fallback
                else e.labels[compared_prototypes(part.distances, part.shares, e.radius)].mean()
                for part in _deciding(e)
            ]
        )
    )


def reference_text(explanation: Explanation) -> str:
    """What `reference` is the mean of: "prototypes", or "prototypes in the radius"."""
    e = explanation
    everything = all(
        compared_prototypes(part.distances, part.shares, e.radius).all()
        for part in _deciding(e)
        if not part.fallback
    )
    return "prototypes" if everything else "prototypes in the radius"


def _deciding(explanation: Explanation) -> list[Explanation | View]:
    """What has distances and weights that decide: the views, or all of them together."""
    return [explanation] if explanation.together else list(explanation.views)


def compared_prototypes(distances: np.ndarray, shares: np.ndarray, radius: float) -> np.ndarray:
    """Prototypes that take part: all, or those within the radius if weights are cut off there.

    Parameters
    ----------
    distances, shares : (P,) ndarray
        Label units; weights that sum to 1.
    radius : float
        Label units.

    Returns
    -------
    (P,) bool ndarray
        Weights are cut off if all prototypes beyond the radius have the weight 0, and others do
        not. Weights relative to the nearest prototype are above 0 just beyond the radius.
    """
    beyond = distances > radius
    if beyond.any() and not beyond.all() and not shares[beyond].any():
        return np.asarray(~beyond)
    return np.ones(len(distances), dtype=bool)


def contribution_to_prediction(
    distances: np.ndarray,
    shares: np.ndarray,
    contributions: np.ndarray,
    labels: np.ndarray,
    radius: float,
) -> np.ndarray:
    """The equation of `for_prediction`, where the prediction is not a fallback.

    On the straight path ``d_p(t) = m + t (d_p - m)`` from the mean distance m to the distances, the
    weights are ``w_p ~ exp(-d_p(t)^2 / (2 s^2))`` with ``s = radius / 3``, and the derivative of
    the prediction y is ``dy/dd_p = -(d_p(t) / s^2) share_p(t) (l_p - y(t))``. Its integral over t
    is multiplied by what each patch contributes to the distance from a prototype, more than to the
    mean distance. If weights are cut off, the path goes over the prototypes within the radius.

    Parameters
    ----------
    distances, shares, labels : (P,) ndarray
        Of all prototypes; the shares sum to 1.
    contributions : (P, M) ndarray
        Contribution of each patch to each distance; rows sum to `distances`, or to this view's part
        of them.
    radius : float
        Label units.

    Returns
    -------
    (M,) ndarray
        Label units. If the rows of `contributions` sum to the distances, they sum to the prediction
        minus the mean label, to within `RESIDUAL`.
    """
    used = compared_prototypes(distances, shares, radius)
    labels, distances = np.asarray(labels, dtype=float)[used], distances[used].astype(float)
    parts = contributions[used] - contributions[used].mean(axis=0)
    mean, variance = distances.mean(), (radius / 3) ** 2
    away = distances - mean
    moved = float(shares[used] @ labels / shares[used].sum()) - float(labels.mean())
    nodes = NODES
    while True:
        points, steps = np.polynomial.legendre.leggauss(NODES)
        # The path in equal pieces of `NODES` points each.
        pieces = nodes // NODES
        times = ((np.arange(pieces)[:, None] + (points + 1) / 2) / pieces).ravel()
        there = mean + times[:, None] * away
        exponent = -(there**2) / (2 * variance)
        weights = np.exp(exponent - exponent.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        slopes = -there / variance * weights * (labels - (weights @ labels)[:, None])
        slope = np.tile(steps / 2 / pieces, pieces) @ slopes
        if abs(float(slope @ away) - moved) < RESIDUAL or nodes >= MOST_NODES:
            return np.asarray(slope @ parts)
        nodes *= 2


def for_prototype(explanation: Explanation, view: int, prototype: int) -> np.ndarray:
    """Where the image is more (+) or less (-) similar to a prototype than on average.

    Parameters
    ----------
    explanation : Explanation
        From `expert.explain`.
    view : int
        0-based.
    prototype : int
        Index among *all* prototypes of the model (`PrototypeMatch.index`).

    Returns
    -------
    (M,) ndarray
        ``d_p m_i - c_pi`` with the mass m_i of each patch; label units; sums to 0.
    """
    own = explanation.views[view]
    return np.asarray(own.distances[prototype] * own.mass - own.contributions[prototype])


def between(explanation: Explanation, view: int, prototype: int, other: int) -> np.ndarray:
    """Which patches are more similar to one prototype (+) than to another (-).

    Parameters
    ----------
    explanation : Explanation
        From `expert.explain`.
    view : int
        0-based.
    prototype, other : int
        Indices among *all* prototypes of the model.

    Returns
    -------
    (M,) ndarray
        ``c_qi - c_pi``; label units; sums to the difference of the two distances, ``d_q - d_p``.
    """
    own = explanation.views[view]
    return np.asarray(own.contributions[other] - own.contributions[prototype])


for_answer, pull = for_prediction, contribution_to_prediction  # former names


def effective_prototypes(shares: np.ndarray, mass: float = 0.8) -> float:
    """Number of prototypes that have a given fraction of the weight, mean over images.

    Parameters
    ----------
    shares : (N, P) ndarray
        Rows sum to 1.
    mass : float
        0 to 1.

    Returns
    -------
    float
    """
    ordered = np.cumsum(-np.sort(-shares, axis=1), axis=1)
    return float((ordered < mass - 1e-9).sum(axis=1).mean() + 1)
