"""The plots of a benchmark: predicted against true, error by label, learning curves. Drawn as
marks, written as SVG."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from expert.report.document import Drawing, Line, Mark, Rect, Text
from expert.report.drawings import DOWN, INK, PREDICTION, STEM, UP, nice_step
from expert.report.report import write_svg
from studies.ablation import BASE, PLAIN

if TYPE_CHECKING:
    from studies.outcome import Outcome

SIDE, LEFT, BELOW, ABOVE = 420.0, 54.0, 46.0, 44.0
STAGES = {
    "warmup": (STEM, "regression, before the prototypes"),
    "prototypes": (PREDICTION, "with prototypes"),
    PLAIN: ("#777777", "plain head"),
}
BINS = 6


class _Axes:
    """A frame with two axes from data to places in the drawing.

    Parameters
    ----------
    across, up : (least, largest) of the data
    titles : of the horizontal and the vertical axis
    """

    def __init__(
        self,
        across: tuple[float, float],
        up: tuple[float, float],
        titles: tuple[str, str],
        title: str,
    ) -> None:
        self.across, self.up = across, up
        base, top = ABOVE + SIDE, ABOVE
        self.marks: list[Mark] = [
            Rect(0, 0, LEFT + SIDE + 14, base + BELOW, fill="#FFFFFF"),
            Rect(LEFT, top, SIDE, SIDE, stroke=INK, stroke_width=1),
            Text(LEFT + SIDE / 2, 17, title, 13, INK, bold=True),
            Text(LEFT + SIDE / 2, base + 38, titles[0], 12, INK),
            Text(LEFT, top - 6, titles[1], 11, INK, "start"),
        ]
        for low, high, horizontal in ((*across, True), (*up, False)):
            step = nice_step(high - low)
            digits = max(-math.floor(math.log10(step)), 0)
            for n in range(math.ceil(low / step), math.floor(high / step) + 1):
                value, words = n * step, f"{n * step:.{digits}f}"
                if horizontal:
                    x = self.x(value)
                    self.marks += [
                        Line(x, base, x, base + 4, INK),
                        Text(x, base + 18, words, 11, INK),
                    ]
                else:
                    y = self.y(value)
                    self.marks += [
                        Line(LEFT - 4, y, LEFT, y, INK),
                        Text(LEFT - 7, y + 4, words, 11, INK, "end"),
                    ]

    def x(self, value: float) -> float:
        """Of a value on the horizontal axis."""
        low, high = self.across
        return LEFT + SIDE * (value - low) / (high - low)

    def y(self, value: float) -> float:
        """Of a value on the vertical axis."""
        low, high = self.up
        return ABOVE + SIDE * (1 - (value - low) / (high - low))

    def line(
        self, start: tuple[float, float], end: tuple[float, float], color: str, width: float = 1.5
    ) -> None:
        """From one (x, y) of the data to another."""
        self.marks.append(
            Line(self.x(start[0]), self.y(start[1]), self.x(end[0]), self.y(end[1]), color, width)
        )

    def dot(self, x: float, y: float, color: str, size: float = 5.0, opacity: float = 0.7) -> None:
        """A point of the data."""
        self.marks.append(
            Rect(
                self.x(x) - size / 2,
                self.y(y) - size / 2,
                size,
                size,
                fill=color,
                fill_opacity=opacity,
            )
        )

    def legend(self, entries: list[tuple[str, str]]) -> None:
        """Colours and what they mean, in the upper right."""
        for n, (color, words) in enumerate(entries):
            y = ABOVE + 16 + 16 * n
            self.marks += [
                Rect(LEFT + SIDE - 14, y - 8, 8, 8, fill=color),
                Text(LEFT + SIDE - 20, y, words, 11, INK, "end"),
            ]

    def drawing(self, description: str) -> Drawing:
        """Everything."""
        return Drawing(LEFT + SIDE + 14, ABOVE + SIDE + BELOW, description, tuple(self.marks))


def write_plots(
    folder: Path,
    name: str,
    labels: np.ndarray,
    outcomes: list[Outcome],
    curves: dict[str, np.ndarray],
    unit: str,
) -> list[Path]:
    """Write the plots of one recipe.

    Parameters
    ----------
    folder : to write to
    name : of the recipe, with which the files' names begin
    labels : (N,) label units
    outcomes : of its variants
    curves : stage to (folds, epochs) training error
    unit : of the label

    Returns
    -------
    Paths of the SVG files
    """
    folder.mkdir(parents=True, exist_ok=True)
    base = next(outcome for outcome in outcomes if outcome.variant == BASE)
    plain = next((outcome for outcome in outcomes if outcome.variant == PLAIN), None)
    out = {
        "predicted-against-true": _scatter(labels, base.prediction, unit),
        "error-by-label": _by_label(
            labels, base.prediction, None if plain is None else plain.prediction, unit
        ),
    }
    if curves:
        out["learning-curves"] = _learning(curves, unit)
    return [write_svg(drawing, folder / f"{name}-{title}.svg") for title, drawing in out.items()]


def _scatter(labels: np.ndarray, prediction: np.ndarray, unit: str) -> Drawing:
    there = np.isfinite(prediction)
    ends = np.concatenate([labels, prediction[there]])
    reach = (float(ends.min()) - 2, float(ends.max()) + 2)
    axes = _Axes(
        reach,
        reach,
        (f"true ({unit})", f"predicted ({unit})"),
        "Predicted against true, held-out subjects",
    )
    axes.line((reach[0], reach[0]), (reach[1], reach[1]), "#999999")
    for label, answer in zip(labels[there], prediction[there], strict=True):
        axes.dot(float(label), float(answer), STEM)
    return axes.drawing(
        "Predicted against true label of every held-out subject, with the line of equality"
    )


def _by_label(
    labels: np.ndarray, prediction: np.ndarray, plain: np.ndarray | None, unit: str
) -> Drawing:
    there = np.isfinite(prediction)
    error = (prediction - labels)[there]
    largest = float(np.abs(error).max()) + 1
    reach = (float(labels.min()) - 2, float(labels.max()) + 2)
    axes = _Axes(
        reach,
        (-largest, largest),
        (f"true ({unit})", f"error ({unit})"),
        "Error by label, held-out subjects",
    )
    axes.line((reach[0], 0), (reach[1], 0), "#999999")
    for label, value in zip(labels[there], error, strict=True):
        axes.dot(float(label), float(value), STEM, opacity=0.35)
    entries = [(UP, "mean error")]
    series = [(UP, prediction)]
    if plain is not None and np.isfinite(plain).any():
        series.append((DOWN, plain))
        entries.append((DOWN, "mean error of the plain head"))
    edges = np.quantile(labels, np.linspace(0, 1, BINS + 1))
    for color, values in series:
        before = None
        for low, high in pairwise(edges):
            inside = (labels >= low) & (labels <= high) & np.isfinite(values)
            if inside.any():
                here = (float(labels[inside].mean()), float((values - labels)[inside].mean()))
                axes.dot(*here, color, 9, 1.0)
                if before is not None:
                    axes.line(before, here, color, 2)
                before = here
    axes.legend(entries)
    return axes.drawing(
        "Signed error of every held-out subject by true label, with means of six groups of "
        "equal size"
    )


def _learning(curves: dict[str, np.ndarray], unit: str) -> Drawing:
    start, ends, highest = 0, {}, max(float(curve.max()) for curve in curves.values())
    for stage, curve in curves.items():
        first = start if stage == "prototypes" else 0
        ends[stage] = (first, first + curve.shape[1])
        start = max(start, ends[stage][1]) if stage == "warmup" else start
    last = max(end for _, end in ends.values())
    axes = _Axes(
        (0, last),
        (0, 1.05 * highest),
        ("epoch", f"training error ({unit})"),
        "Learning curves, mean of the folds",
    )
    for stage, curve in curves.items():
        color, first = STAGES[stage][0], ends[stage][0]
        mean = curve.mean(axis=0)
        for epoch in range(1, len(mean)):
            axes.line(
                (first + epoch, float(mean[epoch - 1])),
                (first + epoch + 1, float(mean[epoch])),
                color,
                2,
            )
    axes.legend([STAGES[stage] for stage in curves])
    return axes.drawing("Training error by epoch, averaged over the folds, of each stage")
