"""Tests of `napari_expert.panel.prototype_plot`."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from napari_expert.panel.prototype_plot import PrototypePlot


@pytest.fixture
def plot(qtbot):
    plot = PrototypePlot()
    qtbot.addWidget(plot)
    plot.resize(300, 122)
    plot.show()
    return plot


def place(plot, label: float) -> QPoint:
    return QPoint(round(plot._across(label)), 60)


def pixels(plot) -> np.ndarray:
    image = plot.grab().toImage()
    return np.array(
        [[image.pixel(x, y) for x in range(0, image.width(), 2)] for y in range(image.height())]
    )


def test_it_is_empty_without_an_explanation(plot):
    assert plot.prototype_at(100) == -1
    assert plot.describe(0) == ""
    assert len(np.unique(pixels(plot))) == 1


def test_it_draws_the_prototypes_and_says_them(plot, explanation, qtbot):
    plot.show_explanation(explanation, {m.index: m.rank for m in explanation.prototypes})
    qtbot.wait(50)
    assert len(np.unique(pixels(plot))) > 10
    first = explanation.prototypes[0]
    words = plot.describe(first.index)
    assert words.startswith("#1: ")
    assert f"{first.label:.1f} years" in words
    assert f"{100 * first.share:.0f} %" in words
    assert f"{explanation.prediction:.1f} years" in plot.accessibleDescription()
    plot.show_explanation(None)
    qtbot.wait(50)
    assert len(np.unique(pixels(plot))) == 1


def test_the_mouse_finds_the_prototype_with_a_visible_weight(plot, explanation, qtbot):
    plot.show_explanation(explanation)
    best = int(explanation.shares.argmax())
    assert plot.prototype_at(plot._across(float(explanation.labels[best]))) == best
    assert plot.prototype_at(-50) == -1
    with qtbot.waitSignal(plot.chosen) as chosen:
        qtbot.mouseClick(
            plot, Qt.MouseButton.LeftButton, pos=place(plot, float(explanation.labels[best]))
        )
    assert chosen.args == [best]


def test_leaving_the_plot_ends_the_highlight(plot, explanation, qtbot):
    from qtpy.QtCore import QEvent

    seen = []
    plot.show_explanation(explanation)
    plot.pointed.connect(seen.append)
    best = int(explanation.shares.argmax())
    qtbot.mouseMove(plot, place(plot, float(explanation.labels[best])))
    qtbot.waitUntil(lambda: seen == [best], timeout=3000)
    plot.leaveEvent(QEvent(QEvent.Type.Leave))
    assert seen == [best, -1]


def test_the_axis_includes_the_result_that_is_compared(plot, explanation):
    other = explanation.model_copy(update={"prediction": 140.0, "interval": None})
    plot.show_explanation(explanation)
    before = plot._across(80.0)
    plot.show_explanation(explanation, other=other)
    assert plot._across(80.0) < before
    assert plot._across(140.0) <= plot.width()
