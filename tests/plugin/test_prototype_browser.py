"""Which prototypes are shown, without a window: orders, steps, and matches made on demand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from expert.errors import InputError
from expert.prototype_matching import explain_prototypes, ranks
from napari_expert.prototype_browser import KEPT, by_label, by_patch, by_weight, first_near
from napari_expert.session import PatchMap, Session


@pytest.fixture(scope="module")
def other(model):
    """A much younger head, explained with few prototypes."""
    from expert.datasets.phantom import phantom
    from expert.inference import explain

    return explain(model, phantom(30, 9), top=2)


def answer(session, model):
    """Match what is asked for, as the panel does in another thread."""
    request = session.browser.request
    matches = [
        explain_prototypes(model, e, missing)
        for e, missing in zip(request.explanations, request.missing, strict=True)
    ]
    session.browser.add(request, matches)


@pytest.fixture
def session(explanation, model):
    """A session whose requests are answered at once."""
    out = Session()
    out.events.wanted.connect(lambda: answer(out, model))
    out.show(explanation)
    return out


def test_orders(explanation, other):
    e = explanation
    assert list(by_weight([e])[:3]) == [match.index for match in e.prototypes]
    assert (np.diff(e.labels[by_label(e)]) >= 0).all()
    patch = int(e.views[2].mass.argmax())
    assert (np.diff(e.views[2].contributions[by_patch(e, 2, patch), patch]) >= 0).all()
    least = np.minimum(e.shares, other.shares)
    assert (np.diff(least[by_weight([e, other])]) <= 0).all()
    for order in (by_weight([e]), by_label(e), by_patch(e, 0, 7), by_weight([e, other])):
        assert_array_equal(np.sort(order), np.arange(len(e.labels)))


def test_nearest_labels():
    labels = np.array([20.0, 30, 41, 42, 43, 60, 61])
    assert first_near(labels, 42, 3) == 2
    assert first_near(labels, 55, 2) == 5
    assert first_near(labels, 90, 2) == 5
    assert first_near(labels, 0, 7) == 0


def test_steps_go_on_beyond_the_explained_prototypes(session, explanation):
    order = by_weight([explanation])
    session.browser.step(1)
    assert session.board.prototypes == tuple(order[1:4])
    assert session.board.names == ("this image", "#2", "#3", "#4")
    view, patch = session.plane.view, session.patches[0]
    shares = session.board.partners(view, 0, patch)
    assert_allclose([share.sum() for share in shares], 1)
    for _ in range(100):
        session.browser.step(1)
    assert session.board.prototypes == tuple(order[-3:])
    assert len(session.explanation.prototypes) == 6, "only those needed are kept"
    assert len(session.browser._matches[0]) <= KEPT
    for _ in range(100):
        session.browser.step(-1)
    assert session.board.prototypes == tuple(order[:3])
    assert session.explanation is explanation


def test_in_the_lines_layout_the_next_one_comes_beside_the_image(session, explanation):
    order = by_weight([explanation])
    session.show_mode("lines")
    seen = []
    for _ in range(5):
        seen.append(session.board.prototypes[session.partner - 1])
        session.browser.step(1)
    assert seen == list(order[:5])
    for _ in range(2):
        session.browser.step(-1)
    assert session.board.prototypes[session.partner - 1] == order[3]


def test_who_else_is_of_an_age(session, explanation):
    session.browser.show_near(35)
    shown, labels = list(session.board.prototypes), explanation.labels
    assert max(abs(labels[shown] - 35)) <= np.sort(abs(labels - 35))[2]
    assert explanation.shares[shown].max() < 0.01, "they are not among the first by weight"
    session.browser.sort("weight")
    assert session.board.prototypes[0] == explanation.prototypes[0].index
    session.browser.sort("label")
    assert list(session.board.prototypes) == shown, "as asked for the last time"


def test_the_most_similar_in_a_patch(session, explanation):
    with pytest.raises(InputError, match="No patch is selected"):
        session.browser.sort("patch")
    patch = session.patches[0]
    session.set_focus(0, patch, pin=True)
    session.browser.sort("patch")
    column = explanation.views[session.plane.view].contributions[:, patch]
    assert session.board.prototypes[0] == column.argmin()
    assert session.pinned
    assert session.focus.patch == patch
    assert len(session.focus.shares) == session.board.tiles
    assert ranks(explanation)[session.board.prototypes[0]] == int(session.board.names[1][1:])


def test_plane_patches_and_colours_stay(session, explanation):
    session.show_plane(1)
    session.choose_patches("all")
    numbers = list(session.patches)
    session.set_map(PatchMap("similarity", (explanation.prototypes[1].index,)))
    session.browser.step(1)
    assert (session.plane_number, session.choice, session.patches) == (1, "all", numbers)
    assert session.map is not None
    session.browser.step(1)
    session.browser.step(1)
    assert session.map is None, "its prototype is not shown any more"


def test_a_prototype_is_shown_by_its_number(session, explanation):
    last = int(by_weight([explanation])[-1])
    session.browser.show(last)
    assert session.board.prototypes[session.partner - 1] == last
    session.browser.show(session.board.prototypes[0])
    assert session.partner == 1


def test_reports_have_the_prototypes_shown(session, explanation, tmp_path):
    from expert import Explanation, write_report

    session.browser.show_near(35)
    shown = session.shown_explanation()
    assert tuple(match.index for match in shown.prototypes) == session.board.prototypes
    assert f"#{shown.prototypes[0].rank}" in write_report(shown, tmp_path / "r.html").read_text()
    saved = Explanation.load(session.complete_explanation().save(tmp_path / "e.json"))
    assert {match.index for match in explanation.prototypes} < {m.index for m in saved.prototypes}
    again = Session()
    again.show(saved)
    assert again.board.prototypes == tuple(match.index for match in explanation.prototypes)


def test_any_two_images_are_compared(session, explanation, other):
    """They share no explained prototype; those of the largest common weight are matched."""
    assert not {m.index for m in explanation.prototypes} & {m.index for m in other.prototypes}
    session.compare(other)
    board = session.board
    assert board.subjects == 2
    assert session.other.prediction == other.prediction
    common = by_weight([explanation, other])
    assert board.prototypes == tuple(common[:3])
    patch = session.patches[0]
    assert_allclose([s.sum() for s in board.partners(session.plane.view, 0, patch)], 1)
    session.browser.step(1)
    assert session.board.prototypes == tuple(common[1:4])


def test_without_the_model_the_explained_prototypes_are_compared(explanation, other):
    session, said = Session(), []
    session.events.failed.connect(said.append)
    session.show(explanation)
    session.compare(explanation)
    assert session.board.subjects == 2
    session.show(explanation)
    session.compare(other)
    session.browser.fail(session.browser.request, "No model.")
    assert said == ["No model."]
    assert session.board.subjects == 1
    session.browser.step(1)
    session.browser.fail(session.browser.request, "No model.")
    assert session.board.prototypes == tuple(match.index for match in explanation.prototypes)
    assert session.browser.start == 0
    session.browser.show_near(35)
    session.browser.fail(session.browser.request, "No model.")
    assert (session.browser.order, session.browser.start) == ("weight", 0)
    half = other.model_copy(update={"prototypes": (*other.prototypes, explanation.prototypes[1])})
    session.compare(half)
    session.browser.fail(session.browser.request, "No model.")
    assert session.board.prototypes == (explanation.prototypes[1].index,)


def test_an_answer_that_is_not_wanted_any_more_changes_nothing(explanation, other, model):
    session = Session()
    session.show(explanation)
    session.browser.step(1)
    late = session.browser.request
    session.show(other)
    matches = [explain_prototypes(model, explanation, late.missing[0])]
    session.browser.add(late, matches)
    assert session.explanation is other
    assert session.board.prototypes == tuple(match.index for match in other.prototypes)


def test_the_next_one_is_matched_ahead(session, explanation):
    session.browser.step(1)
    ahead = session.browser.ahead()
    assert ahead.missing == ((int(by_weight([explanation])[4]),),)
    session.browser.step(-1)
    assert session.browser.ahead() is None, "there is none before the first"
