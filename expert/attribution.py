"""Contributions of the patches: to the prediction, and to the similarity to a prototype.

All of them are computed from the exact decomposition of each distance over the image's patches,
``d_p = sum_i c_pi`` (`expert.explanation.View.contributions`); nothing is estimated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from expert.explanation import Explanation


def for_prediction(explanation: Explanation, view: int) -> np.ndarray:
    """How much each patch increases (+) or decreases (-) the prediction: gradient times input.

    To first order, this is the change of the prediction if the patch counted twice. Where planes
    are combined, a patch contributes its part of the mean distance to the prediction of all views;
    otherwise it contributes to the prediction of its own view.

    Parameters
    ----------
    explanation : Explanation
        From `expert.explain`.
    view : int
        0-based.

    Returns
    -------
    (M,) ndarray
        Label units; all 0 where the prediction is the nearest prototype's label, which does not
        change with small changes of the distances.

    References
    ----------
    .. [1] Shrikumar et al., "Not Just a Black Box: Learning Important Features Through Propagating
           Activation Differences", arXiv:1605.01713, 2016 (gradient times input).
    """
    e, own = explanation, explanation.views[view]
    if e.fallback if e.together else own.fallback:
        return np.zeros(len(own.mass))
    distances, shares, contributions = own.distances, own.shares, own.contributions
    if e.together:
        distances, shares, contributions = e.distances, e.shares, contributions / len(e.views)
    return contribution_to_prediction(distances, shares, contributions, e.labels, e.radius)


def contribution_to_prediction(
    distances: np.ndarray,
    shares: np.ndarray,
    contributions: np.ndarray,
    labels: np.ndarray,
    radius: float,
) -> np.ndarray:
    """The equation of `for_prediction`, where a prototype is within the radius.

    With the weights ``w_p = exp(-d_p^2 / (2 s^2))`` and ``s = radius / 3``, the derivative of the
    prediction y is ``dy/dd_p = -(d_p / s^2) share_p (l_p - y)``. It is multiplied by what each
    patch contributes to the distances.

    Parameters
    ----------
    distances, shares, labels : (P,) ndarray
        Of all prototypes; the shares sum to 1.
    contributions : (P, M) ndarray
        Contribution of each patch to each distance.
    radius : float
        Label units.

    Returns
    -------
    (M,) ndarray
        Label units.
    """
    slope = -distances / (radius / 3) ** 2 * shares * (labels - shares @ labels)
    return np.asarray(slope @ contributions)


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
