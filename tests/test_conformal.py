"""Tests of `expert.conformal`."""

from __future__ import annotations

import numpy as np
import pytest

from expert.conformal import conformal_quantile, conformal_rank


@pytest.mark.parametrize(
    ("count", "level", "rank"), [(9, 0.9, 9), (99, 0.9, 90), (100, 0.95, 96), (5, 0.95, 5)]
)
def test_rank(count, level, rank):
    assert conformal_rank(count, level) == rank


def test_the_quantile_does_not_depend_on_the_order():
    scores = np.arange(1.0, 100.0)
    shuffled = np.random.default_rng(0).permutation(scores)
    assert conformal_quantile(shuffled, 0.9) == conformal_quantile(scores, 0.9) == 90.0


def test_a_new_score_lies_below_the_quantile_as_often_as_it_should():
    generator = np.random.default_rng(1)
    below = []
    for _ in range(2000):
        scores = generator.normal(0, 1, 40)
        below.append(scores[0] <= conformal_quantile(scores[1:], 0.8))
    assert np.mean(below) == pytest.approx(0.8, abs=0.03)
