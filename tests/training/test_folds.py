"""Tests of `expert.training.folds`."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from helpers.squares import changed

from expert.evaluation.accuracy import evaluate
from expert.model import weighted_prediction
from expert.model_file import load_model
from expert.training.folds import run_fold, trained_fold
from expert.training.splits import split


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


def test_a_fold_predicts_the_subjects_that_it_holds_out(
    squares_recipe, squares_cohort, squares, tmp_path
):
    recipe = changed(squares_recipe, warmup={"epochs": 2}, schedule={"epochs": 2})
    test = split(squares_cohort, 3, recipe.schedule.seed)[1]
    folder = tmp_path / "fold1"
    run_fold(recipe, squares_cohort, test, folder, True, recipe.schedule.seed + 1)
    result = json.loads((folder / "result.json").read_text())
    assert len(result["prediction"]) == len(result["signs"]) == 8
    assert result["training_mean"] == pytest.approx(np.delete(squares_cohort.labels, test).mean())
    assert len(json.loads((folder / "plain.json").read_text())["prediction"]) == 8
    # Read again, it gives the same module and the same subjects.
    module, training, held_out = trained_fold(
        recipe, squares, tmp_path, 1, 3, prepared=squares_cohort.folder
    )
    np.testing.assert_array_equal(held_out.labels, squares_cohort.labels[test])
    assert not {*training.labels} & {*held_out.labels}
    distances = module.distances(held_out).reshape(8, 6)  # one plane
    weighted = weighted_prediction(
        torch.from_numpy(distances),
        module.network.prototype_labels.double(),
        recipe.architecture.radius,
    )
    np.testing.assert_allclose(weighted.prediction, result["prediction"], rtol=1e-4)


def test_a_finished_fold_is_not_trained_again(squares_recipe, squares_cohort, tmp_path):
    (tmp_path / "result.json").write_text("{}")
    run_fold(squares_recipe, squares_cohort, np.arange(4), tmp_path, False, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
