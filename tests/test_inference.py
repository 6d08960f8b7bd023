"""Prototypes that show their subject in every explained plane, matched by a guide that knows no
labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.refusals import REASON, failed, registered_head

import expert
from expert.errors import Cancelled, InputError, RefusedError
from expert.explanation import Explanation
from expert.imaging.registration import Registration
from expert.imaging.volume import Volume
from expert.inference import ExplainCache, explain, warm_up
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


def test_the_same_image_is_not_computed_again(model, head, explanation):
    cache, stages = ExplainCache(), []
    first = explain(model, head, top=2, cache=cache)
    again = explain(
        model,
        Volume(head.data.copy(), head.affine.copy()),
        top=3,
        cache=cache,
        progress=lambda *step: stages.append(step),
    )
    assert again.prediction == first.prediction == explanation.prediction
    assert len(again.prototypes) == 3
    np.testing.assert_array_equal(again.distances, explanation.distances)
    # One call for each stage: nothing was registered or compared.
    assert [stage for stage, _ in stages] == ["register", "features", *["match"] * 4]


def test_another_image_is_computed(model, head):
    cache = ExplainCache()
    explain(model, head, top=1, cache=cache)
    moved = head.affine.copy()
    moved[0, 3] += 8
    other = Volume(head.data, moved)
    fresh, cached = explain(model, other, top=1), explain(model, other, top=1, cache=cache)
    assert cached.prediction == fresh.prediction
    np.testing.assert_array_equal(
        cached.registration.template_to_subject, fresh.registration.template_to_subject
    )
    cache.clear()
    assert explain(model, other, top=1, cache=cache).prediction == fresh.prediction


def test_an_image_that_was_changed_where_it_is_is_computed(one_plane, head):
    cache, volume = ExplainCache(), Volume(head.data.copy(), head.affine)
    first = explain(one_plane, volume, top=1, cache=cache)
    volume.data[:, :, 60:] = volume.data[:, :, 60:] * 0.7
    again = explain(one_plane, volume, top=1, cache=cache)
    assert again.input_sha256 != first.input_sha256
    assert again.prediction != first.prediction
    assert again.prediction == explain(one_plane, volume, top=1).prediction


def test_a_registration_serves_other_models(model, one_plane, head):
    cache, fractions = ExplainCache(), []
    explain(model, head, top=1, cache=cache)
    other = explain(one_plane, head, top=1, cache=cache, progress=lambda *s: fractions.append(s))
    assert other.prediction == explain(one_plane, head, top=1).prediction
    assert len([stage for stage, _ in fractions if stage == "register"]) == 1


WARM = """
import sys
from expert.inference import warm_up
from expert.model_file import load_model
assert not {"torch", "SimpleITK"} & set(sys.modules)
warm_up(load_model(sys.argv[1]))
before = set(sys.modules)
from expert.datasets.phantom import phantom
import expert
if sys.argv[1] == "phantom":
    expert.explain(load_model("phantom"), phantom(72, 5), top=1)
    print(*[name for name in set(sys.modules) - before if name.split(".")[0] in
            ("torch", "SimpleITK", "safetensors")])
"""


@pytest.mark.parametrize("name", ["phantom", "fetal-head"])
def test_a_warm_process_has_nothing_heavy_left_to_import(name):
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-c", WARM, name], capture_output=True, text=True, check=True
    )
    late = [one for one in done.stdout.split() if one in ("torch", "SimpleITK")]
    assert not late


def test_warming_up_can_be_cancelled(model):
    def stop(stage: str, fraction: float) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        warm_up(model, stop)


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


def test_a_refusal_names_what_is_doubtful_in_the_file(model):
    volume, registration = registered_head(72, 5)
    doubtful = replace(volume, doubts=("Two slices are missing.",))
    with pytest.raises(RefusedError, match=r"Two slices are missing\.$"):
        explain(model, doubtful, registration=failed(registration))


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
