"""Measures of outlines."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.drawn_heads import drawn_head

from expert.imaging.head_outline import HeadOutline
from studies.outline.examples import Outlines
from studies.outline.measure import circumference, compare, turned

TRUE = np.array([[140.0, 190.0, 105.0, 83.0, 0.3]])
TABLE = Outlines(("a.png",), np.array(["a"]), np.array([0.25]), np.array([0.0]), TRUE)


def test_the_same_outline_has_no_error():
    outline = HeadOutline((35.0, 47.5), 105 / 4, 83 / 4, 0.3, 1.0)
    found = compare(outline, TABLE, 0, (270, 400))
    assert found.dice == 1
    assert found.hausdorff_mm == pytest.approx(0, abs=1e-9)
    assert found.error_mm == pytest.approx(0)
    assert found.angle_deg == pytest.approx(0)


def test_another_outline():
    outline = HeadOutline((36.0, 47.5), 110 / 4, 83 / 4, 0.3 + np.pi, 1.0)
    found = compare(outline, TABLE, 0, (270, 400))
    assert 0.9 < found.dice < 1
    assert 1 < found.hausdorff_mm < 3
    assert found.error_mm == pytest.approx(circumference(27.5, 20.75) - circumference(26.25, 20.75))
    assert found.angle_deg == pytest.approx(0)


def test_a_turned_image_loses_nothing():
    head = drawn_head()
    quarter = turned(head, 90)
    assert quarter.shape[0] == quarter.shape[1] > 480
    assert int(quarter.data.sum()) == pytest.approx(int(head.data.sum()), rel=1e-3)
    assert turned(head, 45).data.sum() == pytest.approx(int(head.data.sum()), rel=0.02)
    assert np.array_equal(turned(head, 0, True).data[:, :-1], turned(head, 0).data[:, -2::-1])
