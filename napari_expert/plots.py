"""The plot of the answer: all prototypes on the label's axis, their shares as stems, the prediction as a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QSizePolicy, QWidget

if TYPE_CHECKING:
    from expert.explanation import Explanation

PREDICTION = QColor("#D55E00")
STEM = QColor("#56B4E9")


class PrototypePlot(QWidget):
    """Paints itself in the theme's colours; empty until `show_explanation`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._explanation: Explanation | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Prototypes by label, with their shares")
        self.setToolTip("Each tick is a prototype at its label; the stem is its share of the prediction (orange line).")

    def sizeHint(self) -> QSize:
        return QSize(280, 110)

    def show_explanation(self, explanation: Explanation | None) -> None:
        """Plot this explanation, or nothing."""
        self._explanation = explanation
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        result = self._explanation
        if result is None:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        text = self.palette().color(self.foregroundRole())
        font = painter.font()
        font.setPointSizeF(8)
        painter.setFont(font)
        low, high = float(result.labels.min()), float(result.labels.max())
        if result.interval is not None:
            low, high = min(low, result.interval.lower), max(high, result.interval.upper)
        margin, base, top = 10.0, self.height() - 32.0, 16.0
        width = self.width() - 2 * margin
        peak = max(float(result.shares.max()), 1e-9)

        def across(label: float) -> float:
            return margin + width * (label - low) / max(high - low, 1e-9)

        if result.interval is not None:
            band = QColor(PREDICTION)
            band.setAlpha(40)
            left, right = across(result.interval.lower), across(result.interval.upper)
            painter.fillRect(QRectF(left, top, right - left, base - top), band)
        painter.setPen(QPen(text, 1))
        painter.drawLine(QPointF(margin, base), QPointF(margin + width, base))
        for label, share in zip(result.labels, result.shares, strict=True):
            x = across(float(label))
            painter.setPen(QPen(text, 1))
            painter.drawLine(QPointF(x, base), QPointF(x, base + 3))
            if share > 0:
                painter.setPen(QPen(STEM, 3, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
                painter.drawLine(QPointF(x, base - 1), QPointF(x, base - (base - top - 4) * float(share) / peak))
        x = across(result.prediction)
        painter.setPen(QPen(PREDICTION, 2))
        painter.drawLine(QPointF(x, top), QPointF(x, base))
        painter.setPen(text)
        for value in np.linspace(low, high, 5):
            place = QRectF(min(max(across(value) - 20, 0), self.width() - 40), base + 4, 40, 14)
            painter.drawText(place, Qt.AlignmentFlag.AlignCenter, f"{value:.0f}")
        unit = QRectF(0, base + 16, self.width(), 14)
        painter.drawText(unit, Qt.AlignmentFlag.AlignCenter, f"{result.label_name} ({result.unit})")
        painter.setPen(PREDICTION)
        place = QRectF(min(max(x - 40, 0), self.width() - 80), 0, 80, 15)
        painter.drawText(place, Qt.AlignmentFlag.AlignCenter, f"{result.prediction:.1f}")
        painter.end()
