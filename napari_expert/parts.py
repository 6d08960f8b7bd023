"""Qt parts that the panel is made of."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QLabel, QSizePolicy


def label(name: str = "") -> QLabel:
    """A text that wraps in whatever width there is."""
    out = QLabel()
    out.setWordWrap(True)
    out.setObjectName(name)
    out.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    out.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    return out


def combo(name: str, tip: str) -> QComboBox:
    """A list to choose from, no wider than it must be."""
    box = QComboBox()
    box.setAccessibleName(name)
    box.setToolTip(tip)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(12)
    return box
