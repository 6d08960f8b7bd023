"""Which patches speak: for the answer, for one prototype, for one prototype rather than another.

All of them are read off the exact split of each distance over the image's patches, ``d_p = sum_i
c_pi`` (`expert.explanation.View.contributions`); nothing is estimated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from expert.explanation import Explanation


def for_answer(explanation: Explanation, view: int) -> np.ndarray:
    """How far each patch pulls the answer up (+) or down (-).

    With the weights ``w_p = exp(-d_p^2 / (2 s^2))``, ``s = r / 3``, the answer moves with the
    distances as ``dy/dd_p = -(d_p / s^2) share_p (l_p - y)``. A patch's pull is that slope times
    what the patch adds to each distance: to first order, the change of the answer if the patch
    counted twice. Of views that decide together, a patch adds its part of the mean distance, and
    pulls on the answer of all views; else on its own view's.

    Parameters
    ----------
    explanation : Explanation
        From `expert.explain`.
    view : int
        0-based.

    Returns
    -------
    (M,) ndarray
        Label units; all 0 where the nearest prototype alone answers (it is a step, nothing pulls).

    References
    ----------
    .. [1] Gradient times input (Shrikumar et al., 2016) on the patches' parts of the distances.
    """
    e, shown = explanation, explanation.views[view]
    if e.fallback if e.together else shown.fallback:
        return np.zeros(len(shown.mass))
    if e.together:
        return pull(e.distances, e.shares, shown.contributions / len(e.views), e.labels, e.radius)
    return pull(
        shown.distances, shown.shares, shown.contributions, explanation.labels, explanation.radius
    )


def pull(
    distances: np.ndarray,
    shares: np.ndarray,
    contributions: np.ndarray,
    labels: np.ndarray,
    radius: float,
) -> np.ndarray:
    """The equation of `for_answer`, where a prototype is in radius.

    Parameters
    ----------
    distances, shares, labels : (P,) ndarray
        Of all prototypes; the shares sum to 1.
    contributions : (P, M) ndarray
        What each patch adds to each distance.
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
    """Where the image is more (+) or less (-) like a prototype than it is on the whole.

    Parameters
    ----------
    explanation, view : Explanation
        As in `for_answer`.
    prototype : int
        Index among *all* prototypes of the model (`PrototypeMatch.index`).

    Returns
    -------
    (M,) ndarray
        ``d_p m_i - c_pi`` with the patch's mass m_i; label units; sums to 0.
    """
    shown = explanation.views[view]
    return np.asarray(shown.distances[prototype] * shown.mass - shown.contributions[prototype])


def between(explanation: Explanation, view: int, prototype: int, other: int) -> np.ndarray:
    """Which patches speak for a prototype (+) rather than for another (-).

    Parameters
    ----------
    explanation, view : Explanation
        As in `for_answer`.
    prototype, other : int
        Indices among all prototypes of the model.

    Returns
    -------
    (M,) ndarray
        ``c_qi - c_pi``; label units; sums to the difference of the two distances, ``d_q - d_p``.
    """
    shown = explanation.views[view]
    return np.asarray(shown.contributions[other] - shown.contributions[prototype])
