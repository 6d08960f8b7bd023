"""Tests of `expert.evaluation.bootstrap`."""

from __future__ import annotations

import numpy as np
import pytest

from expert.evaluation.bootstrap import mean_over_models, mean_over_subjects


def test_intervals_are_over_subjects():
    figure = mean_over_subjects([1.0, 3.0, np.nan], [0.5, 0.7, 9.0])
    assert (figure.value, figure.subjects, figure.chance) == (2.0, 2, 0.6)
    assert figure.low == 1
    assert figure.high == 3
    assert mean_over_subjects([np.nan]) is None
    # Five images of one subject are no five subjects.
    whose = np.repeat(np.arange(6), 5)
    values = np.random.default_rng(1).normal(0, 1, 6)[whose]
    images, people = mean_over_subjects(values), mean_over_subjects(values, subjects=whose)
    assert people.value == images.value
    assert people.subjects == 6
    assert people.high - people.low > 1.8 * (images.high - images.low)
    assert mean_over_subjects(values, subjects=[f"{n:02}" for n in range(30)]) == images
    wide, narrow = mean_over_subjects(np.arange(5.0)), mean_over_subjects(np.arange(500.0) / 100)
    assert wide.high - wide.low > 5 * (narrow.high - narrow.low)


def test_trainings_that_disagree_are_a_wide_interval():
    values = np.random.default_rng(0).normal(0.5, 0.1, (1, 40))
    one, same = mean_over_models(values), mean_over_subjects(values[0])
    assert one.value == pytest.approx(same.value)
    assert (one.low, one.high) == pytest.approx((same.low, same.high), abs=0.01)
    apart = mean_over_models(
        np.repeat([[0.0], [1.0], [0.0], [1.0]], 40, axis=1), np.full((4, 40), 0.25)
    )
    assert (apart.low, apart.value, apart.high) == (0.0, 0.5, 1.0)
    assert (apart.subjects, apart.chance) == (40, 0.25)
    assert mean_over_models(np.full((2, 3), np.nan)) is None
    assert mean_over_models(np.array([[np.nan, 1.0], [np.nan, 3.0]])).subjects == 1


def test_drawing_in_parts_changes_nothing(monkeypatch):
    values = np.random.default_rng(1).normal(size=501)
    whole = mean_over_subjects(values)
    for part in (1, 1503):
        monkeypatch.setattr("expert.evaluation.bootstrap.LARGEST_DRAW", part)
        assert mean_over_subjects(values) == whole
