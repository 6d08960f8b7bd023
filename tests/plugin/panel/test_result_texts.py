"""Tests of `napari_expert.panel.result_texts`."""

from __future__ import annotations

from expert.evidence.wording import signed
from expert.explanation import Interval, Notice
from napari_expert.panel import result_texts
from napari_expert.session import CONTRIBUTION, PatchMap, Session
from napari_expert.side_by_side import Board


def test_the_headline_has_the_interval_and_the_end_of_the_range(explanation):
    interval = Interval(lower=60.2, upper=80.4, level=0.9)
    e = explanation.model_copy(update={"interval": interval, "range_end": "high"})
    value = f"{e.prediction:.1f} years"
    assert result_texts.headline(Board(e)) == f"{value} or more (90 % interval: 60 – 80)"
    low = e.model_copy(update={"interval": None, "range_end": "low"})
    assert result_texts.headline(Board(low)) == f"{value} or less"
    usual = e.model_copy(update={"interval": None, "range_end": ""})
    assert result_texts.headline(Board(usual)) == value


def test_notices_have_their_severity_in_words(explanation):
    notices = (
        Notice(code="views_disagree", message="They disagree."),
        Notice(code="range_limit", message="It is at the end.", severity="note"),
    )
    e = explanation.model_copy(update={"warnings": notices})
    text = "⚠ Warning: They disagree.\n• Note: It is at the end."
    assert result_texts.notices(Board(e)) == text
    assert result_texts.notices(Board(e, e)) == text, "once for two images"
    assert result_texts.forced(Board(e)) == ""


def test_a_forced_prediction_is_named(forced, explanation):
    assert result_texts.forced(Board(forced)) == f"⚠ {forced.forced_text}"
    assert forced.forced_text not in result_texts.notices(Board(forced))
    assert result_texts.forced(Board(explanation, forced)) == f"⚠ B: {forced.forced_text}"


def test_the_planes_with_their_predictions(explanation):
    board = Board(explanation)
    names = result_texts.plane_names(board)
    assert len(names) == len(explanation.views)
    assert names[0] == f"{board.planes[0].name}: {explanation.views[0].prediction:.1f} years"


def test_every_map_has_a_name(explanation):
    maps, words = result_texts.maps(Board(explanation, top=3))
    assert maps[0] is None
    assert len(maps) == len(words) == 2 + 3 + 3


def test_the_summary_of_one_image_and_of_two(explanation):
    one = result_texts.summary(Board(explanation))
    assert one == explanation.summary
    assert "(mean of the prototypes" in one
    assert result_texts.summary(Board(explanation, explanation)) == f"A: {one}\nB: {one}"
    plain = explanation.model_copy(update={"registration": None})
    assert result_texts.summary(Board(plain, plain)) == ""


def test_the_legend_says_what_all_patches_sum_to(explanation):
    session = Session()
    session.show(explanation)
    text = result_texts.legend(session, session.board, CONTRIBUTION)
    total = explanation.prediction - session.board.evidence.reference
    assert f"All patches sum to {signed(total)} years" in text
    similar = PatchMap("similarity", (explanation.prototypes[0].index,))
    assert "sum to" not in result_texts.legend(session, session.board, similar)


def test_a_patch_that_is_pointed_at_has_its_regions(explanation):
    session = Session()
    session.show(explanation)
    session.set_focus(0, session.patches[0])
    view = session.plane.view
    text = result_texts.focus_text(session.board, view, session.focus)
    assert ", ".join(session.board.evidence.region_names(view, session.patches[0])) in text
