"""Whether an explanation can be relied on: is it exact, is it stable under changes that should not
matter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from expert.comparison import ViewsResult, compare_images
from expert.evaluation.matching_quality import mean_of
from expert.evaluation.perturbations import slight_changes
from expert.patches import foreground_cells

if TYPE_CHECKING:
    from expert.model import PrototypeRegressor

TOP = 5
"""Prototypes whose stability is measured: as many as are shown by default."""


@dataclass(frozen=True)
class Exactness:
    """Largest deviations of what an explanation says from what was computed, label units; 0 up to
    rounding."""

    prediction: float
    """Of the sum of shares times labels from the prediction."""
    distance: float
    """Of the sum over patches of their contributions from the distance, over all prototypes."""
    shares: float
    """Of the sum of the shares from 1."""
    forward: float
    """Of the network's own forward pass in single precision from the explained prediction: what
    rounding alone does."""
    marginal_error: float
    """Of the plans' row and column sums from the masses; parts of 1."""


def exactness(
    network: PrototypeRegressor, images: np.ndarray, content: np.ndarray, result: ViewsResult
) -> Exactness:
    """How exactly the explanation of one subject adds up.

    Parameters
    ----------
    network : in evaluation mode, on the CPU
    images, content : (V, *shape) 0 to 255, from which `result` was computed
    result : from `expert.comparison.compare_images`
    """
    import torch

    from expert.model import weighted_prediction

    labels, settings = network.prototype_labels.double().numpy(), network.architecture
    # Summed once more in another order than where they were computed: row by row, contribution by
    # contribution.
    contributions = result.scale * (result.flow * result.cost).sum(axis=-1)
    forward, distances = [], []
    with torch.inference_mode():
        for plane, (image, inside) in enumerate(zip(images, content, strict=True)):
            pixels = torch.from_numpy(np.ascontiguousarray(image)).float()[None, None] / 255
            weighted, held = network(
                pixels, torch.from_numpy(np.ascontiguousarray(inside)).float()[None] / 255, plane
            )
            forward.append(float(weighted.prediction))
            distances.append(held.distance)
        if result.together is not None:
            mean = torch.stack(distances).mean(0)
            forward = [
                float(
                    weighted_prediction(
                        mean, network.prototype_labels, settings.radius, settings.weights
                    ).prediction
                )
            ]
    return Exactness(
        prediction=abs(float(result.shares @ labels) - result.prediction),
        distance=float(np.abs(contributions.sum(axis=-1) - result.distances).max()),
        shares=float(np.abs(result.view_shares.sum(axis=1) - 1).max()),
        forward=abs(float(np.mean(forward)) - result.prediction),
        marginal_error=float(result.marginal_error.max()),
    )


def top_prototypes(result: ViewsResult, count: int = TOP) -> list[int]:
    """Indices of the prototypes shown first: by share, then by distance, as in
    `expert.inference.explain`."""
    return [int(index) for index in np.lexsort((result.mean_distances, -result.shares))[:count]]


def jaccard(one: list[int], other: list[int]) -> float:
    """Size of the intersection of two sets over that of their union, 0 to 1."""
    return len({*one} & {*other}) / len({*one} | {*other})


@dataclass(frozen=True)
class Stability:
    """One explanation against that of a slightly changed image."""

    prototypes: float
    """Jaccard index of the first five prototypes, 0 to 1."""
    matches: float
    """Share of the foreground whose strongest partner, in these prototypes, stays the same, 0 to
    1."""
    prediction: float
    """Absolute change of the prediction, label units."""


def stability(
    network: PrototypeRegressor,
    images: np.ndarray,
    content: np.ndarray,
    result: ViewsResult,
    seed: int,
) -> dict[str, Stability]:
    """What noise, shifts of one and two pixels and mirroring change in an explanation.

    Hard matches are compared in the five prototypes that the unchanged image is likened to most. Of
    the mirrored image, the explanation counts as the same when it is mirrored too: the right side
    is matched to the right side again, whichever was on the right.

    Parameters
    ----------
    network : in evaluation mode, on the CPU
    images, content : (V, *shape) 0 to 255
    result : from `expert.comparison.compare_images` of these
    seed : of the noise

    Returns
    -------
    by change, see `expert.evaluation.perturbations.slight_changes`
    """
    copies = [
        list(slight_changes(image, inside, network.grid, seed + n))
        for n, (image, inside) in enumerate(zip(images, content, strict=True))
    ]
    own, before = foreground_cells(content, network.grid), top_prototypes(result)
    out = {}
    for views in zip(*copies, strict=True):  # one change, all views
        changed = compare_images(
            network, np.stack([c.image for c in views]), np.stack([c.content for c in views])
        )
        there = foreground_cells(np.stack([c.content for c in views]), network.grid)
        mirrored = views[0].name == "flip"
        kept = []
        for n, change in enumerate(views):
            rows = np.flatnonzero(own[n] & (change.partner >= 0) & there[n][change.partner])
            partner = result.flow[n][before][:, rows].argmax(axis=2)
            again = changed.flow[n][before][:, change.partner[rows]].argmax(axis=2)
            expected = change.partner[partner] if mirrored else partner
            kept.append(float((again == expected).mean()) if len(rows) else float("nan"))
        out[views[0].name] = Stability(
            prototypes=jaccard(before, top_prototypes(changed)),
            matches=mean_of(kept),
            prediction=abs(changed.prediction - result.prediction),
        )
    return out
