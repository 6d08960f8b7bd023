"""Tests of `expert.cohort.drawings`."""

from __future__ import annotations

import numpy as np
from helpers.reports import artists, texts_of
from matplotlib.patches import Rectangle

from expert.cohort.drawings import MOST_POINTS, histogram, predicted_and_true
from expert.report.style import inline_svg


def boxes(drawing) -> list[Rectangle]:
    found = artists(drawing, Rectangle)
    return [box for box in found if box.get_width() > 1 and box.get_facecolor()[3] not in (0, 1)]


def test_every_image_is_a_point_at_its_place():
    labels, predictions = np.array([20.0, 40.0, 80.0]), np.array([25.0, 40.0, 70.0])
    drawing = predicted_and_true(labels, predictions, "age", "years")
    points = np.array([box.get_center() for box in boxes(drawing)])
    assert len(points) == 3
    assert np.allclose(np.corrcoef(points[:, 0], labels)[0, 1], 1)
    assert np.allclose(np.corrcoef(-points[:, 1], predictions)[0, 1], 1)
    assert {"age (years)", "predicted (years)"} <= set(texts_of(drawing))
    assert "3 images" in drawing.description


def test_many_images_are_cells_so_that_the_page_stays_small():
    values = np.random.default_rng(0).normal(50, 10, 100 * MOST_POINTS)
    drawing = predicted_and_true(values, values + 1, "age", "years")
    assert 0 < len(boxes(drawing)) < MOST_POINTS
    assert len(inline_svg(drawing)) < 200_000


def test_the_histogram_counts_every_image():
    values = np.array([1.0] * 6 + [2.0] * 2 + [5.0])
    bars = boxes(histogram(values, "age", "weeks"))
    heights = np.array([bar.get_height() for bar in bars])
    assert np.allclose(heights / heights[-1], [6, 2, 1])
    assert boxes(histogram(np.array([3.0]), "age", "weeks"))
