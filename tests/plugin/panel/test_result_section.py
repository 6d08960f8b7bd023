"""Tests of `napari_expert.panel.result_section`."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtWidgets import QLabel

import expert
from expert.schema import RESEARCH_USE


def test_a_row_of_the_table_leads_to_its_patch(panel, explanation):
    panel.show_explanation(explanation)
    panel.answer.table.selectRow(4)
    assert panel.scene.pinned
    assert panel.scene.focus.cell == 0
    assert panel.scene.focus.patch in panel.scene.patches


@pytest.mark.visible
def test_4_the_answer_with_its_interval_warnings_and_plot(shown, explanation, qtbot):
    e, answer = explanation, shown.answer
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
    box_, scene = shown.answer.speak_box, shown.scene
    words = [box_.itemText(n) for n in range(box_.count())]
    assert words[:2] == ["none", "what moved the answer"]
    labels = [scene.explanation.labels[index] for index in scene.board.prototypes]
    wanted = f"why #1 ({labels[0]:.0f}) and not #2 ({labels[1]:.0f})"
    assert wanted in words
    for number in range(1, box_.count()):
        box_.setCurrentIndex(number)
        assert scene.speaking is not None
        assert shown.answer.legend.isVisibleTo(shown)
    box_.setCurrentIndex(words.index(wanted))
    view, (first, second, *_) = scene.plane.view, scene.board.prototypes
    gap = scene.explanation.views[view].distances
    assert scene.speaking[view].sum() == pytest.approx(gap[second] - gap[first], abs=1e-6)
    box_.setCurrentIndex(0)
    assert not np.asarray(scene.cells[0].wash.edge_color)[:, 3].any()
