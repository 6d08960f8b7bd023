"""Tests of `expert.imaging.resampling`."""

from __future__ import annotations

import numpy as np

from expert.imaging.resampling import resample_to_subject, resample_to_template
from expert.imaging.template import load_template
from expert.imaging.volume import Volume


def test_the_transform_goes_both_ways(registered_head):
    head, _, found = registered_head
    mask = load_template("mask")
    there = resample_to_subject(mask.data.astype(np.float32), mask.affine, found, head)
    assert there.shape == head.shape
    carried = Volume(there, head.affine)
    back = resample_to_template(carried, found, mask.affine, mask.data.shape)
    overlap = (
        2
        * ((back > 0.5) & (mask.data > 0.5)).sum()
        / ((back > 0.5).sum() + (mask.data > 0.5).sum())
    )
    assert overlap > 0.97
