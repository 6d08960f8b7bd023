"""An explanation is exact, travels as JSON, and says which patches go together and speak."""

from __future__ import annotations

import json

import numpy as np
import pytest

import expert
from expert.errors import InputError
from expert.schema import RESEARCH_USE


def test_the_prediction_splits_over_all_prototypes(explanation):
    e = explanation
    assert e.shares.sum() == pytest.approx(1, abs=1e-9)
    assert float(e.shares @ e.labels) == pytest.approx(e.prediction, abs=1e-6)
    for view in e.views:
        assert float(view.shares @ e.labels) == pytest.approx(view.prediction, abs=1e-6)
        assert view.mass.sum() == pytest.approx(1)


def test_every_distance_splits_over_the_patches(explanation):
    for match in explanation.prototypes:
        for number, view in enumerate(match.views):
            assert view.contributions.sum() == pytest.approx(view.distance, rel=1e-9)
            assert view.prototype_contributions.sum() == pytest.approx(view.distance, rel=1e-9)
            assert view.distance == pytest.approx(
                explanation.views[number].distances[match.index], rel=1e-9
            )
            assert view.marginal_error <= 1e-4
            for patch in (0, 12):
                assert view.matches(patch).sum() == pytest.approx(1)


def test_json_and_back(explanation, tmp_path):
    path = explanation.save(tmp_path / "e.json")
    again = expert.Explanation.load(path)
    assert again.prediction == explanation.prediction
    np.testing.assert_array_equal(
        again.prototypes[1].views[2].flow, explanation.prototypes[1].views[2].flow
    )
    np.testing.assert_array_equal(again.views[0].image, explanation.views[0].image)
    assert json.loads(path.read_text())["statement"] == RESEARCH_USE


@pytest.mark.parametrize("damage", ["{}", "not json", '{"schema_version": 99}', ""])
def test_a_damaged_explanation_is_refused(damage, tmp_path):
    path = tmp_path / "e.json"
    path.write_text(damage)
    with pytest.raises(InputError):
        expert.Explanation.load(path)


def test_an_array_that_unpacks_to_more_than_it_says_is_refused(explanation, tmp_path):
    document = json.loads(explanation.model_dump_json())
    document["labels"]["shape"] = [2]
    path = tmp_path / "e.json"
    path.write_text(json.dumps(document))
    with pytest.raises(InputError):
        expert.Explanation.load(path)
