"""Tests of `expert.training.splits`."""

from __future__ import annotations

import numpy as np

from expert.training.recipe import read_recipe
from expert.training.splits import split


def test_folds_share_no_subject(squares, tiny_recipe, tmp_path):
    from expert.datasets.prepared_dataset import load_cohort
    from expert.datasets.table import read_table

    cohort = load_cohort(read_table(squares), read_recipe(tiny_recipe).input, tmp_path, jobs=1)
    parts = split(cohort, 4, 1)
    assert sorted(np.concatenate(parts).tolist()) == list(range(24))
    means = [cohort.labels[part].mean() for part in parts]
    assert np.ptp(means) < 15
