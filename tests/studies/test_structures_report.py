"""The table of the study of matched structures."""

from __future__ import annotations

import numpy as np

from studies.structures_report import page


def test_differences_and_their_intervals_are_in_the_table() -> None:
    generator = np.random.default_rng(0)
    apart = np.array([[3.0, 5.0]]) + generator.normal(0, 0.1, (20, 1))
    dice = {"ventricles": np.tile([0.5, 0.4], (200, 1))}
    text = page(apart, dice, np.tile([5.0, 5.5, 6.0, 9.0], (30, 1)))
    rows = text.splitlines()
    assert "| 20 | 2.98 | 4.98 |" in rows[2]
    assert "-2.00 (-2.00 – -2.00)" in rows[2]
    assert "| Dice of carried labels, ventricles | 200 | 0.500 | 0.400 | +0.100" in rows[3]
    assert "10 mm and 10°" in rows[5]
    assert "| 30 | 6.00 | 9.00 | -3.00" in rows[5]
