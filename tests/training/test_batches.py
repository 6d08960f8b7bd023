"""Tests of `expert.training.batches`."""

from __future__ import annotations

import torch

from expert.training.batches import WholeSubjects, nearest_planes


def test_whole_subjects_are_drawn_in_all_their_planes():
    torch.manual_seed(2)
    near = torch.tensor([0, 1, 1, 2])
    batches = list(WholeSubjects(near, subjects=5, batch=7, count=9))
    assert len(batches) == 9
    seen = set()
    for batch in batches:
        assert len(batch) == 6
        for first in range(0, 6, 3):
            rows, planes = zip(*batch[first : first + 3], strict=True)
            assert len(set(rows)) == 1
            assert near[list(planes)].tolist() == [0, 1, 2]
            seen |= {*planes}
    assert seen == {0, 1, 2, 3}


def test_planes_near_an_explained_one_are_trained_as_it(planes_cohort, planes_recipe):
    assert planes_cohort.positions_mm == (-10.0, 26.0, 30.0)
    assert nearest_planes(planes_cohort, planes_recipe).tolist() == [0, 1, 1]
