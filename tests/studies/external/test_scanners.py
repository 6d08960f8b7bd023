"""Tests of `studies.external.scanners`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from expert.imaging.scanner_simulation import EFFECTS, apply_effect, simulate_scanner
from expert.schema import RESEARCH_USE
from studies.external.predictions import ORIGINAL, Answer, Heads, Task
from studies.external.scanners import SCANNER, change, markdown, run_study


def by_hand() -> Heads:
    """Two heads, three scanners, two draws of each effect; the contrast changes most."""
    answers = [Answer(Task(0, ORIGINAL), 40.0), Answer(Task(1, ORIGINAL), 60.0)]
    for head, values in enumerate(([39.0, 41.0, 43.0], [60.0, None, 62.0])):
        answers += [
            Answer(Task(head, SCANNER, n), value, flagged=n == 2, refused="" if value else "No.")
            for n, value in enumerate(values)
        ]
        for number, name in enumerate(EFFECTS):
            size = 9.0 if name == "contrast" else number / 10
            own = (40.0, 60.0)[head]
            answers += [Answer(Task(head, name, n), own - size) for n in range(2)]
    return Heads("some-model", "years", (38.0, 66.0), tuple(answers))


def cells(text: str, name: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"| {name} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_report_has_the_spread_of_every_head():
    text = markdown(by_hand())
    assert cells(text, "1") == [
        "1", "38.00", "40.00", "2.00", "39.00 – 43.00", "1.67", "0%", "33%",
    ]  # fmt: skip
    assert cells(text, "2") == [
        "2", "66.00", "60.00", "1.41", "60.00 – 62.00", "1.00", "33%", "50%",
    ]  # fmt: skip
    spread = [2.0, np.sqrt(2)]
    assert f"mean SD {np.mean(spread):.2f}, 95th percentile of the SD {1.97:.2f}" in text
    assert "mean difference 1.40" in text
    assert "refused 17%, flagged 40%" in text
    assert "- 1 ×: No." in text
    assert RESEARCH_USE in text


def test_effects_are_in_the_order_of_their_difference():
    text = markdown(by_hand())
    assert cells(text, "contrast") == ["contrast", "9.00", "9.00", "-9.00", "0%", "0%"]
    lines = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")]
    order = [name for name in lines if name in EFFECTS]
    assert order[0] == "contrast"
    assert set(order) == set(EFFECTS)


def test_heads_that_are_prototypes_are_said():
    assert "prototypes" not in markdown(by_hand())
    assert "**2 of the heads are prototypes" in markdown(replace(by_hand(), prototypes=2))


def test_refused_heads_have_no_numbers():
    refused = [Answer(Task(0, name), None, refused="No.") for name in (ORIGINAL, SCANNER, *EFFECTS)]
    text = markdown(Heads("m", "years", (50.0,), tuple(refused)))
    assert cells(text, "1") == ["1", "50.00", "refused", "–", "–", "–", "100%", "–"]
    assert "nan" not in text


def test_changes_are_those_of_the_simulation(head):
    assert np.array_equal(change(head, SCANNER, 3).data, simulate_scanner(head, 3).data)
    assert np.array_equal(change(head, "noise", 3).data, apply_effect(head, "noise", 3).data)


@pytest.mark.slow
def test_real_heads_go_through_scanners(one_plane_file, one_head):
    found = run_study(
        one_plane_file, one_head, subjects=1, scanners=1, draws=1, seed=2, label_column="age"
    )
    assert len(found.labels) == 1
    assert len(found.of(SCANNER)) == 1
    assert [answer.task.name for answer in found.answers[2:]] == list(EFFECTS)
    assert {answer.task.seed for answer in found.answers[1:]} == {2000}
    values = [answer.prediction for answer in found.answers if answer.prediction is not None]
    assert len(values) > len(found.answers) / 2
    assert len(set(values)) > 5
    again = run_study(
        one_plane_file, one_head, subjects=1, scanners=1, draws=0, seed=2, label_column="age"
    )
    assert markdown(found).startswith("# Simulated scanners")
    assert [a.prediction for a in again.of(SCANNER)] == [
        None if a.prediction is None else pytest.approx(a.prediction, abs=0.1)
        for a in found.of(SCANNER)
    ]
