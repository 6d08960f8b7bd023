"""Tests of `studies.pointing`."""

from __future__ import annotations

import numpy as np
import pytest

from expert.attribution import contribution_to_prediction
from expert.comparison import compare_images
from expert.model_file import load_model
from expert.patches import foreground_patches
from studies.pointing import measure_pointing


def test_planted_effects_are_sought_in_the_common_answer(
    planes_model_file, planes_recipe, planes_cohort
):
    network, views = (
        load_model(planes_model_file).network,
        planes_cohort.planes(planes_recipe.input.positions_mm),
    )
    cells = int(np.prod(network.grid))
    regions = {"ventricles": np.zeros((1, 2, cells), dtype=bool)}
    regions["ventricles"][:, :, : cells // 2] = True
    seen = measure_pointing(network, planes_cohort.select(np.array([0])), views, regions)
    found = compare_images(network, planes_cohort.images[0, views], planes_cohort.content[0, views])
    assert seen["error"][0] == pytest.approx(abs(found.prediction - planes_cohort.labels[0]))
    shares, labels = [], network.prototype_labels.double().numpy()
    for v, inside in enumerate(foreground_patches(planes_cohort.content[0, views], network.grid)):
        parts = found.scale * (found.flow[v] * found.cost[v]).sum(-1) / 2
        pulls = np.abs(
            contribution_to_prediction(
                found.mean_distances, found.shares, parts, labels, found.radius
            )
        )
        shares.append(pulls[inside & regions["ventricles"][0, v]].sum() / pulls[inside].sum())
    assert seen["answer ventricles share"][0] == pytest.approx(np.mean(shares))
