"""Tests of `studies.planted_report`."""

from __future__ import annotations

from expert.evaluation.bootstrap import over_subjects
from studies.planted_data import PLACES
from studies.planted_report import CohortOutcome, Pointing, markdown


def outcome(**changes) -> CohortOutcome:
    pointing = Pointing(over_subjects([0.5, 0.7], [0.1, 0.1]), None, 0.5, 0.7)
    settings = {
        "recipe": "a",
        "cohort": "ventricles",
        "planted": PLACES[0],
        "trained": True,
        "repeats": 2,
        "mae": over_subjects([4.0, 6.0]),
        "mean_mae": over_subjects([15.0, 15.0]),
        "gain": over_subjects([10.0, 10.0]),
        "answer": dict.fromkeys(PLACES, pointing),
        "pair": dict.fromkeys(PLACES, pointing),
        "own_place": None,
    }
    return CohortOutcome(**settings | changes)


def test_the_report_gives_errors_and_pointing_of_every_recipe_and_place():
    outcomes = [outcome(), outcome(trained=False, mae=None), outcome(recipe="b")]
    lines = markdown(outcomes, {"training": 14, "held_out": 5, "repeats": 2, "seed": 3})
    text = "\n".join(lines)
    assert "14 training heads, 5 held-out heads; 2 trainings of each cohort; seed 3" in text
    assert [line for line in lines if line.startswith("## ")] == ["## a", "## b"]
    for place in PLACES:
        assert text.count(f"Pointing to the {place}") == 2
    assert "| ventricles | trained | 5.0 (4.0 – 6.0) | 15.0 | 10.0 (10.0 – 10.0) |  |" in lines
    assert "| ventricles | untrained |  | 15.0 | 10.0 (10.0 – 10.0) |  |" in lines


def test_a_cohort_is_marked_at_the_place_of_its_effect():
    lines = markdown([outcome()], {"training": 1, "held_out": 1, "repeats": 1, "seed": 1})
    rows = [line for line in lines if line.startswith("| ventricles | trained | ")]
    marked = [row for row in rows if "| yes |" in row]
    assert len(marked) == 1
    assert "60 (50 – 70; 10)" in marked[0]
    assert "50 – 70 |" in marked[0]
