"""An untrained network to hold measures of explanations against: what architecture and registration
give without learning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from expert.datasets.prepared_dataset import CohortArrays
    from expert.model import PrototypeRegressor
    from expert.schema import InputSettings


def untrained(
    network: PrototypeRegressor, recipe: InputSettings, cohort: CohortArrays, seed: int = 0
) -> tuple[PrototypeRegressor, list[str]]:
    """A network of the same architecture with random weights, whose prototypes are subjects of a
    cohort.

    Its scale makes the median distance of the cohort's subjects a quarter of the radius, so that
    prototypes are in radius; its answers mean nothing, its matches are those of random
    convolutions.

    Parameters
    ----------
    network : whose architecture and grid are taken
    recipe, cohort : as in `expert.evaluation.explanation_metrics.measure_explanations`; the middle
        plane of each subject is used, or all of them where prototypes show every plane
    seed : of the weights and of the draw of the prototypes

    Returns
    -------
    network, sources : in evaluation mode; the subject of each prototype, for `measure_explanations`
    """
    import torch

    from expert.evaluation.matching_quality import encode
    from expert.model import PrototypeRegressor

    planes = cohort.planes(recipe.positions_mm) if len(cohort.positions_mm) > 1 else [0]
    several = network.architecture.planes_combined
    used = planes if several else [planes[len(planes) // 2]]
    count = network.architecture.prototypes
    rows = np.random.default_rng(seed).permutation(len(cohort.labels))
    rows = np.resize(
        rows, count
    )  # again from the start where there are fewer subjects than prototypes
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        out = PrototypeRegressor(network.architecture, network.grid).eval().requires_grad_(False)
    pixels, inside = (
        np.concatenate([of[rows, plane] for plane in used])
        for of in (cohort.images, cohort.content)
    )
    shown = encode(out, pixels, inside)
    with torch.no_grad():
        out.prototypes.data = shown.features.float()
        out.prototype_mass.copy_(shown.mass)
        out.prototype_labels.copy_(torch.from_numpy(cohort.labels[rows]).float())
        out.scale.data.fill_(1.0)
        distance = out.compare(
            shown.features[: min(8, count)], shown.mass[: min(8, count)]
        ).distance
        between = distance[distance > distance.max() * 1e-3]
        if len(between):
            out.scale.data.fill_(network.architecture.radius / 4 / float(between.median()))
    return out, [cohort.entries[row].subject for row in rows]
