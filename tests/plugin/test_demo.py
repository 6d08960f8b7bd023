"""Tests of `napari_expert.demo`."""

from __future__ import annotations

import subprocess
import sys

import expert
from expert.schema import RESEARCH_USE


def test_the_demo_writes_screenshot_report_and_explanation(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "napari_expert.demo", "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert {"demo.png", "report.html", "explanation.json", "phantom.nii.gz"} <= {
        path.name for path in tmp_path.iterdir()
    }
    assert RESEARCH_USE in done.stdout
    explanation = expert.Explanation.load(tmp_path / "explanation.json")
    assert abs(explanation.prediction - 72) < 10
    assert f"{explanation.prediction:.1f} years" in done.stdout
