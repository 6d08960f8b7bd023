"""Fidelity of an explanation.

Whether it adds up exactly to the prediction, and how sensitive it is to changes of the image that
should not matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from expert.attribution import contribution_to_prediction
from expert.comparison import ViewsResult, compare_images, deciding
from expert.evaluation.matching_quality import nan_mean
from expert.evaluation.perturbations import slight_changes
from expert.features.grey_values import to_unit
from expert.patches import foreground_patches

if TYPE_CHECKING:
    from expert.model import PrototypeRegressor

TOP = 5
"""Prototypes whose stability is measured: as many as are shown by default."""


@dataclass(frozen=True)
class Exactness:
    """Largest deviations of an explanation from the computed values; 0 up to rounding.

    Label units unless stated.
    """

    prediction: float
    """Of the sum of weights times labels from the prediction."""
    distance: float
    """Of the sum of the patches' contributions from the distance, over all prototypes."""
    shares: float
    """Of the sum of the weights from 1."""
    forward: float
    """Of the network's forward pass in single precision from the explained prediction: the effect
    of rounding."""
    marginal_error: float
    """Of the plans' row and column sums from the patch masses, as a fraction of 1."""


def exactness(
    network: PrototypeRegressor, images: np.ndarray, content: np.ndarray, result: ViewsResult
) -> Exactness:
    """How exactly the explanation of one subject adds up.

    Parameters
    ----------
    network : PrototypeRegressor
        In evaluation mode, on the CPU.
    images, content : (V, *shape) ndarray
        0 to 255, from which `result` was computed.
    result : ViewsResult
        From `expert.comparison.compare_images`.

    Returns
    -------
    Exactness
    """
    import torch

    from expert.model import weighted_prediction

    labels, settings = network.prototype_labels.double().numpy(), network.architecture
    # Summed in another order than in the model, as an independent check.
    contributions = result.scale * np.sum(result.flow * result.cost, axis=-1)
    forward, distances = [], []
    with torch.inference_mode():
        for plane, (image, inside) in enumerate(zip(images, content, strict=True)):
            pixels = to_unit(image)[None, None]
            weighted, comparison = network(pixels, to_unit(inside)[None], plane)
            forward.append(float(weighted.prediction))
            distances.append(comparison.distance)
        if result.planes_combined:
            mean = torch.stack(distances).mean(0)
            combined = weighted_prediction(
                mean, network.prototype_labels, settings.radius, settings.weights
            )
            forward = [float(combined.prediction)]
    return Exactness(
        prediction=abs(float(result.shares @ labels) - result.prediction),
        distance=float(np.abs(contributions.sum(axis=-1) - result.distances).max()),
        shares=float(np.abs(result.view_shares.sum(axis=1) - 1).max()),
        forward=abs(float(np.mean(forward)) - result.prediction),
        marginal_error=float(result.marginal_error.max()),
    )


def top_prototypes(result: ViewsResult, count: int = TOP) -> list[int]:
    """Indices of the prototypes with the largest weights.

    Ties are ordered by distance, as in `expert.inference.explain`.

    Parameters
    ----------
    result : ViewsResult
    count : int

    Returns
    -------
    list of int
    """
    return [int(index) for index in np.lexsort((result.mean_distances, -result.shares))[:count]]


def strongest(result: ViewsResult, view: int, prototypes: list[int]) -> np.ndarray:
    """(N, M) strongest partner of each patch of a view in each of N prototypes."""
    best = result.flow[view][prototypes].argmax(axis=2)
    if result.partners is None:
        return np.asarray(best)
    return np.asarray(result.partners[np.arange(best.shape[1]), best])


def jaccard(one: list[int], other: list[int]) -> float:
    """Jaccard index of two sets: size of the intersection over size of the union, 0 to 1."""
    return len({*one} & {*other}) / len({*one} | {*other})


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's rank correlation of two vectors, NaN if one varies by less than 1e-9."""
    from scipy.stats import spearmanr

    if len(one) < 2 or min(np.ptp(one), np.ptp(other)) < 1e-9:
        return float("nan")
    return float(spearmanr(one, other).statistic)


