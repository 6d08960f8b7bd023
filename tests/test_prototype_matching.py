"""Prototypes that were not explained in the first run get the plans they would have had."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from expert import Explanation, InputError, explain, explain_prototypes, load_model
from expert.prototype_matching import ranks


@pytest.fixture(scope="module")
def twelve(model, head):
    """The head of the other tests, with more prototypes explained."""
    return explain(model, head, top=12)


def test_a_later_match_is_that_of_the_first_run(model, explanation, twelve, tmp_path):
    saved = Explanation.load(explanation.save(tmp_path / "e.json"))
    wanted = [twelve.prototypes[n].index for n in (11, 5)]
    for e in (explanation, saved):
        for match, first in zip(
            explain_prototypes(model, e, wanted),
            (twelve.prototypes[11], twelve.prototypes[5]),
            strict=True,
        ):
            assert match.model_dump(exclude={"views", "image"}) == first.model_dump(
                exclude={"views", "image"}
            )
            np.testing.assert_array_equal(match.image, first.image)
            for one, other in zip(match.views, first.views, strict=True):
                assert_allclose(one.flow, other.flow, atol=1e-9)
                assert_allclose(one.cost, other.cost, atol=1e-9)
                assert one.distance == other.distance
                assert_allclose(one.contributions.sum(), one.distance, rtol=1e-6)


def test_prototypes_of_all_planes_match_later(planes_model_file, head):
    model = load_model(planes_model_file)
    first = explain(model, head, top=3)
    (match,) = explain_prototypes(model, first, [first.prototypes[2].index])
    for one, other in zip(match.views, first.prototypes[2].views, strict=True):
        assert_allclose(one.flow, other.flow, atol=1e-9)
    np.testing.assert_array_equal(match.image, first.prototypes[2].image)


def test_nothing_asked_for(model, explanation):
    assert explain_prototypes(model, explanation, []) == ()


def test_ranks_are_those_of_the_explanation(twelve):
    rank = ranks(twelve)
    assert [rank[match.index] for match in twelve.prototypes] == list(range(1, 13))
    assert sorted(rank) == list(range(1, len(twelve.labels) + 1))


def test_another_model_cannot_match(tiny_model_file, explanation):
    with pytest.raises(InputError, match=r"by another model than .*open the model phantom"):
        explain_prototypes(load_model(tiny_model_file), explanation, [0])


def test_prototypes_of_a_fetal_head_are_matched_with_its_size(fetal_model):
    from helpers.drawn_heads import drawn_head

    from expert.inference import explain

    found = explain(fetal_model, drawn_head(), top=2, images=False)
    second = found.prototypes[1]
    (again,) = explain_prototypes(fetal_model, found, [second.index], images=False)
    np.testing.assert_allclose(again.views[0].cost, second.views[0].cost, atol=1e-9)
