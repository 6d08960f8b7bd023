"""Tests of `expert.evaluation.metrics`."""

from __future__ import annotations

import numpy as np
import pytest

from expert.attribution import effective_prototypes
from expert.evaluation.metrics import bias_corrected, bias_line, collapse, errors


def test_figures():
    truth = np.linspace(20, 80, 61)
    perfect = errors(truth, truth, 50.0)
    assert perfect.mae == 0
    assert perfect.mean_error == 0
    assert errors(truth - 3, truth, 50.0).mean_error == pytest.approx(-3)
    assert perfect.r == pytest.approx(1)
    assert perfect.mean_predictor_mae == pytest.approx(np.abs(truth - 50).mean())
    assert effective_prototypes(np.array([[0.5, 0.3, 0.1, 0.1]])) == 2
    assert collapse(truth, truth, 15.0, 40, 40) == ""
    assert "mean" in collapse(np.full(61, 50.0), truth, 15.1, 40, 40)
    assert collapse(truth, truth, 15.0, 3, 40) != ""


def test_a_bias_is_taken_out_on_average_and_told_to_be():
    generator = np.random.default_rng(0)
    labels = generator.uniform(20, 80, 400)
    prediction = 25 + 0.5 * labels + generator.normal(0, 2, 400)
    line = bias_line(prediction, labels)
    assert line == (pytest.approx(25, abs=1), pytest.approx(0.5, abs=0.02))
    corrected = bias_corrected(prediction, line)
    assert np.polyfit(labels, corrected - labels, 1)[0] == pytest.approx(0, abs=0.02)
    assert np.polyfit(labels, prediction - labels, 1)[0] == pytest.approx(-0.5, abs=0.02)
    assert bias_line(np.full(400, 50.0) + generator.normal(0, 1, 400), labels) is None
    np.testing.assert_array_equal(bias_corrected(prediction, None), prediction)
