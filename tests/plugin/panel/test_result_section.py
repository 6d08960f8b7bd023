"""Tests of `napari_expert.panel.result_section`."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtWidgets import QLabel

import expert
from expert.schema import RESEARCH_USE


def test_a_row_of_the_table_leads_to_its_patch(panel, explanation):
    panel.show_explanation(explanation)
    panel.result.table.selectRow(4)
    assert panel.session.pinned
    assert panel.session.focus.tile == 0
    assert panel.session.focus.patch in panel.session.patches


@pytest.mark.visible
def test_4_the_answer_with_its_interval_warnings_and_plot(shown, explanation, qtbot):
    e, answer = explanation, shown.result
    assert (
        f"{e.prediction:.1f} {e.unit} (90 % interval: {e.interval.lower:.0f} – "
        f"{e.interval.upper:.0f})"
    ) == answer.headline.text()
    assert RESEARCH_USE in [label.text() for label in shown.findChildren(QLabel)]
    warned = e.model_copy(
        update={
            "warnings": (
                expert.explanation.Notice(code="views_disagree", message="They disagree."),
            )
        }
    )
    shown.show_explanation(warned)
    assert "They disagree." in answer.warnings.text()
    assert answer.warnings.isVisibleTo(shown)
    best = int(e.shares.argmax())
    assert answer.plot.describe(best).startswith("#1: ")
    x = answer.plot._across(float(e.labels[best]))
    assert answer.plot.prototype_at(x) == best


@pytest.mark.visible
def test_what_speaks_for_one_prototype_rather_than_another(shown):
    box_, drawn, session = shown.result.map_box, shown.result_layers, shown.session
    words = [box_.itemText(n) for n in range(box_.count())]
    assert words[:2] == ["none", "Contribution to prediction"]
    labels = [session.explanation.labels[index] for index in session.board.prototypes]
    wanted = f"#1 ({labels[0]:.0f}) vs #2 ({labels[1]:.0f})"
    assert wanted in words
    for number in range(1, box_.count()):
        box_.setCurrentIndex(number)
        assert session.painted_values() is not None
        assert shown.result.legend.isVisibleTo(shown)
    box_.setCurrentIndex(words.index(wanted))
    view, (first, second, *_) = session.plane.view, session.board.prototypes
    gap = session.explanation.views[view].distances
    assert session.painted_values()[view].sum() == pytest.approx(gap[second] - gap[first], abs=1e-6)
    box_.setCurrentIndex(0)
    assert not np.asarray(drawn.tiles[0].highlight.edge_color)[:, 3].any()
