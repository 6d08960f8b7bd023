"""Tests of `expert.report.drawings`."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.reports import both_reports

from expert.patches import chosen_patches, middle_plane, pairs, patches_in_plane, planes
from expert.report.document import Line, Picture, Rect, Text
from expert.report.drawings import DOWN, UP, side_by_side, signed_map


def test_a_volume_is_drawn_in_its_middle_slice(solid, tmp_path):
    plane = planes(solid)[middle_plane(solid)]
    patches = chosen_patches(solid, plane, "closest")
    visible = set(patches_in_plane(solid, plane).ravel().tolist())
    away = [
        pair
        for n in range(2)
        for pair in pairs(solid, plane.view, n, patches)
        if pair.target not in visible
    ]
    assert away, "the untrained network shall match across slices"
    for text in both_reports(solid, tmp_path):
        assert "Went mostly to another slice: " in text
        assert text.count("(another slice)") == len(away)
        assert plane.name in text
    drawn = [
        mark for mark in side_by_side(solid, plane, 0, patches).marks if isinstance(mark, Picture)
    ]
    assert all((mark.width, mark.height) == (48, 64) for mark in drawn)


def test_lines_join_the_matched_patches_as_wide_as_their_share(explanation):
    plane = planes(explanation)[2]
    patches = chosen_patches(explanation, plane, "closest")
    drawing = side_by_side(explanation, plane, 0, patches)
    lines = [mark for mark in drawing.marks if isinstance(mark, Line) and mark.color != "#000000"]
    boxes = [mark for mark in drawing.marks if isinstance(mark, Rect) and mark.stroke]
    for pair in pairs(explanation, plane.view, 0, patches):
        widest = max(
            (line for line in lines if line.color == color(pair.number)),
            key=lambda line: line.width,
        )
        assert widest.width == pytest.approx(1.6 * pair.share)
        for x, y in ((widest.x1, widest.y1), (widest.x2, widest.y2)):
            touched = [
                b
                for b in boxes
                if b.stroke == color(pair.number)
                and b.x - 0.1 <= x <= b.x + b.width + 0.1
                and b.y <= y <= b.y + b.height
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
        mark
        for mark in drawing.marks
        if isinstance(mark, Rect) and mark.fill in (UP, DOWN) and mark.y < height
    ]
    assert [(mark.fill, round(mark.fill_opacity, 3)) for mark in patches] == [
        (UP, 0.75),
        (DOWN, 0.375),
    ]
    written = [mark.text for mark in drawing.marks if isinstance(mark, Text)]
    assert {"+0.40", "–0.20"} <= set(written)
