"""An explanation is exact, travels as JSON, and says which patches go together and speak."""

from __future__ import annotations

import json

import numpy as np
import pytest

import expert
from expert.errors import InputError
from expert.explanation import Explanation
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


def test_an_explanation_of_before_opens_and_says_the_same(forced, tmp_path):
    document = json.loads(forced.model_dump_json())
    interval = {"lower": 60.0, "upper": 70.0, "level": 0.9}
    for name in ("forced", "range_end"):
        del document[name]
    document["interval"] = interval
    document["warnings"] = [{"code": "views_disagree", "message": "They disagree."}]
    path = tmp_path / "e.json"
    path.write_text(json.dumps(document))
    again = expert.Explanation.load(path)
    assert again.forced == again.forced_text == again.range_text == again.interval_missing == ""
    assert not again.interval.shifted
    assert again.prediction_text == f"{again.prediction:.1f} years"
    assert [notice.text for notice in again.warnings] == ["Warning: They disagree."]


def test_a_forced_explanation_says_so_first(forced, tmp_path):
    path = forced.save(tmp_path / "e.json")
    assert list(json.loads(path.read_text()))[:3] == ["schema_version", "statement", "forced"]
    again = expert.Explanation.load(path)
    assert again.forced_text == forced.forced_text
    assert again.forced_text.startswith("Forced prediction: ")
    assert again.forced in again.forced_text
    assert again.interval_missing == "no interval: the image was refused"


def test_the_end_of_the_range_and_a_missing_interval_are_said(explanation):
    value = f"{explanation.prediction:.1f} years"
    for end, text in (("", ""), ("high", " or more"), ("low", " or less")):
        told = explanation.model_copy(update={"range_end": end})
        assert told.prediction_text == value + text
    bare = explanation.model_copy(update={"interval": None, "warnings": ()})
    assert bare.interval_missing == "no interval: the model is not calibrated"
    notice = expert.explanation.Notice(code="unlike_training", message="It is unlike them.")
    unlike = bare.model_copy(update={"warnings": (notice,)})
    assert unlike.interval_missing == "no interval: the image is too unlike the training images"


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


def test_averages_are_stored_and_documents_without_them_are_as_before(
    averaged, explanation, tmp_path
):
    again = Explanation.load(averaged.save(tmp_path / "a.json"))
    for match, before in zip(again.prototypes, averaged.prototypes, strict=True):
        assert match.average == before.average
        assert match.own_image is None
        np.testing.assert_array_equal(match.image, before.image)
    plain = explanation.save(tmp_path / "e.json").read_text(encoding="utf-8")
    assert '"average"' not in plain
    assert all(match.own_image is match.image for match in explanation.prototypes)


def test_an_explanation_of_a_newer_version_says_what_to_do(explanation, tmp_path):
    path = explanation.save(tmp_path / "e.json")
    document = json.loads(path.read_text(encoding="utf-8"))
    for change in ({"schema_version": 2}, {"a_new_field": 1}):
        path.write_text(json.dumps(document | change), encoding="utf-8")
        with pytest.raises(InputError, match="newer version: save it again, or update"):
            Explanation.load(path)
