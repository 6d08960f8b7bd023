"""The colour bar of a signed map: which colour is which value."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QLinearGradient, QPainter, QPalette
from qtpy.QtWidgets import QSizePolicy, QWidget

from expert.evidence.wording import signed
from expert.patches import DECREASE, INCREASE
from expert.untrusted.text import without_tags

HEIGHT, BAR = 30, 9
"""Pixels: of the widget, and of its bar."""


class ColorBar(QWidget):
    """A bar from blue (decrease) over nothing to orange (increase), with its three values.

    Parameters
    ----------
    parent : QWidget, optional
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.limit, self.unit = 0.0, ""
        self.setFixedHeight(HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Colour bar")

    def show_limit(self, limit: float, unit: str) -> None:
        """Set the value of the strongest colour; the bar is hidden if it is 0."""
        self.limit, self.unit = limit, unit
        self.setVisible(limit > 0)
        tip = f"The strongest patch is fully coloured: {limit:.2f} {unit}."
        self.setToolTip(without_tags(tip))
        self.update()

    @property
    def texts(self) -> tuple[str, str, str]:
        """At the left end, in the middle and at the right end."""
        digits = 1 if self.limit >= 1 else 2
        return (signed(-self.limit, digits), "0", f"{signed(self.limit, digits)} {self.unit}")

    def paintEvent(self, event: Any) -> None:
        painter = QPainter(self)
        across = QRectF(0, 1, self.width() - 1, BAR)
        gradient = QLinearGradient(QPointF(across.left(), 0), QPointF(across.right(), 0))
        for place, color, opacity in (
            (0.0, DECREASE, 1.0),
            (0.5, DECREASE, 0.0),
            (0.5001, INCREASE, 0.0),
            (1.0, INCREASE, 1.0),
        ):
            ink = QColor(color)
            ink.setAlphaF(opacity)
            gradient.setColorAt(place, ink)
        painter.fillRect(across, QColor("black"))
        painter.fillRect(across, gradient)
        painter.setPen(self.palette().color(QPalette.ColorRole.WindowText))
        below = QRectF(0, BAR + 2, self.width() - 1, HEIGHT - BAR - 2)
        for text, place in zip(
            self.texts,
            (
                Qt.AlignmentFlag.AlignLeft,
                Qt.AlignmentFlag.AlignHCenter,
                Qt.AlignmentFlag.AlignRight,
            ),
            strict=True,
        ):
            painter.drawText(below, int(place | Qt.AlignmentFlag.AlignTop), text)
        painter.end()
