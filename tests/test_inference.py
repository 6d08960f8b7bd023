"""Prototypes that show their subject in every explained plane, matched by a guide that knows no
labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.refusals import REASON, failed, registered_head

import expert
from expert.errors import Cancelled, InputError, RefusedError
from expert.explanation import Explanation
from expert.imaging.registration import Registration
from expert.imaging.volume import Volume
from expert.inference import explain
from expert.model import weighted_prediction
from expert.model_file import load_model


def test_the_answer_is_near_the_truth(explanation):
    assert abs(explanation.prediction - 72) < 8
    assert explanation.interval.lower < explanation.prediction < explanation.interval.upper


def test_explaining_stops_when_asked(model, head):
    def stop(stage: str, fraction: float) -> None:
        if stage == "features":
            raise Cancelled

    with pytest.raises(Cancelled):
        expert.explain(model, head, progress=stop)


def test_a_plain_image_is_refused_by_a_head_model(model):
    image = Volume.from_array(np.random.default_rng(0).random((50, 60)), spacing=(1, 1))
    with pytest.raises(InputError, match="3D head"):
        expert.explain(model, image)


def test_a_refused_head_gets_no_prediction(model):
    volume, registration = registered_head(72, 5)
    stages = []
    with pytest.raises(RefusedError) as refusal:
        explain(
            model,
            volume,
            registration=failed(registration),
            progress=lambda stage, fraction: stages.append(stage),
        )
    assert str(refusal.value) == REASON
    assert set(stages) == {"register"}


def test_a_forced_prediction_says_that_it_is_one(model, forced):
    volume, registration = registered_head(72, 5)
    usual = explain(model, volume, top=1, registration=registration, force=True)
    assert not usual.forced
    assert "forced_prediction" not in {notice.code for notice in usual.warnings}
    assert forced.forced == REASON
    assert forced.prediction == pytest.approx(usual.prediction)
    assert usual.interval is not None
    assert forced.interval is None
    first = forced.warnings[0]
    assert (first.code, first.severity) == ("forced_prediction", "refused")
    assert REASON in first.message
    assert "poor_registration" in {notice.code for notice in forced.warnings}
    assert sum(REASON in notice.message for notice in forced.warnings) == 1


def test_a_head_of_a_third_of_its_size_gets_no_prediction(model, head):
    shrunk = np.array(head.affine)
    shrunk[:3] *= 0.3
    with pytest.raises(InputError):
        explain(model, Volume(head.data, shrunk), top=1)


def test_the_mean_distance_over_the_planes_decides(planes_model_file, head, tmp_path):
    model = load_model(planes_model_file)
    assert model.prototype_images.shape == (4, 2, 48, 40)
    result = explain(model, head, top=3)
    assert result.together
    distances = np.mean([view.distances for view in result.views], axis=0)
    np.testing.assert_allclose(result.distances, distances)
    weighted = weighted_prediction(
        torch.from_numpy(distances)[None], torch.tensor(result.labels), 20.0, "relative"
    )
    assert result.prediction == pytest.approx(float(weighted.prediction))
    assert result.shares @ result.labels == pytest.approx(result.prediction)
    for match in result.prototypes:
        assert match.distance == pytest.approx(np.mean([view.distance for view in match.views]))
        for number, view in enumerate(match.views):
            assert view.contributions.sum() == pytest.approx(view.distance, rel=1e-6)
            np.testing.assert_allclose(
                result.views[number].contributions[match.index].sum(), view.distance, rtol=1e-6
            )
    again = Explanation.load(result.save(tmp_path / "it.json"))
    assert again.together
    assert again.prediction == result.prediction


def test_averages_are_shown_only_where_the_own_image_is_missing(referring, averaged, head):
    model, place = load_model(referring.file), Registration.known(np.eye(4))
    found = explain(model, head, top=3, data=referring.data, registration=place)
    assert found.prediction == averaged.prediction
    for own, instead in zip(found.prototypes, averaged.prototypes, strict=True):
        assert own.average is None
        assert own.image_message == ""
        assert instead.average.people >= 10
        assert instead.image.shape == own.image.shape
    without = explain(model, head, top=3, images=False, registration=place)
    assert all(match.image is match.average is None for match in without.prototypes)
