"""Tests of `napari_expert.panel.color_bar`."""

from __future__ import annotations

from qtpy.QtGui import QColor

from napari_expert.panel.color_bar import BAR, ColorBar


def test_blue_is_less_and_orange_is_more(qtbot):
    bar = ColorBar()
    qtbot.addWidget(bar)
    bar.resize(201, 30)
    bar.show_limit(2.34, "years")
    assert bar.texts == ("−2.3", "0", "+2.3 years")
    image = bar.grab().toImage()
    left, middle, right = (QColor(image.pixel(x, BAR // 2)) for x in (3, 100, 197))
    assert left.blue() > left.red()
    assert right.red() > right.blue()
    assert max(middle.red(), middle.blue()) < 60


def test_without_values_there_is_no_bar(qtbot):
    bar = ColorBar()
    qtbot.addWidget(bar)
    bar.show_limit(0.0, "years")
    assert not bar.isVisible()
    bar.show_limit(0.25, "weeks")
    assert bar.texts[2] == "+0.25 weeks"
