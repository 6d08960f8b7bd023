"""Tests of `studies.plots`."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from expert.evaluation.metrics import errors
from studies.ablation import BASE, PLAIN
from studies.outcome import Outcome
from studies.plots import error_by_label, learning_curves, scatter, scatter_by_site, write_plots

LABELS = np.linspace(20, 80, 30)


def points(figure, line: int) -> np.ndarray:
    return np.array(figure.axes[0].get_lines()[line].get_xydata())


def test_every_held_out_subject_is_a_point_and_unfinished_folds_are_left_out():
    prediction = LABELS + 3
    prediction[:10] = np.nan
    figure = scatter(LABELS, prediction, "years")
    np.testing.assert_allclose(points(figure, 1), np.column_stack([LABELS, prediction])[10:])
    low, high = figure.axes[0].get_xlim()
    assert low < 20
    assert high > 83


def test_sites_have_colors_and_markers_of_their_own():
    groups = {"North": (LABELS, LABELS + 3), "South": (LABELS[:4], LABELS[:4] - 20)}
    figure = scatter_by_site(groups, "years")
    for line, (labels, prediction) in enumerate(groups.values(), 1):
        np.testing.assert_allclose(points(figure, line), np.column_stack([labels, prediction]))
    north, south = figure.axes[0].get_lines()[1:]
    assert north.get_color() != south.get_color()
    assert north.get_marker() != south.get_marker()
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == [*groups]
    low, high = figure.axes[0].get_ylim()
    assert low < 0
    assert high > 83


def test_errors_are_averaged_in_groups_of_equal_size():
    shrunk = 50 + 0.5 * (LABELS - 50)
    figure = error_by_label(LABELS, shrunk, LABELS + 1, "years")
    means = points(figure, 2)
    assert len(means) == 6
    np.testing.assert_allclose(means[:, 1], -0.5 * (means[:, 0] - 50))
    np.testing.assert_allclose(points(figure, 3)[:, 1], 1)
    assert len(figure.axes[0].get_legend().get_texts()) == 2


def test_prototypes_are_trained_after_the_warm_up():
    curves = {"warmup": np.full((2, 4), 9.0), "prototypes": np.array([[5.0, 3.0], [7.0, 5.0]])}
    figure = learning_curves(curves, "years")
    np.testing.assert_allclose(points(figure, 0)[:, 0], [1, 2, 3, 4])
    np.testing.assert_allclose(points(figure, 1), [[5, 6], [6, 4]])


@pytest.mark.parametrize("curves", [{}, {"warmup": np.ones((2, 3))}])
def test_files_are_named_after_recipe_and_plot(tmp_path, curves):
    figures = errors(LABELS + 1, LABELS, 50.0)
    outcomes = [Outcome(variant, 2, LABELS + 1, figures) for variant in (BASE, PLAIN)]
    paths = write_plots(tmp_path / "new", "tiny", LABELS, outcomes, curves, "years")
    names = ["predicted-against-true", "error-by-label", *(["learning-curves"] if curves else [])]
    assert [path.name for path in paths] == [f"tiny-{name}.svg" for name in names]
    assert all(len(ElementTree.parse(path).getroot()) for path in paths)
