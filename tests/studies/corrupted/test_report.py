"""Tests of `studies.corrupted.report`."""

from __future__ import annotations

from expert.novelty import expected_alarms
from studies.corrupted.corruptions import MIRRORED, SYNTHETIC, UNCHANGED
from studies.corrupted.false_alarms import FalseAlarms
from studies.corrupted.report import Assessment, CorruptionResults, markdown


def test_a_report_tells_false_alarms_and_which_sign_they_come_from():
    answers = [
        Assessment(UNCHANGED, score=0.5, indicator="detail"),
        Assessment(UNCHANGED, unlike=True, score=2.5, indicator="detail"),
        Assessment(MIRRORED, score=0.1, indicator="histogram"),
        Assessment(SYNTHETIC, unlike=True, score=4.0, indicator="detail"),
    ]
    alarms = FalseAlarms(5, 145, 4, {"detail": 1, "brightness": 3})
    found = CorruptionResults(
        "m", tuple(answers), 1.5, "score", 2, 1, False, 0, (145, expected_alarms(145)), alarms
    )
    strange_part, hard, alike = markdown(found).split("| image |")[1:]
    assert f"| {SYNTHETIC} | 1 | 1 (100%)" in strange_part
    assert f"| {MIRRORED} | 1 | 0 (0%)" in hard
    assert f"| {UNCHANGED} | 2 | 1 (50%) | 0 | 1.5 | detail (2 of 2) |" in alike
    assert "1 are among the model's prototypes" in alike
    assert "4 (2.8%) are flagged (brightness 3, detail 1)" in alike
    assert "4.8% are expected" in alike
