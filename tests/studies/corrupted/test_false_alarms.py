"""Tests of `studies.corrupted.false_alarms`."""

from __future__ import annotations

import json

import pytest
from helpers.runs import write_folds

from expert.errors import InputError
from expert.novelty import INDICATORS, calibrate_indicators, score_indicators
from studies.corrupted.false_alarms import FalseAlarms, false_alarms


def test_held_out_images_are_judged_by_the_other_folds(tmp_path):
    usual = [float(n) for n in range(20)]
    found = false_alarms(write_folds(tmp_path / "run", [usual, [*usual[:-2], 500.0, 600.0], usual]))
    assert found == FalseAlarms(folds=3, images=60, flagged=2, by_indicator={"nearest_distance": 2})
    # Scored by their own fold's scales and limit, the two would have made themselves usual.
    distances = [*usual[:-2], 500.0, 600.0]
    own = [dict.fromkeys(INDICATORS, 0.0) | {"nearest_distance": d} for d in distances]
    center, spread, limit = calibrate_indicators(own)
    assert score_indicators(center, spread, own[-2])[0] <= limit


def test_a_trained_run_tells_its_false_alarms(tiny_model_file):
    found = false_alarms(tiny_model_file.with_suffix(".run"))
    assert (found.folds, found.images) == (3, 24)
    assert found.flagged == sum(found.by_indicator.values())
    assert set(found.by_indicator) <= set(INDICATORS)


def test_runs_that_tell_nothing_are_refused_in_a_sentence(tmp_path):
    with pytest.raises(InputError, match="0 finished folds"):
        false_alarms(tmp_path / "missing")
    run = write_folds(tmp_path / "run", [[1.0, 2.0]])
    with pytest.raises(InputError, match="1 finished fold"):
        false_alarms(run)
    (run / "fold1").mkdir()
    for text in (
        "{",
        json.dumps({"prediction": [1.0]}),
        json.dumps({"signs": [{"nearest_distance": 1.0}]}),
        "[]",
    ):
        (run / "fold1" / "result.json").write_text(text)
        with pytest.raises(InputError, match="no OOD indicators of held-out images"):
            false_alarms(run)
