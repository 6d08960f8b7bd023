"""An untrained network as a baseline: what architecture and registration give without training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from expert.datasets.prepared_dataset import CohortArrays
    from expert.model import PrototypeRegressor
    from expert.schema import InputSettings


def untrained(
    network: PrototypeRegressor, settings: InputSettings, cohort: CohortArrays, seed: int = 0
) -> tuple[PrototypeRegressor, list[str]]:
    """A network of the same architecture with random weights and a cohort's prototypes.

    The scale is such that the median distance between the cohort's subjects is a quarter of the
    radius, so that prototypes are within the radius. The predictions have no meaning; the matches
    are those of random convolutions.

    Parameters
    ----------
    network : PrototypeRegressor
        Its architecture and grid are used.
    settings : InputSettings
        How `cohort` was prepared.
    cohort : CohortArrays
        As in `expert.evaluation.explanation_metrics.measure_explanations`; the middle plane of each
        subject is used, or all of them if prototypes show every plane.
    seed : int
        Of the weights and of the draw of the prototypes.

    Returns
    -------
    PrototypeRegressor
        In evaluation mode.
    list of str
        Subject of each prototype, for `measure_explanations`.
    """
    import torch

    from expert.evaluation.matching_quality import encode
    from expert.model import PrototypeRegressor

    planes = cohort.explained_planes(settings)
    several = network.architecture.planes_combined
    used = planes if several else [planes[len(planes) // 2]]
    count = network.architecture.prototypes
    # Repeated if there are fewer subjects than prototypes.
    rows = np.resize(np.random.default_rng(seed).permutation(len(cohort.labels)), count)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        out = PrototypeRegressor(network.architecture, network.grid).eval().requires_grad_(False)
    pixels, inside = (
        np.concatenate([of[rows, plane] for plane in used])
        for of in (cohort.images, cohort.content)
    )
    encoded = encode(out, pixels, inside)
    with torch.no_grad():
        out.prototypes.data = encoded.features.float()
        out.prototype_mass.copy_(encoded.mass)
        out.prototype_labels.copy_(torch.from_numpy(cohort.labels[rows]).float())
        out.scale.data.fill_(1.0)
        distance = out.compare(
            encoded.features[: min(8, count)], encoded.mass[: min(8, count)]
        ).distance
        between = distance[distance > distance.max() * 1e-3]
        if len(between):
            out.scale.data.fill_(network.architecture.radius / 4 / float(between.median()))
    return out, [cohort.entries[row].subject for row in rows]
