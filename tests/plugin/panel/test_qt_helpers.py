"""Tests of `napari_expert.panel.qt_helpers`."""

from __future__ import annotations

import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QPalette
from qtpy.QtWidgets import QLabel, QTableWidget, QWidget

from expert.untrusted.text import without_tags
from napari_expert.panel.qt_helpers import (
    COLORS,
    Label,
    SortedItem,
    collapsible,
    combo,
    fill_combo,
    is_alive,
    menu_button,
    percent,
)


@pytest.mark.parametrize(("share", "words"), [(0.314, "31 %"), (0, "0 %"), (1, "100 %")])
def test_percent(share, words):
    assert percent(share) == words


def test_items_are_sorted_by_value(qtbot):
    table = QTableWidget(3, 1)
    qtbot.addWidget(table)
    for row, value in enumerate((10, 9, 100)):
        table.setItem(row, 0, SortedItem(str(value), value))
    table.sortItems(0)
    assert [table.item(row, 0).text() for row in range(3)] == ["9", "10", "100"]


def test_a_list_is_filled_without_a_signal(qtbot):
    box = combo("Plane", "Which plane.")
    qtbot.addWidget(box)
    seen = []
    box.currentIndexChanged.connect(seen.append)
    fill_combo(box, ["a", "b", "c"], current=1)
    assert box.currentText() == "b"
    assert seen == []
    assert box.accessibleName() == "Plane"


def test_a_menu_calls_what_was_chosen(qtbot):
    called = []
    button = menu_button(
        "Save", "Save a file.", [(name, lambda name=name: called.append(name)) for name in "ab"]
    )
    qtbot.addWidget(button)
    button.menu().actions()[1].trigger()
    assert called == ["b"]


@pytest.mark.parametrize("color", ["#262930", "#f0f1f2"])
@pytest.mark.parametrize("kind", COLORS)
def test_warnings_and_errors_can_be_read_on_both_themes(qtbot, color, kind):
    from qtpy.QtGui import QColor

    label = Label("x", kind)
    qtbot.addWidget(label)
    palette = label.palette()
    palette.setColor(QPalette.ColorRole.Window, QColor(color))
    label.setPalette(palette)
    label.set_kind(kind)
    ink = next(c for c in COLORS[kind] if c in label.styleSheet())

    def luminance(name):
        parts = [QColor(name).redF(), QColor(name).greenF(), QColor(name).blueF()]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(ink), luminance(color)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_a_section_opens_with_a_click_on_its_title(qtbot):
    content = QLabel("inside")
    section = collapsible("Options", content)
    qtbot.addWidget(section)
    section.show()
    assert not section.isExpanded()
    section.toggleButton().click()
    assert section.isExpanded()
    assert section.toggleButton().accessibleName() == "Options"


HOSTILE = '<img src="file:///etc/passwd"><b>x</b>\x1b[31m\u202ey'


def test_a_label_shows_tags_and_control_characters_as_text(qtbot):
    label = Label("x")
    qtbot.addWidget(label)
    label.setText(HOSTILE)
    assert label.textFormat() == Qt.TextFormat.PlainText
    assert label.text() == '<img src="file:///etc/passwd"><b>x</b>\\x1b[31m\\u202ey'
    label.setText("two\nlines")
    assert label.text() == "two\nlines"
    assert "not" in without_tags("a < b is not a tag, 1<2")
    assert without_tags("a < b, 1<2") == "a < b, 1<2"
    assert not Qt.mightBeRichText(without_tags(HOSTILE))
    assert Qt.mightBeRichText(HOSTILE)


def test_a_widget_that_was_deleted_is_not_alive(qtbot):
    widget = QWidget()
    assert is_alive(widget)
    widget.deleteLater()
    qtbot.waitUntil(lambda: not is_alive(widget), timeout=5000)