def _contributions(network: PrototypeRegressor, result: ViewsResult, view: int) -> np.ndarray:
    """(M,) contributions of a view's patches to the prediction; 0 if it is a fallback."""
    decided = deciding(result, view)
    if decided is None:
        return np.zeros(result.mass.shape[1])
    labels = network.prototype_labels.double().numpy()
    return contribution_to_prediction(*decided, labels, result.radius)


@dataclass(frozen=True)
class Stability:
    """Differences between the explanations of an image and of a slightly changed copy."""

    prototypes: float
    """Jaccard index of the five prototypes with the largest weights, 0 to 1."""
    matches: float
    """Fraction of the foreground patches whose best match in these prototypes stays the same, 0 to
    1."""
    contributions: float
    """Spearman's rank correlation of the contributions of these patches to the prediction, -1 to 1;
    NaN where no patch contributes."""
    prediction: float
    """Absolute change of the prediction, label units."""


def stability(
    network: PrototypeRegressor,
    images: np.ndarray,
    content: np.ndarray,
    result: ViewsResult,
    seed: int,
) -> dict[str, Stability]:
    """Sensitivity of an explanation to noise, shifts by one and two pixels, and mirroring.

    Best matches are compared in the five prototypes with the largest weights for the unchanged
    image. The explanation of a mirrored image counts as the same if it is mirrored as well: the
    right side is matched to the right side again.

    Parameters
    ----------
    network : PrototypeRegressor
        In evaluation mode, on the CPU.
    images, content : (V, *shape) ndarray
        0 to 255.
    result : ViewsResult
        From `expert.comparison.compare_images` of these.
    seed : int
        Of the noise.

    Returns
    -------
    dict of str to Stability
        By change, see `expert.evaluation.perturbations.slight_changes`.

    References
    ----------
    .. [1] Alvarez-Melis and Jaakkola, "On the robustness of interpretability methods", 2018, and
       Yeh et al., "On the (in)fidelity and sensitivity of explanations", NeurIPS 2019 (sensitivity
       measures, such as Captum's `sensitivity_max`; here for named changes instead of the worst one
       nearby).
    """
    copies = [
        list(
            slight_changes(image, inside, network.grid, seed + n, rim=network.architecture.ellipse)
        )
        for n, (image, inside) in enumerate(zip(images, content, strict=True))
    ]
    own, out = foreground_patches(content, network.grid), {}
    for views in zip(*copies, strict=True):  # one change, all views
        changed = compare_images(
            network, np.stack([c.image for c in views]), np.stack([c.content for c in views])
        )
        there = foreground_patches(np.stack([c.content for c in views]), network.grid)
        partners = [
            np.where(own[n] & (c.partner >= 0) & there[n][c.partner], c.partner, -1)
            for n, c in enumerate(views)
        ]
        mirror = [c.partner for c in views] if views[0].name == "flip" else None
        out[views[0].name] = agreement(network, result, changed, partners, mirror)
    return out


def agreement(
    network: PrototypeRegressor,
    result: ViewsResult,
    changed: ViewsResult,
    partners: list[np.ndarray],
    mirror: list[np.ndarray] | None = None,
) -> Stability:
    """Compare the explanations of an image and of a changed copy.

    Parameters
    ----------
    network : PrototypeRegressor
    result, changed : ViewsResult
        Of the image and of its copy.
    partners : list of (M,) int ndarray
        For each view, where the content of each patch of the image is in the copy; -1 for patches
        that are not compared.
    mirror : list of (M,) int ndarray, optional
        Where the partners in the prototypes are expected, if not at the same place.

    Returns
    -------
    Stability
    """
    before = top_prototypes(result)
    same, ranks = [], []
    for n, moved in enumerate(partners):
        rows = np.flatnonzero(moved >= 0)
        partner = strongest(result, n, before)[:, rows]
        again = strongest(changed, n, before)[:, moved[rows]]
        expected = partner if mirror is None else mirror[n][partner]
        same.append(float((again == expected).mean()) if len(rows) else float("nan"))
        then, now = (_contributions(network, one, n) for one in (result, changed))
        ranks.append(rank_correlation(then[rows], now[moved[rows]]))
    return Stability(
        prototypes=jaccard(before, top_prototypes(changed)),
        matches=nan_mean(same),
        contributions=nan_mean(ranks),
        prediction=abs(changed.prediction - result.prediction),
    )
