"""An explanation is exact, travels as JSON, and becomes a page that needs nothing else."""

from __future__ import annotations

import html.parser
import json
import re

import numpy as np
import pytest

import expert
from expert.errors import Cancelled, InputError
from expert.matches import box, chosen_patches, pairs, patch_at, planes, whereabouts
from expert.schema import RESEARCH_USE
from expert.volume import Volume


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
            assert view.distance == pytest.approx(explanation.views[number].distances[match.index], rel=1e-9)
            assert view.marginal_error <= 1e-4
            for patch in (0, 12):
                assert view.matches(patch).sum() == pytest.approx(1)


def test_json_and_back(explanation, tmp_path):
    path = explanation.save(tmp_path / "e.json")
    again = expert.Explanation.load(path)
    assert again.prediction == explanation.prediction
    np.testing.assert_array_equal(again.prototypes[1].views[2].flow, explanation.prototypes[1].views[2].flow)
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
    from expert.speaking import between, for_answer, for_prototype

    e = explanation
    for number, view in enumerate(e.views):
        np.testing.assert_allclose(view.contributions.sum(axis=1), view.distances, rtol=1e-9)
        first, second = e.prototypes[0].index, e.prototypes[1].index
        np.testing.assert_allclose(view.contributions[first], e.prototypes[0].views[number].contributions, rtol=1e-9)
        assert for_prototype(e, number, first).sum() == pytest.approx(0, abs=1e-5)
        gap = view.distances[second] - view.distances[first]
        assert between(e, number, first, second).sum() == pytest.approx(gap, abs=1e-9)
        # The pull of a patch is the slope of the answer along it: tried with one patch that counts 0.1 % more.
        patch = int(np.abs(for_answer(e, number)).argmax())
        distances = view.distances + 1e-3 * view.contributions[:, patch]
        weights = np.exp(-(distances**2) / (2 * (e.radius / 3) ** 2)) * (view.shares > 0)
        moved = float(weights @ e.labels / weights.sum()) - view.prediction
        assert moved == pytest.approx(1e-3 * for_answer(e, number)[patch], rel=0.02)


class Links(html.parser.HTMLParser):
    """Collects what a page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.found += [value or "" for name, value in attrs if name in ("href", "src")]


def test_the_report_needs_nothing_else_and_says_what_it_must(explanation, model, tmp_path):
    path = expert.write_report(explanation, tmp_path / "r.html", model=model.info)
    page = path.read_text()
    assert page.count(RESEARCH_USE) >= 2
    assert f"{explanation.prediction:.1f} years" in page
    assert model.sha256 in page
    links = Links()
    links.feed(page)
    assert links.found
    assert all(link.startswith("data:image/png;base64,") for link in links.found)
    pair = pairs(explanation, 2, 0, chosen_patches(explanation, planes(explanation)[2], "closest"))[0]
    assert re.search(rf"{100 * pair.share:.0f} %", page)


def test_the_report_escapes_what_it_is_told(explanation, tmp_path):
    page = expert.write_report(explanation, tmp_path / "r.html", source="<script>alert(1)</script>").read_text()
    assert "<script>" not in page


def test_a_report_without_a_place_is_one_sentence(explanation, tmp_path):
    with pytest.raises(InputError, match="could not be written"):
        expert.write_report(explanation, tmp_path / "missing" / "r.html")


def test_nothing_of_the_file_is_in_the_outcome(model, head, tmp_path):
    """A name in the path must not travel into JSON or report."""
    folder = tmp_path / "Doe_Jane_19700101"
    folder.mkdir()
    path = expert.write_volume(head, folder / "Doe.nii.gz")
    result = expert.explain(model, expert.read_volume(path), top=1)
    text = result.model_dump_json() + expert.write_report(result, tmp_path / "r.html", model=model.info).read_text()
    assert "Doe_Jane" not in text
    assert str(tmp_path) not in text
