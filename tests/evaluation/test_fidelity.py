"""Tests of `expert.evaluation.fidelity`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers.hand_made import (
    Pixels,
    Position,
    Restless,
    both,
    grid_of,
    network,
    picture,
    pictures,
    prototypes,
)

from expert.comparison import compare_images
from expert.evaluation.fidelity import exactness, jaccard, rank_correlation, stability
from expert.training.stages import fit


@both
def test_an_explanation_adds_up_and_a_false_one_does_not(recipe):
    net = network(recipe, Pixels(grid_of(recipe)), *prototypes(recipe))
    image, content = picture(recipe)
    result = compare_images(net, image[None], content[None])
    exact = exactness(net, image[None], content[None], result)
    assert max(exact.prediction, exact.distance, exact.shares) < 1e-10
    assert exact.forward < 1e-3
    assert exact.marginal_error < 1e-4
    assert (
        exactness(
            net, image[None], content[None], replace(result, distances=result.distances + 0.5)
        ).distance
        > 0.4
    )
    false = replace(result, view_shares=np.roll(result.view_shares, 1, axis=1) * 1.1)
    assert exactness(net, image[None], content[None], false).prediction > 1
    assert exactness(net, image[None], content[None], false).shares == pytest.approx(0.1)


@both
def test_stability_of_the_steady_and_of_the_restless(recipe):
    image, content = picture(recipe)
    outcome = {}
    for backbone in (Position, Restless):
        net = network(
            recipe,
            backbone(grid_of(recipe)),
            pictures(recipe, 12, 9),
            np.linspace(20, 80, 12),
            radius=500.0,
        )
        result = compare_images(net, image[None], content[None])
        outcome[backbone] = stability(net, image[None], content[None], result, 0)
    assert set(outcome[Position]) == {"noise", "shift of 1", "shift of 2", "flip"}
    for steady in outcome[Position].values():
        assert (steady.prototypes, steady.matches) == (1, 1)
        assert np.isnan(steady.contributions)  # every patch is equally far from all prototypes
        assert steady.prediction < 1e-9
    for restless in outcome[Restless].values():
        assert restless.matches < 0.3
        assert restless.prototypes < 0.9
        assert restless.contributions < 0.8
        assert restless.prediction > 0


def test_rank_correlation():
    assert rank_correlation(np.array([1, 2, 9]), np.array([0.1, 0.2, 0.3])) == pytest.approx(1)
    assert np.isnan(rank_correlation(np.zeros(3), np.arange(3)))


def test_jaccard():
    assert jaccard([1, 2, 3], [3, 2, 1]) == 1
    assert jaccard([1, 2], [2, 3]) == pytest.approx(1 / 3)


def test_a_table_predicts_as_one_image_does(planes_model_file, planes_recipe, planes_cohort):
    task = fit(planes_recipe, planes_cohort, planes_model_file.with_suffix(".run") / "final")
    network, views = task.network.eval(), task.views
    result = compare_images(
        network, planes_cohort.images[0, views], planes_cohort.content[0, views]
    )
    np.testing.assert_allclose(
        task.distances(planes_cohort)[0], result.distances, rtol=0.1
    )  # single precision
    adds = exactness(
        network, planes_cohort.images[0, views], planes_cohort.content[0, views], result
    )
    assert max(adds.prediction, adds.distance, adds.shares) < 1e-9
    assert adds.forward < 0.05
    assert len(set(task.sources[:, 0].tolist())) == 4
