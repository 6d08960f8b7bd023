"""Qt widgets that the panel is made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.compat import isalive
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtGui import QIcon, QPalette
from qtpy.QtWidgets import (
    QComboBox,
    QLabel,
    QMenu,
    QPushButton,
    QSizePolicy,
    QTableWidgetItem,
    QWidget,
)
from superqt import QCollapsible

from expert.untrusted.text import plain_text

COLORS = {"warning": ("#E69F00", "#8A5A00"), "error": ("#FF7A45", "#B33A00")}
"""On a dark and on a light theme: at least 4.5 to 1 against the background."""


class Label(QLabel):
    """A text that wraps, in the theme's colour or in that of a warning or an error.

    It is plain: texts come from files. Only a widget that escapes them sets another format.
    """

    def __init__(self, name: str = "", kind: str = "", style: str = "") -> None:
        super().__init__()
        self._kind, self._style = kind, style
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setWordWrap(True)
        self.setObjectName(name)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.set_kind(kind)

    def set_kind(self, kind: str) -> None:
        """Set the kind: "warning", "error" or "" for plain text."""
        self._kind = kind
        color = f"color: {COLORS[kind][is_light(self)]};" if kind else ""
        if color or self._style:
            self.setStyleSheet(f"QLabel {{ {color} {self._style} }}")
        else:
            self.setStyleSheet("")

    def setText(self, text: str | None) -> None:
        super().setText(plain_text(text or "", lines=True))

    def showEvent(self, event: Any) -> None:
        self.set_kind(self._kind)  # the theme is known once there is a window
        super().showEvent(event)


def is_light(widget: QWidget) -> bool:
    """Whether a widget is on a light background."""
    return bool(widget.palette().color(QPalette.ColorRole.Window).lightness() > 127)


def is_alive(widget: QWidget) -> bool:
    """Whether a widget still exists: its window may be closed while a dialog is open."""
    return bool(isalive(widget))  # type: ignore[no-untyped-call]


def combo(name: str, tip: str) -> QComboBox:
    """A list to choose from, no wider than it must be."""
    box = QComboBox()
    box.setAccessibleName(name)
    box.setToolTip(tip)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(12)
    box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return box


def collapsible(title: str, content: QWidget, expanded: bool = False) -> QCollapsible:
    """A section that opens and closes with a click on its title."""
    # superqt draws its arrows before the theme is known: ours are text, in the theme's colour.
    section = QCollapsible(title, expandedIcon=QIcon(), collapsedIcon=QIcon())
    section.setDuration(0)
    for layout in (section.layout(), section.content().layout()):
        assert layout is not None
        layout.setContentsMargins(0, 0, 0, 0)
    button = section.toggleButton()
    button.setAccessibleName(title)
    button.setStyleSheet(
        "QPushButton { text-align: left; border: none; background: transparent; padding: 2px 0; "
        "font-weight: bold; } QPushButton:focus { text-decoration: underline; }"
    )

    def show_arrow(is_open: bool) -> None:
        section.setText(f"{'▾' if is_open else '▸'} {title}")

    section.toggled.connect(show_arrow)
    section.addWidget(content)
    if expanded:
        section.expand(animate=False)
    show_arrow(expanded)
    return section


def fill_combo(box: QComboBox, items: list[str], current: int = 0) -> None:
    """Replace the items of a list without a signal."""
    with QSignalBlocker(box):
        box.clear()
        box.addItems(items)
        box.setCurrentIndex(current)


def menu_button(
    title: str, tip: str, entries: list[tuple[str, Callable[[], object]]]
) -> QPushButton:
    """A button that opens a menu."""
    button = QPushButton(title)
    button.setToolTip(tip)
    button.setAccessibleName(title)
    menu = QMenu(button)
    for words, call in entries:
        action = menu.addAction(words)
        assert action is not None
        action.triggered.connect(lambda checked=False, call=call: call())
    button.setMenu(menu)
    return button


class SortedItem(QTableWidgetItem):
    """A table item that sorts by its value, not by its text."""

    def __init__(self, text: str, value: Any) -> None:
        super().__init__(text)
        self.value = value

    def __lt__(self, other: QTableWidgetItem) -> bool:
        return (
            bool(self.value < other.value)
            if isinstance(other, SortedItem)
            else bool(super().__lt__(other))
        )


def percent(share: float) -> str:
    """0.314 to "31 %"."""
    return f"{100 * share:.0f} %"
