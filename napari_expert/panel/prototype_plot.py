"""Plot of all prototypes on the label axis: weights as stems, the prediction as a line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QEvent, QSize, Qt, Signal
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from expert.attribution import effective_prototypes
from expert.patches import COLORS

if TYPE_CHECKING:
    from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg

    from expert.explanation import Explanation

STEM = COLORS[1]  # sky blue
MARGIN, BELOW, ABOVE = 10, 36, 26
"""Pixels beside, below and above the axes."""
VISIBLE = 0.005
"""The stem of a smaller weight is not visible."""


class PrototypePlot(QWidget):
    """A Matplotlib canvas in the theme's colours that is created with the first explanation.

    The widget handles the mouse itself; the canvas only draws.
    """

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
        self._canvas: FigureCanvasQTAgg | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMouseTracking(True)
        self.setAccessibleName("Prototypes by label, with their weights")

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
        explanation : Explanation or None
            The explanation to plot.
        shown : dict of int to int, optional
            Index of a prototype shown to its rank.
        other : Explanation, optional
            Compared with the first: its prediction and interval are drawn, too. The two
            predictions are named A and B.
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
                f"{len(explanation.labels)} prototypes have 80 % of "
                "the weight; "
                f"the prediction is {explanation.prediction:.1f} {explanation.unit}."
            )
        self._draw()

    # --- mouse ------------------------------------------------------------------------------------
    def prototype_at(self, x: float) -> int:
        """Index of the prototype nearest to a horizontal place in pixels; -1 for none.

        Prototypes with a visible weight come first.
        """
        e = self._explanation
        if e is None:
            return -1
        away = np.abs(np.array([self._across(float(label)) for label in e.labels]) - x)
        near = np.flatnonzero(away <= 6)
        if not len(near):
            return -1
        return int(min(near, key=lambda n: (e.shares[n] < VISIBLE, away[n])))

    def mouseMoveEvent(self, event: Any) -> None:
        found = self.prototype_at(event.position().x())
        if found == self._under:
            return
        self._under = found
        e = self._explanation
        if found >= 0 and e is not None:
            QToolTip.showText(event.globalPosition().toPoint(), self.describe(found), self)
        else:
            QToolTip.hideText()
        self._draw()
        self.pointed.emit(found)

    def describe(self, index: int) -> str:
        """One prototype in words."""
        e = self._explanation
        if e is None:
            return ""
        rank = f"#{self._shown[index]}: " if index in self._shown else ""
        words = f"{rank}{e.labels[index]:.1f} {e.unit}, weight {100 * e.shares[index]:.0f} %"
        return f"{words}, distance {e.distances[index]:.1f} {e.unit}"

    def mousePressEvent(self, event: Any) -> None:
        found = self.prototype_at(event.position().x())
        if found >= 0:
            self.chosen.emit(found)

    def leaveEvent(self, event: Any) -> None:
        if self._under >= 0:
            self._under = -1
            self._draw()
            self.pointed.emit(-1)

    # --- drawing ----------------------------------------------------------------------------------
    def _explanations(self) -> list[Explanation]:
        return [e for e in (self._explanation, self._other) if e is not None]

    def _across(self, label: float) -> float:
        """Horizontal position of a label, pixels."""
        from expert.report.drawings import label_range

        low, high = label_range(self._explanations())
        return MARGIN + (self.width() - 2 * MARGIN) * (label - low) / (high - low)

    def resizeEvent(self, event: Any) -> None:
        self._draw()

    def changeEvent(self, event: Any) -> None:
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.StyleChange):
            self._draw()

    def _draw(self) -> None:
        """Draw everything anew, in the present size and theme."""
        if self._canvas is not None:
            self._canvas.setVisible(self._explanation is not None)
        if self._explanation is None:
            return
        from expert.report.drawings import draw_prototypes
        from expert.report.style import figure_style

        if self._canvas is None:
            self._canvas = self._new_canvas()
        canvas, wide, high = self._canvas, self.width(), self.height()
        canvas.resize(self.size())
        figure = canvas.figure
        ink = self.palette().color(self.foregroundRole()).name()
        with figure_style():
            figure.clear()
            axes = figure.add_axes(
                (
                    MARGIN / wide,
                    BELOW / high,
                    1 - 2 * MARGIN / wide,
                    max(high - BELOW - ABOVE, 1) / high,
                )
            )
            points = (wide - 2 * MARGIN) * 72 / figure.dpi * canvas.device_pixel_ratio
            draw_prototypes(
                axes,
                self._explanations(),
                self._shown,
                points=points,
                ink=ink,
                stem=STEM,
                name=ink,
                under=self._under,
            )
        canvas.draw_idle()

    def _new_canvas(self) -> FigureCanvasQTAgg:
        from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
        from matplotlib.figure import Figure

        canvas = FigureCanvasQTAgg(Figure(facecolor="none"))
        canvas.setParent(self)
        canvas.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        canvas.setStyleSheet("background: transparent")
        canvas.show()
        return canvas
