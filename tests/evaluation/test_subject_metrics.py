"""Tests of `expert.evaluation.subject_metrics`."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.hand_made import FLAT, Pixels, network, pictures

from expert.evaluation.subject_metrics import SubjectEvaluator

LABELS = np.array([20.0, 50.0, 80.0])


@pytest.fixture(scope="module")
def images():
    return pictures(FLAT, 4, 3)


@pytest.fixture
def evaluator(images):
    """Prototypes are the images of the subjects a, b and c."""
    net = network(FLAT, Pixels((6, 5)), images[:3], LABELS, radius=100.0)
    content = np.full((4, 1, *FLAT.shape), 255, dtype=np.uint8)
    return SubjectEvaluator(
        net,
        images[:, None],
        content,
        np.array(["a", "b", "c", "d"]),
        [None],
        np.ones((3, 30), dtype=bool),
        ["a", "b", "c"],
    )


def test_prototypes_of_the_subject_are_left_out(evaluator):
    assert evaluator.same_subject(1).tolist() == [False, True, False]
    assert not evaluator.same_subject(3).any()
    values, _, _ = evaluator.measure(0, None, 0)
    with_itself = SubjectEvaluator(**{**vars(evaluator), "sources": None})
    own, _, _ = with_itself.measure(0, None, 0)
    # Its own image as a prototype is matched sharply; another noise image is not.
    assert own["prototype best_share"] > values["prototype best_share"]


def test_every_measure_has_a_chance_level_where_there_is_one(evaluator):
    values, chance, exact = evaluator.measure(0, 1, 0)
    assert values["self shift"] == 1
    assert {"prototype best_share", "between best_share", "between follows"} <= set(values)
    assert {name for name in chance if name.startswith("self")} <= set(values)
    assert 1 <= values["effective"] <= 3
    assert max(exact.prediction, exact.distance, exact.shares) < 1e-9
    assert values["outside"] == 0  # a patch's feature is its own box


def test_the_same_seed_gives_the_same_values(evaluator):
    one, two = (evaluator.measure(2, 0, 7)[0] for _ in range(2))
    assert one == pytest.approx(two, nan_ok=True)


def test_a_single_subject_has_no_replacement_for_deleted_patches(evaluator):
    names = np.array(["a"] * 4)
    alone = SubjectEvaluator(**{**vars(evaluator), "names": names})
    values, _, _ = alone.measure(3, None, 0)
    assert not [name for name in values if name.startswith("deletion")]
