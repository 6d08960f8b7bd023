"""Tests of `expert.training.regression_module`."""

from __future__ import annotations

import numpy as np
import torch

from expert.training.regression_module import RegressionModule
from expert.training.stages import fit_regression


def test_an_untrained_head_predicts_around_the_mean_label(squares_recipe, squares_cohort):
    torch.manual_seed(0)
    module = RegressionModule(squares_recipe, squares_cohort, 1)
    torch.nn.init.zeros_(module.head.weight)
    torch.nn.init.zeros_(module.head.bias)
    prediction = module.predict_cohort(squares_cohort, [0])
    np.testing.assert_allclose(prediction, squares_cohort.labels.mean(), rtol=1e-6)


def test_it_learns_the_label_and_is_read_again(squares_recipe, squares_cohort, tmp_path):
    arguments = (squares_recipe, squares_cohort, tmp_path, "plain", 20, 1)
    module = fit_regression(*arguments)
    prediction, labels = module.predict_cohort(squares_cohort, [0]), squares_cohort.labels
    assert np.abs(prediction - labels).mean() < 0.5 * np.abs(labels - labels.mean()).mean()
    again = fit_regression(*arguments)  # finished: nothing is trained
    np.testing.assert_array_equal(again.predict_cohort(squares_cohort, [0]), prediction)


def test_each_plane_has_an_output_only_where_prototypes_show_all_planes(
    squares_recipe, squares_cohort
):
    module = RegressionModule(squares_recipe, squares_cohort, 1)
    assert module.head.out_features == 1
    assert module.near.tolist() == [0]
