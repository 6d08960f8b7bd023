"""The page of brain finding and registration says what was measured."""

from __future__ import annotations

import numpy as np

from studies.heads.changes import ANGLES_DEG, CHANGES, WRONG
from studies.heads.measure import Found, Registered
from studies.heads.report import page, plot_capture


def test_page(tmp_path):
    found = [Found(kind, 0.9, 0.2, "", 1.5) for kind in CHANGES]
    found += [Found(kind, 0.8, 0.4, "The registration failed.") for kind in CHANGES]
    found += [Found(kind, float("nan"), 0.2, "No brain was found.") for kind in WRONG]
    turned = [
        (axis, angle, 2.0 if abs(angle) < 50 else 30.0) for axis in range(3) for angle in ANGLES_DEG
    ]
    heads = [
        Registered(0.95, 0.7, 0.6, 0.94, {58: np.zeros(3)}, 0.5, reason)
        for reason in ("", "failed")
    ]
    plot_capture(turned, tmp_path / "capture.png")
    text = page(found, turned, heads, "capture.png")
    assert (tmp_path / "capture.png").stat().st_size > 1000
    assert "| skull-stripped | 1 of 2 | 0.850 | 0.800 | 0.30 | 1.5 mm |" in text
    assert "| noise alone | 1 of 1 | No brain was found. |" in text
    assert "| up | 0 of 1 | 1 of 1" in text
    assert "1 heads are refused" in text
