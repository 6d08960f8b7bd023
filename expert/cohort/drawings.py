"""Drawings of the page on a cohort: predictions against labels, and their distribution."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import MaxNLocator

from expert.report.document import Drawing
from expert.report.style import PREDICTION, STEM, Canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT, LEFT, BOTTOM, MARGIN = 360.0, 300.0, 46.0, 40.0, 10.0
LETTERS = 10.0
MOST_POINTS = 500
"""With more images, the number of images in each cell of a grid is drawn."""
CELLS = 48
BINS = 24
"""Most bins of a histogram."""
GRID = "#DDDDDD"


class _Plot:
    """A canvas with two axes, from data to its units."""

    def __init__(
        self,
        axes: Axes,
        x: tuple[float, float],
        y: tuple[float, float],
        names: tuple[str, str],
        whole: bool = False,
    ) -> None:
        self.canvas = Canvas(axes, WIDTH, HEIGHT)
        self.x, self.y = x, y
        for value in _ticks(x):
            across = self.place(value, y[0])[0]
            self.canvas.line((across, MARGIN), (across, HEIGHT - BOTTOM), GRID, 0.5)
            self.canvas.text(across, HEIGHT - BOTTOM + 1.4 * LETTERS, f"{value:g}", LETTERS)
        for value in _ticks(y, whole):
            down = self.place(x[0], value)[1]
            self.canvas.line((LEFT, down), (WIDTH - MARGIN, down), GRID, 0.5)
            self.canvas.text(LEFT - 5, down + 0.35 * LETTERS, f"{value:g}", LETTERS, align="right")
        middle = (LEFT + WIDTH - MARGIN) / 2
        self.canvas.text(middle, HEIGHT - 0.6 * LETTERS, names[0], LETTERS)
        self.canvas.text(LEFT + 4, MARGIN + LETTERS, names[1], LETTERS, align="left")

    def place(self, x: float, y: float) -> tuple[float, float]:
        """A point of the data in units of the drawing."""
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        return (
            LEFT + across * (WIDTH - MARGIN - LEFT),
            HEIGHT - BOTTOM - up * (HEIGHT - BOTTOM - MARGIN),
        )

    def box(self, low: tuple[float, float], high: tuple[float, float], opacity: float) -> None:
        """A filled rectangle between two points of the data."""
        (left, bottom), (right, top) = self.place(*low), self.place(*high)
        size = (right - left, bottom - top)
        self.canvas.rectangle((left, top), size, fill=STEM, opacity=opacity)


def _ticks(ends: tuple[float, float], whole: bool = False) -> list[float]:
    locator = MaxNLocator(nbins=6, steps=[1, 2, 5, 10], integer=whole)
    values = locator.tick_values(*ends)
    return [float(value) for value in values if ends[0] <= value <= ends[1]]


def _ends(values: np.ndarray) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    margin = 0.05 * (high - low) or 1.0
    return low - margin, high + margin


def predicted_and_true(
    labels: np.ndarray, predictions: np.ndarray, name: str, unit: str
) -> Drawing:
    """Predictions against labels, with the line of equal values.

    Parameters
    ----------
    labels, predictions : (N,) ndarray
        Label units. Above `MOST_POINTS` images, darker cells contain more of them.
    name, unit : str
        Of the label.

    Returns
    -------
    Drawing
    """
    ends = _ends(np.concatenate([labels, predictions]))

    def draw(axes: Axes) -> None:
        plot = _Plot(axes, ends, ends, (f"{name} ({unit})", f"predicted ({unit})"))
        plot.canvas.line(plot.place(ends[0], ends[0]), plot.place(ends[1], ends[1]), PREDICTION)
        if len(labels) > MOST_POINTS:
            counts, edges, _ = np.histogram2d(labels, predictions, CELLS, (ends, ends))
            largest = np.log1p(counts.max())
            for i, j in np.argwhere(counts > 0).tolist():
                opacity = 0.15 + 0.85 * float(np.log1p(counts[i, j]) / largest)
                plot.box((edges[i], edges[j]), (edges[i + 1], edges[j + 1]), opacity)
            return
        for label, prediction in zip(labels.tolist(), predictions.tolist(), strict=True):
            across, down = plot.place(label, prediction)
            plot.canvas.rectangle((across - 2, down - 2), (4, 4), fill=STEM, opacity=0.7)

    return Drawing(WIDTH, HEIGHT, f"Predicted {name} against {name} of {len(labels)} images", draw)


def histogram(values: np.ndarray, name: str, unit: str) -> Drawing:
    """Number of images by prediction.

    Parameters
    ----------
    values : (N,) ndarray
        Predictions, label units.
    name, unit : str
        Of the label.

    Returns
    -------
    Drawing
    """
    ends = _ends(values)
    counts, edges = np.histogram(values, int(np.clip(np.sqrt(len(values)), 5, BINS)), ends)

    def draw(axes: Axes) -> None:
        top = 1.1 * float(counts.max())
        plot = _Plot(axes, ends, (0.0, top), (f"predicted {name} ({unit})", "images"), whole=True)
        for n in np.flatnonzero(counts).tolist():
            plot.box((edges[n], 0.0), (edges[n + 1], float(counts[n])), 0.85)

    return Drawing(WIDTH, HEIGHT, f"Distribution of {len(values)} predictions", draw)
