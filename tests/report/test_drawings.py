"""Tests of `expert.report.drawings`."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.reports import artists, both_reports, texts_of
from matplotlib.colors import to_hex
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from expert.patches import (
    DECREASE,
    INCREASE,
    chosen_patches,
    middle_plane,
    pairs,
    patches_in_plane,
    planes,
)
from expert.report.drawings import side_by_side, signed_map


def test_a_volume_is_drawn_in_its_middle_slice(solid, tmp_path):
    plane = planes(solid)[middle_plane(solid)]
    patches = chosen_patches(solid, plane, "contribution")
    visible = set(patches_in_plane(solid, plane).ravel().tolist())
    away = [
        pair
        for n in range(2)
        for pair in pairs(solid, plane.view, n, patches)
        if pair.target not in visible
    ]
    assert away, "the untrained network shall match across slices"
    for text in both_reports(solid, tmp_path):
        assert "Matched mostly to another slice: " in text
        assert text.count("(another slice)") == len(away)
        assert plane.name in text
    images = artists(side_by_side(solid, plane, 0, patches), AxesImage)
    assert len(images) == 2
    for left, right, bottom, top in (image.get_extent() for image in images):
        assert (right - left, bottom - top) == pytest.approx((48, 64))


def test_lines_join_the_matched_patches_as_wide_as_their_share(explanation):
    plane = planes(explanation)[2]
    patches = chosen_patches(explanation, plane, "closest")
    drawing = side_by_side(explanation, plane, 0, patches)
    lines = [line for line in artists(drawing, Line2D) if line.get_color() != "#000000"]
    boxes = [box for box in artists(drawing, Rectangle) if box.get_edgecolor()[3] > 0]
    for pair in pairs(explanation, plane.view, 0, patches):
        widest = max(
            (line for line in lines if line.get_color() == color(pair.number)),
            key=lambda line: line.get_linewidth(),
        )
        assert widest.get_linewidth() == pytest.approx(1.6 * pair.share)
        for x, y in widest.get_xydata():
            touched = [
                b
                for b in boxes
                if to_hex(b.get_edgecolor()) == color(pair.number).lower()
                and b.get_x() - 0.1 <= x <= b.get_x() + b.get_width() + 0.1
                and b.get_y() <= y <= b.get_y() + b.get_height()
            ]
            assert touched


def color(number: int) -> str:
    from expert.patches import COLORS

    return COLORS[number - 1]


def test_the_map_is_orange_up_blue_down_and_clear_at_zero(explanation):
    plane = planes(explanation)[2]
    values = np.zeros(30)
    values[7], values[22], values[13] = 0.4, -0.2, 1e-6
    drawing = signed_map(explanation, plane, values, ("down", "up"))
    height = explanation.view_shape[0]
    patches = [
        (to_hex(box.get_facecolor()), round(box.get_facecolor()[3], 3))
        for box in artists(drawing, Rectangle)
        if to_hex(box.get_facecolor()) in (INCREASE.lower(), DECREASE.lower())
        and box.get_y() < height
    ]
    assert patches == [(INCREASE.lower(), 0.75), (DECREASE.lower(), 0.375)]
    assert {"+0.40", "–0.20"} <= set(texts_of(drawing))
