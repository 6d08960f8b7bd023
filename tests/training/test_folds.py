"""Tests of `expert.training.folds`."""

from __future__ import annotations

import json

from expert.evaluation.accuracy import evaluate
from expert.model_file import load_model


def test_folds_of_planes_calibrate_and_measure(
    planes_model_file, planes_recipe, planes_table, planes_cohort
):
    figures = json.loads(
        (planes_model_file.with_suffix(".run") / "cross_validation.json").read_text()
    )["figures"]
    assert {"mae", "plain_mae", "minus_plain_mae"} <= set(figures)
    model = load_model(planes_model_file)
    assert model.info.calibration.familiarity is not None
    found = evaluate(model, planes_table, jobs=2)
    assert found.prototypes == 4
    assert found.distinct_prototypes == 4
