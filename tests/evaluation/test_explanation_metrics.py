"""Measures of explanations, held to networks made by hand of which the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.hand_made import FLAT, Pixels, cohort, network, pictures

from expert.errors import InputError
from expert.evaluation.explanation_metrics import measure_explanations
from expert.evaluation.perturbations import shifted
from expert.model_file import load_model
from studies.untrained_baseline import untrained


def test_the_subject_itself_does_not_speak_for_itself():
    images = pictures(FLAT, 2, 3)
    moved = shifted(images, 8, 2)  # the prototypes: each subject, and each a cell to the side
    shown = np.concatenate([images, moved])
    net = network(FLAT, Pixels((6, 5)), shown, np.array([20.0, 30.0, 40.0, 50.0]), radius=100.0)
    arrays = cohort(FLAT, images)
    with_itself = measure_explanations(net, FLAT, arrays, subjects=2)
    without = measure_explanations(
        net, FLAT, arrays, subjects=2, source_subjects=["s0", "s1", "x", "y"]
    )
    assert without.own_left_out == 2
    assert with_itself.own_left_out == 0
    assert (
        without.prototypes["displacement_mm"].value
        > with_itself.prototypes["displacement_mm"].value + 5
    )
    assert without.distinct_prototypes == 4
    # All prototypes show the subject itself: nothing to measure, nothing said.
    alone = measure_explanations(net, FLAT, arrays, subjects=1, source_subjects=["s0"] * 4)
    other = measure_explanations(net, FLAT, arrays, subjects=1, source_subjects=["s1"] * 4)
    assert [m.prototypes["best_share"] is None for m in (alone, other)].count(True) == 1


def test_the_same_seed_gives_the_same_figures_and_another_draws_others():
    images = pictures(FLAT, 8, 1)
    net = network(FLAT, Pixels((6, 5)), images[:3], np.array([20.0, 50.0, 80.0]), radius=100.0)
    arrays = cohort(FLAT, images)
    told = []
    one, two = (
        measure_explanations(
            net, FLAT, arrays, subjects=3, progress=lambda stage, part: told.append((stage, part))
        )
        for _ in range(2)
    )
    assert one == two
    assert told[-1] == ("explain", 1.0)
    assert one != measure_explanations(net, FLAT, arrays, subjects=3, seed=5)
    assert (one.subjects, one.views, one.cell) == (3, 1, (8, 8))
    assert all(isinstance(name, str) and isinstance(value, str) for name, value in one.lines())
    with pytest.raises(InputError, match="At least one"):
        measure_explanations(net, FLAT, arrays, subjects=0)


def test_a_single_subject_is_measured_as_far_as_can_be():
    images = pictures(FLAT, 1, 1)
    net = network(FLAT, Pixels((6, 5)), pictures(FLAT, 3, 2), np.array([20.0, 50.0, 80.0]))
    out = measure_explanations(net, FLAT, cohort(FLAT, images))
    assert out.between_subjects["best_share"] is None
    assert out.deletion["gain"] is None
    assert out.self_match["shift"].value == 1
    assert ("deletion: area between the two", "not available") in out.lines()


def test_explanations_of_planes_are_measured(planes_model_file, planes_recipe, planes_cohort):
    network = load_model(planes_model_file).network
    found = measure_explanations(
        network, planes_recipe.input, planes_cohort, subjects=1, unit="years"
    )
    assert 0 <= found.self_match["shift"].value <= 1
    assert found.prototypes["best_share"].value > found.prototypes["best_share"].chance
    random, sources = untrained(network, planes_recipe.input, planes_cohort)
    assert random.prototypes.shape == network.prototypes.shape
    assert len(sources) == 4
