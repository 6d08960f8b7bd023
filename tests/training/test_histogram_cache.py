"""Tests of `expert.training.histogram_cache`."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from expert.backbone import HistogramBackbone
from expert.datasets.prepared_dataset import load_cohort
from expert.datasets.table import read_table
from expert.training.histogram_cache import CountedCopies


def test_copies_are_changed_the_same_way_every_time(tissue_recipe, volume_table, tmp_path):
    from expert.training import histogram_cache as counted

    cohort = load_cohort(read_table(volume_table), tissue_recipe.input, tmp_path)
    made = CountedCopies(cohort, tissue_recipe, 3)
    assert len(made) == 3 * len(cohort.labels)
    assert made.fronts.shape == (len(cohort.labels), 3, 13, 4, 5, 4)
    own = HistogramBackbone(tissue_recipe.architecture).front(
        torch.from_numpy(cohort.images[2])[:, None].float() / 255
    )
    torch.testing.assert_close(made.fronts[2, 0].float(), own[0], atol=2e-3, rtol=2e-3)
    assert not torch.allclose(made.fronts[2, 0], made.fronts[2, 1])
    counted._KNOWN.clear()
    few = CountedCopies(cohort.select(np.array([4, 2])), tissue_recipe, 3)
    torch.testing.assert_close(few.fronts[1], made.fronts[2])
    front, content, label, row, plane = few[1]
    assert (row, plane) == (1, 0)
    assert label == pytest.approx(cohort.labels[2])
    assert front[-1].sum() == pytest.approx(content.sum().item(), rel=0.2)
