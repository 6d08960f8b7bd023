"""Plots of a cross-validation as SVG: predicted and true label, error, learning curves."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from expert.patches import DECREASE, INCREASE
from expert.report.style import INK, PREDICTION, STEM, figure_style, write_svg
from studies.ablation import BASE, PLAIN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes

    from studies.outcome import Outcome

STAGES = {
    "warmup": (STEM, "regression, before the prototypes"),
    "prototypes": (PREDICTION, "with prototypes"),
    PLAIN: ("#777777", "regression baseline"),
}
BINS = 6
SITE_COLORS = (STEM, PREDICTION, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#777777", "#000000")
SITE_MARKERS = ("s", "o", "^", "v", "D", "p", "h")
"""Of the sites in turn; two sites share both only if there are more than 56."""


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
    folder : pathlib.Path
        Folder of the files; created if needed.
    name : str
        Name of the recipe: the first part of the file names.
    labels : (N,) ndarray
        Label units.
    outcomes : list of Outcome
        One per variant of the recipe.
    curves : dict of str to (folds, epochs) ndarray
        Training error by stage.
    unit : str
        Unit of the label.

    Returns
    -------
    list of Path
        The SVG files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    base = next(outcome for outcome in outcomes if outcome.variant == BASE)
    plain = next((outcome for outcome in outcomes if outcome.variant == PLAIN), None)
    baseline = None if plain is None else plain.prediction
    plots = {
        "predicted-against-true": scatter(labels, base.prediction, unit),
        "error-by-label": error_by_label(labels, base.prediction, baseline, unit),
    }
    if curves:
        plots["learning-curves"] = learning_curves(curves, unit)
    return [
        write_svg(figure, folder / f"{name}-{title}.svg", figure.axes[0].get_title())
        for title, figure in plots.items()
    ]


def _axes(title: str, across: str, up: str) -> Axes:
    """Axes in a figure of their own."""
    with figure_style():
        figure = Figure(figsize=(5.6, 5.6), layout="constrained")
        axes = figure.add_subplot()
        axes.set_title(title, fontsize=11, weight="bold", color=INK)
        axes.set_xlabel(across, color=INK)
        axes.set_ylabel(up, color=INK)
        axes.tick_params(colors=INK)
    return axes


def _figure(axes: Axes) -> Figure:
    figure = axes.get_figure(root=True)
    assert figure is not None
    return figure


def scatter(labels: np.ndarray, prediction: np.ndarray, unit: str) -> Figure:
    """Predicted against true label of every held-out subject, with the line of equality."""
    known = np.isfinite(prediction)
    ends = np.concatenate([labels, prediction[known]])
    reach = (float(ends.min()) - 2, float(ends.max()) + 2)
    title = "Predicted against true, held-out subjects"
    axes = _axes(title, f"true ({unit})", f"predicted ({unit})")
    axes.plot(reach, reach, color="#999999")
    axes.plot(labels[known], prediction[known], "s", color=STEM, markersize=4, alpha=0.7, mew=0)
    axes.set(xlim=reach, ylim=reach, aspect="equal")
    return _figure(axes)


def scatter_by_site(groups: dict[str, tuple[np.ndarray, np.ndarray]], unit: str) -> Figure:
    """Predicted against true label with a color and a marker for every site.

    Parameters
    ----------
    groups : dict of str to ((N,) ndarray, (N,) ndarray)
        True labels and predictions of each site, label units.
    unit : str
        Unit of the label.

    Returns
    -------
    Figure
    """
    axes = _axes("Predicted against true, by site", f"true ({unit})", f"predicted ({unit})")
    ends = np.concatenate([values for group in groups.values() for values in group])
    reach = (float(ends.min()) - 2, float(ends.max()) + 2)
    axes.plot(reach, reach, color="#999999")
    for n, (name, (labels, prediction)) in enumerate(groups.items()):
        color, marker = SITE_COLORS[n % len(SITE_COLORS)], SITE_MARKERS[n % len(SITE_MARKERS)]
        axes.plot(
            labels, prediction, marker, color=color, markersize=4, alpha=0.7, mew=0, label=name
        )
    axes.set(xlim=reach, ylim=reach, aspect="equal")
    axes.legend(loc="upper left", fontsize=9)
    return _figure(axes)


def error_by_label(
    labels: np.ndarray, prediction: np.ndarray, baseline: np.ndarray | None, unit: str
) -> Figure:
    """Signed error of held-out subjects by true label, with means of six groups of equal size."""
    known = np.isfinite(prediction)
    error = (prediction - labels)[known]
    largest = float(np.abs(error).max()) + 1
    reach = (float(labels.min()) - 2, float(labels.max()) + 2)
    axes = _axes("Error by label, held-out subjects", f"true ({unit})", f"error ({unit})")
    axes.axhline(0, color="#999999")
    axes.plot(labels[known], error, "s", color=STEM, markersize=4, alpha=0.35, mew=0)
    series = [(INCREASE, "mean error", prediction)]
    if baseline is not None and np.isfinite(baseline).any():
        series.append((DECREASE, "mean error of the regression baseline", baseline))
    for color, name, values in series:
        means = np.array(list(_group_means(labels, values)))
        axes.plot(means[:, 0], means[:, 1], "s-", color=color, linewidth=2, label=name)
    axes.set(xlim=reach, ylim=(-largest, largest))
    axes.legend(loc="upper right", fontsize=9)
    return _figure(axes)


def _group_means(labels: np.ndarray, values: np.ndarray) -> Iterator[tuple[float, float]]:
    """Mean label and mean error of groups of equal size."""
    for low, high in pairwise(np.quantile(labels, np.linspace(0, 1, BINS + 1))):
        inside = (labels >= low) & (labels <= high) & np.isfinite(values)
        if inside.any():
            yield float(labels[inside].mean()), float((values - labels)[inside].mean())


def learning_curves(curves: dict[str, np.ndarray], unit: str) -> Figure:
    """Training error by epoch, averaged over the folds, of each stage."""
    title = "Learning curves, mean of the folds"
    axes = _axes(title, "epoch", f"training error ({unit})")
    start = last = 0
    for stage, curve in curves.items():
        first = start if stage == "prototypes" else 0
        last = max(last, first + curve.shape[1])
        start = max(start, first + curve.shape[1]) if stage == "warmup" else start
        color, name = STAGES[stage]
        epochs = first + 1 + np.arange(curve.shape[1])
        axes.plot(epochs, curve.mean(axis=0), color=color, linewidth=2, label=name)
    highest = max(float(curve.max()) for curve in curves.values())
    axes.set(xlim=(0, last), ylim=(0, 1.05 * highest))
    axes.legend(loc="upper right", fontsize=9)
    return _figure(axes)
