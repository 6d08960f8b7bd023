"""The plot of the answer: all prototypes on the label's axis, their shares as stems, the prediction
as a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from expert.explanation import effective_prototypes
from expert.report.drawings import nice_step

if TYPE_CHECKING:
    from expert.explanation import Explanation

PREDICTION = QColor("#D55E00")
STEM = QColor("#56B4E9")
MARGIN, BELOW, ABOVE = 10.0, 32.0, 28.0
SEEN = 0.005
"""Of smaller shares no stem is seen."""


class PrototypePlot(QWidget):
    """Paints itself in the theme's colours; empty until `show_explanation`."""

    pointed = Signal(int)
    """Index (among all prototypes) under the mouse, -1 for none."""
    chosen = Signal(int)
    """Index that was clicked."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._explanation: Explanation | None = None
        self._shown: dict[int, int] = {}
        self._under = -1
        self._other: Explanation | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMouseTracking(True)
        self.setAccessibleName("Prototypes by label, with their shares")

    def sizeHint(self) -> QSize:
        return QSize(280, 122)

    def show_explanation(
        self,
        explanation: Explanation | None,
        shown: dict[int, int] | None = None,
        other: Explanation | None = None,
    ) -> None:
        """Plot this explanation, or nothing.

        Parameters
        ----------
        explanation : what to plot
        shown : takes the index of a prototype on show to its rank
        other : what it is compared with: its prediction and interval are drawn as well, the two
            being A and B
        """
        self._explanation, self._shown, self._under, self._other = (
            explanation,
            shown or {},
            -1,
            other,
        )
        if explanation is not None:
            self.setAccessibleDescription(
                f"{effective_prototypes(explanation.shares[None]):.0f} of "
                f"{len(explanation.labels)} prototypes hold 80 % of "
                "the weight; "
                f"the prediction is {explanation.prediction:.1f} {explanation.unit}."
            )
        self.update()

    # --- mouse ------------------------------------------------------------------------------------
    def prototype_at(self, x: float) -> int:
        """Index of the prototype nearest to a horizontal place in pixels, those with a visible
        share first; -1 for none."""
        e = self._explanation
        if e is None:
            return -1
        away = np.abs(np.array([self._across(float(label)) for label in e.labels]) - x)
        near = np.flatnonzero(away <= 6)
        if not len(near):
            return -1
        return int(min(near, key=lambda n: (e.shares[n] < SEEN, away[n])))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        found = self.prototype_at(event.position().x())
        if found == self._under:
            return
        self._under = found
        e = self._explanation
        if found >= 0 and e is not None:
            QToolTip.showText(event.globalPosition().toPoint(), self.describe(found), self)
        else:
            QToolTip.hideText()
        self.update()
        self.pointed.emit(found)

    def describe(self, index: int) -> str:
        """One prototype in words."""
        e = self._explanation
        if e is None:
            return ""
        rank = f"#{self._shown[index]}: " if index in self._shown else ""
        words = f"{rank}{e.labels[index]:.1f} {e.unit}, share {100 * e.shares[index]:.0f} %"
        return f"{words}, as far away as {e.distances[index]:.1f} {e.unit}"

    def mousePressEvent(self, event: QMouseEvent) -> None:
        found = self.prototype_at(event.position().x())
        if found >= 0:
            self.chosen.emit(found)

    def leaveEvent(self, event: QEvent) -> None:
        if self._under >= 0:
            self._under = -1
            self.update()
            self.pointed.emit(-1)

    def _others(self) -> tuple[Explanation, ...]:
        return () if self._other is None else (self._other,)

    # --- painting ---------------------------------------------------------------------------------
    def _range(self) -> tuple[float, float]:
        e = self._explanation
        assert e is not None
        ends = [float(e.labels.min()), float(e.labels.max())]
        for one in (e, *self._others()):
            ends += (
                [one.prediction]
                if one.interval is None
                else [one.interval.lower, one.interval.upper]
            )
        return min(ends), max(ends)

    def _across(self, label: float) -> float:
        low, high = self._range()
        return MARGIN + (self.width() - 2 * MARGIN) * (label - low) / max(high - low, 1e-9)

    def paintEvent(self, event: QPaintEvent) -> None:
        e = self._explanation
        if e is None:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        ink = self.palette().color(self.foregroundRole())
        font = painter.font()
        font.setPointSizeF(8)
        painter.setFont(font)
        base, top, across = self.height() - BELOW, ABOVE, self._across
        peak = max(float(e.shares.max()), 1e-9)
        for one in (e, *self._others()):
            if one.interval is not None:
                band = QColor(PREDICTION)
                band.setAlpha(40)
                left, right = across(one.interval.lower), across(one.interval.upper)
                painter.fillRect(QRectF(left, top, right - left, base - top), band)
        painter.setPen(QPen(ink, 1))
        painter.drawLine(QPointF(MARGIN, base), QPointF(self.width() - MARGIN, base))
        for index, (label, share) in enumerate(zip(e.labels, e.shares, strict=True)):
            x = across(float(label))
            painter.setPen(QPen(ink, 1))
            painter.drawLine(QPointF(x, base), QPointF(x, base + 3))
            end = base - (base - top - 4) * float(share) / peak
            if share > 0:
                color = ink if index == self._under else STEM
                painter.setPen(QPen(color, 3, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
                painter.drawLine(QPointF(x, base - 1), QPointF(x, end))
            if index in self._shown:
                painter.setPen(ink)
                painter.drawText(
                    QRectF(x - 15, end - 15, 30, 12),
                    Qt.AlignmentFlag.AlignCenter,
                    f"#{self._shown[index]}",
                )
        low, high = self._range()
        painter.setPen(ink)
        step = nice_step(high - low)
        for value in np.arange(np.ceil(low / step) * step, high + 1e-9, step):
            place = QRectF(
                min(max(across(float(value)) - 20, 0), self.width() - 40), base + 4, 40, 14
            )
            painter.drawText(place, Qt.AlignmentFlag.AlignCenter, f"{value:g}")
        unit = QRectF(0, base + 16, self.width(), 14)
        painter.drawText(unit, Qt.AlignmentFlag.AlignCenter, f"{e.label_name} ({e.unit})")
        painter.setPen(QPen(PREDICTION, 2))
        wide, free = 50.0, 0.0
        named = list(zip(("A ", "B ") if self._other else ("",), (e, *self._others()), strict=True))
        for name, one in sorted(named, key=lambda pair: pair[1].prediction):
            x = across(one.prediction)
            painter.drawLine(QPointF(x, top), QPointF(x, base))
            left = min(max(x - wide / 2, free), self.width() - wide)
            painter.drawText(
                QRectF(left, 0, wide, 13),
                Qt.AlignmentFlag.AlignCenter,
                f"{name}{one.prediction:.1f}",
            )
            free = left + wide
        painter.end()
