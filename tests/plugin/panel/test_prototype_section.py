"""Buttons, orders and cards of the prototypes."""

from __future__ import annotations

import pytest
from helpers.window import press

from expert.schema import ImageReference
from napari_expert.panel.prototype_section import card, cards
from napari_expert.prototype_browser import by_label, by_weight
from napari_expert.session import Session


@pytest.fixture
def section(shown, qtbot):
    """The section of a panel that shows an explanation, and a way to wait for it."""

    def wait():
        qtbot.waitUntil(lambda: not shown.matching.running, timeout=60_000)

    return shown.result.prototypes, wait


def test_buttons_and_keys_step(viewer, shown, section, explanation):
    part, wait = section
    count = len(explanation.labels)
    assert part.place.text() == f"1–3 of {count}"
    assert not part.previous_button.isEnabled()
    part.next_button.click()
    wait()
    assert part.place.text() == f"2–4 of {count}"
    press(viewer, "Shift-N")
    wait()
    press(viewer, "Shift-B")
    wait()
    assert part.place.text() == f"2–4 of {count}"
    part.previous_button.click()
    assert shown.session.board.prototypes == tuple(by_weight([explanation])[:3])


@pytest.mark.visible
def test_in_the_lines_layout_the_prototype_beside_the_image_has_a_card(shown, qtbot):
    result, part = shown.result, shown.result.prototypes

    def fits():
        layout = result.layout()
        assert result.height() == layout.heightForWidth(result.width())

    qtbot.waitUntil(fits)
    assert part.cards.text().count("<b>") == 3
    before = result.height()
    shown.session.show_mode("lines")
    assert part.cards.text().count("<b>") == 1
    qtbot.waitUntil(fits)
    assert result.height() < before


def test_an_age_and_an_order_are_chosen(shown, section, explanation):
    part, wait = section
    part.label_box.setValue(35)
    wait()
    assert part.order_box.currentText() == "By age"
    assert part.label_box.value() == 35
    labels = explanation.labels[list(shown.session.board.prototypes)]
    assert abs(labels - 35).max() < 5
    part.next_button.click()
    wait()
    start = shown.session.browser.start
    assert shown.session.board.prototypes == tuple(by_label(explanation)[start : start + 3])
    part._order_chosen(2)
    assert "No patch is selected" in shown.runs.error.text()
    assert part.order_box.currentText() == "By age"
    part._order_chosen(0)
    assert shown.session.board.prototypes == tuple(by_weight([explanation])[:3])


def test_a_click_in_the_plot_shows_any_prototype(shown, section, explanation):
    _, wait = section
    last = int(by_weight([explanation])[-1])
    shown.result.plot.chosen.emit(last)
    wait()
    assert last in shown.session.board.prototypes


def test_cards_say_who_is_shown(explanation):
    first = explanation.prototypes[0]
    reference = ImageReference(
        dataset="IXI (3 T)", subject="IXI IXI012-HH-1211", file="a.nii.gz", sha256="0" * 64
    )
    update = {"reference": reference, "image": None, "share": 0.003}
    session = Session()
    session.show(
        explanation.model_copy(
            update={
                "prototypes": (first.model_copy(update=update), *explanation.prototypes[1:]),
            }
        )
    )
    board = session.board
    title, rest = card(session, board, [session.explanation.prototypes[0]])
    assert title == f"#1 · {first.label:.1f} years · weight < 1 %"
    assert rest == (f"distance {first.distance:.1f} years · IXI012-HH-1211 · image not available")
    assert cards(session, board).count("<b>") == 3
    assert cards(session, board, beside=1).count("<b>") == 1
    assert "&lt; 1 %" in cards(session, board)
    session.compare(session.explanation)
    both = card(session, session.board, [session.explanation.prototypes[0]] * 2)
    assert both[0].endswith("weight < 1 % / < 1 %")
