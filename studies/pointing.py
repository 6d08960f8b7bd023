"""Where explanations point: whether the largest contributions are in a known region."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from expert.attribution import contribution_to_prediction
from expert.comparison import ViewsResult, compare_images, deciding
from expert.evaluation.matching_quality import nan_mean
from expert.patches import foreground_patches

if TYPE_CHECKING:
    from expert.datasets.prepared_dataset import CohortArrays
    from expert.model import PrototypeRegressor


def measure_pointing(
    network: PrototypeRegressor,
    cohort: CohortArrays,
    views: Sequence[int],
    regions: dict[str, np.ndarray],
) -> dict[str, np.ndarray]:
    """Predict and explain each head, and measure where the explanation points.

    Parameters
    ----------
    network : PrototypeRegressor
        In evaluation mode.
    cohort : CohortArrays
        N heads with labels.
    views : sequence of int
        Indices of the V explained planes.
    regions : dict of str to (N, V, M) ndarray of bool
        By name of the region.

    Returns
    -------
    dict of str to (N,) ndarray
        Means over the views, NaN where not defined: "error" (label units); "own place"; for
        "answer" (contribution to the prediction) and "pair" (highest against lowest label), each
        region, and "strongest" and "share", such as "pair ventricles share"; with " chance"
        appended, the chance level.
    """
    rows = []
    for n, label in enumerate(cohort.labels):
        images, content = cohort.images[n, list(views)], cohort.content[n, list(views)]
        result = compare_images(network, images, content)
        found: dict[str, list[float]] = defaultdict(list)
        foreground = foreground_patches(content, network.grid)
        for v, inside in enumerate(foreground):
            for what, values in _attributions(network, result, v).items():
                for place, region in regions.items():
                    measured = _in_region(np.abs(values), result.mass[v], inside, region[n, v])
                    for name, value in measured.items():
                        found[f"{what} {place} {name}"].append(value)
            stays = _own_place(result, v)
            shares = result.shares if result.planes_combined else result.view_shares[v]
            found["own place"].append(float(shares @ stays[:, inside].mean(1)))
            found["own place chance"].append(1 / max(int(inside.sum()), 1))
        row = {name: nan_mean(values) for name, values in found.items()}
        rows.append(row | {"error": abs(result.prediction - label)})
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {name: np.array([row.get(name, np.nan) for row in rows]) for name in names}


def _own_place(result: ViewsResult, view: int) -> np.ndarray:
    """(P, M) share of each patch that is matched to its own place in each prototype."""
    flow = result.flow[view]
    if result.partners is None:
        own = np.diagonal(flow, axis1=1, axis2=2)
    else:
        own = (flow * (result.partners == np.arange(flow.shape[1])[:, None])).sum(-1)
    return np.asarray(own / np.maximum(flow.sum(-1), 1e-12))


def _attributions(
    network: PrototypeRegressor, result: ViewsResult, view: int
) -> dict[str, np.ndarray]:
    """(M,) values of the patches, by kind.

    "pair" as in `expert.attribution.between`, and "answer" as in
    `expert.attribution.for_prediction` unless the prediction is a fallback.
    """
    labels = network.prototype_labels.double().numpy()
    parts = result.contributions[view]
    out = {"pair": parts[int(labels.argmin())] - parts[int(labels.argmax())]}
    decided = deciding(result, view)
    if decided is not None:
        out["answer"] = contribution_to_prediction(*decided, labels, result.radius)
    return out


def _in_region(
    values: np.ndarray, mass: np.ndarray, foreground: np.ndarray, region: np.ndarray
) -> dict[str, float]:
    """Whether the largest foreground value (M,) is in the region, and which fraction of all is."""
    there = region & foreground
    total = values[foreground].sum()
    if not there.any() or total <= 0:
        return {}
    return {
        "strongest": float(there[np.where(foreground, values, -1.0).argmax()]),
        "strongest chance": float(there.sum() / foreground.sum()),
        "share": float(values[there].sum() / total),
        "share chance": float(mass[there].sum() / mass[foreground].sum()),
    }
