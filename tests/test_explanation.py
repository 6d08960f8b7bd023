"""An explanation is exact, travels as JSON, and says which patches go together and speak."""

from __future__ import annotations

import json

import numpy as np
import pytest

import expert
from expert.errors import Cancelled, InputError
from expert.imaging.volume import Volume
from expert.patches import box, chosen_patches, foreground, patch_at, planes, whereabouts
from expert.schema import RESEARCH_USE


def test_the_answer_is_near_the_truth(explanation):
    assert abs(explanation.prediction - 72) < 8
    assert explanation.interval.lower < explanation.prediction < explanation.interval.upper


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


def test_a_dark_patch_is_background_whatever_its_mass(explanation):
    view, patch = explanation.views[0], int(explanation.views[0].mass.argmax())
    assert foreground(explanation, 0)[patch]
    assert not foreground(explanation, 0)[view.mass < 0.4 / len(view.mass)].any()
    image = view.image.copy()
    image[tuple(slice(int(start), int(stop)) for start, stop in explanation.patch_box(patch))] = 5
    darkened = explanation.model_copy(update={"views": (view.model_copy(update={"image": image}),)})
    np.testing.assert_array_equal(
        foreground(darkened, 0), foreground(explanation, 0) & (np.arange(len(view.mass)) != patch)
    )


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


def test_orientation_unknown_is_said(model, head):
    bare = Volume(head.data, head.affine, "unknown")
    codes = {notice.code for notice in expert.explain(model, bare, top=1).warnings}
    assert "orientation_unknown" in codes


def test_half_a_head_is_said_to_be_half(model, head, explanation):
    assert "brain_incomplete" not in {notice.code for notice in explanation.warnings}
    below = np.array(head.data, dtype=np.float32)
    heights = (
        head.affine[2, :3] @ np.indices(head.shape).reshape(3, -1) + head.affine[2, 3]
    ).reshape(head.shape)
    below[heights < np.median(heights)] = 0
    told = {
        notice.code: notice.message
        for notice in expert.explain(model, Volume(below, head.affine), top=1).warnings
    }
    assert "of the brain is black or outside of the image" in told["brain_incomplete"]


def test_background_is_not_numbered(explanation):
    for choice in ("closest", "different", "all"):
        for patch in chosen_patches(explanation, planes(explanation)[2], choice):
            assert explanation.views[2].mass[patch] > 0.3 / len(explanation.views[2].mass)
    assert len(chosen_patches(explanation, planes(explanation)[2], "closest")) == 6


def test_boxes_lie_where_the_mouse_finds_them(explanation):
    plain = explanation.model_copy(update={"registration": None})
    for e in (explanation, plain):
        plane = planes(e)[0]
        for patch in range(len(e.views[0].mass)):
            corners = box(e, patch)
            assert patch_at(e, plane, tuple(corners.mean(axis=0))) == patch
            assert patch_at(e, plane, tuple(corners[0] + 0.6)) == patch
        assert patch_at(e, plane, (-5.0, 3.0)) is None


def test_heads_are_drawn_radiologically(explanation):
    view = explanation.views[0]
    last = len(view.mass) - 1  # the most anterior row, the rightmost column in (A, R)
    assert whereabouts(explanation, 0, last).startswith("R ")
    assert " A " in whereabouts(explanation, 0, last)
    corners = box(explanation, last)
    assert corners[:, 1].max() < view.image.shape[1] / 2  # the patient's right is drawn on the left
    assert corners[:, 0].max() < view.image.shape[0] / 2  # the front is drawn at the top


def test_the_patches_that_speak_add_up(explanation):
    from expert.attribution import between, for_answer, for_prototype

    e = explanation
    for number, view in enumerate(e.views):
        np.testing.assert_allclose(view.contributions.sum(axis=1), view.distances, rtol=1e-9)
        first, second = e.prototypes[0].index, e.prototypes[1].index
        np.testing.assert_allclose(
            view.contributions[first], e.prototypes[0].views[number].contributions, rtol=1e-9
        )
        assert for_prototype(e, number, first).sum() == pytest.approx(0, abs=1e-5)
        gap = view.distances[second] - view.distances[first]
        assert between(e, number, first, second).sum() == pytest.approx(gap, abs=1e-9)
        # The pull of a patch is the slope of the answer along it: tried with one patch that counts
        # 0.1 % more.
        patch = int(np.abs(for_answer(e, number)).argmax())
        distances = view.distances + 1e-3 * view.contributions[:, patch]
        weights = np.exp(-(distances**2) / (2 * (e.radius / 3) ** 2)) * (view.shares > 0)
        moved = float(weights @ e.labels / weights.sum()) - view.prediction
        assert moved == pytest.approx(1e-3 * for_answer(e, number)[patch], rel=0.02)


def test_an_image_that_is_itself_a_prototype_is_told_to_be(tiny_model_file, squares):
    model = expert.load_model(tiny_model_file)
    told = {
        path.name: [
            notice
            for notice in expert.explain(model, expert.read_volume(path)).warnings
            if notice.code == "training_image"
        ]
        for path in sorted(squares.parent.glob("*.png"))
    }
    # Six prototypes show six of the twenty-four images.
    assert sum(bool(notices) for notices in told.values()) == 6
    assert all(
        "is itself prototype #1" in notices[0].message for notices in told.values() if notices
    )
