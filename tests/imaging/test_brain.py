"""Tests of `expert.imaging.brain`."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from expert.imaging.brain import brain_mask, missing_brain
from expert.imaging.brain_finding import find_brain
from expert.imaging.registration import register
from expert.imaging.tissue_values import TissueHead
from expert.imaging.volume import Volume, read_volume


def test_a_missing_half_is_measured(registered_head):
    head, _, found = registered_head
    assert found.found is not None
    assert missing_brain(found.found, found) < 0.02
    # The array's axis that runs upwards.
    top = int(np.abs(np.linalg.inv(head.affine)[:3, 2]).argmax())
    middle = np.linalg.inv(head.affine) @ found.template_to_subject @ [0, -18, 10, 1]
    black = np.array(head.data, dtype=np.float32)
    black[(*[slice(None)] * top, slice(0, round(middle[top])))] = 0
    half = missing_brain(find_brain(Volume(black, head.affine)), found)
    assert 0.25 < half < 0.75
    cut = head.affine.copy()
    cut[:3, 3] += head.affine[:3, top] * round(middle[top])
    kept = np.asarray(head.data)[(*[slice(None)] * top, slice(round(middle[top]), None))]
    assert missing_brain(find_brain(Volume(kept, cut)), found) == pytest.approx(half, abs=0.1)


def extracted(volume: Volume, mask: np.ndarray, deeper_mm: float) -> Volume:
    """The part of a head inside of a mask; some mm less on all sides, or more if negative."""
    inside = ndimage.distance_transform_edt(mask, sampling=volume.spacing)
    outside = ndimage.distance_transform_edt(~mask, sampling=volume.spacing)
    return Volume(np.where(inside - outside > deeper_mm, volume.data, 0), volume.affine)


def test_an_extraction_that_cuts_into_the_brain_is_measured(registered_head):
    head, _, found = registered_head
    mask = brain_mask(head, found)
    assert TissueHead.of(head, found).exposed(head) == 0
    for deeper_mm, low, high in ((-4, 0, 0.1), (0, 0, 0.1), (5, 0.3, 0.6)):
        brain = extracted(head, mask, deeper_mm)
        assert low <= TissueHead.of(brain, register(brain)).exposed(brain) <= high


def test_a_real_extraction_that_cuts_into_the_brain_is_measured(ixi):
    for file in sorted((ixi / "T1").glob("*.nii.gz"))[::70]:
        head = read_volume(file)
        mask = next((ixi / "brain_mask").glob(file.name.split("_")[0] + "*"))
        for deeper_mm, low, high in ((0, 0, 0.2), (2, 0.3, 0.5)):
            brain = extracted(head, np.asarray(nib.load(mask).dataobj) > 0, deeper_mm)
            assert low <= TissueHead.of(brain, register(brain)).exposed(brain) <= high


def test_real_heads(ixi):
    """Three of the 145, against the mask of DLMUSE (`python -m studies brain-finding`: all)."""
    files = sorted((ixi / "T1").glob("*.nii.gz"))[::60]
    for file in files:
        volume = read_volume(file)
        found = register(volume)
        assert found.acceptable
        masks = list((ixi / "brain_mask").glob(file.name.split("_")[0] + "*"))
        truth = np.asarray(nib.load(masks[0]).dataobj) > 0
        mine = brain_mask(volume, found) > 0.5
        assert 2 * (mine & truth).sum() / (mine.sum() + truth.sum()) > 0.9
