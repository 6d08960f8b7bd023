"""Registration: the known pose of a phantom is found, both ways, and what is no head is told."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from expert.datasets.phantom import phantom_with_truth
from expert.errors import Cancelled, InputError
from expert.imaging.brain import brain_mask, missing_brain
from expert.imaging.registration import register
from expert.imaging.resampling import resample_to_subject, resample_to_template
from expert.imaging.template import load_template
from expert.imaging.volume import Volume, read_volume


@pytest.fixture(scope="module")
def known():
    head, truth = phantom_with_truth(50, 11)
    return head, truth, register(head)


def test_pose_of_a_phantom_is_recovered(known):
    _, truth, found = known
    assert found.acceptable
    points = np.array(
        [[x, y, z, 1.0] for x in (-50, 0, 50) for y in (-80, -20, 40) for z in (-20, 10, 50)]
    ).T
    error = np.linalg.norm(
        (found.template_to_subject @ points - truth.template_to_subject @ points)[:3], axis=0
    )
    assert error.mean() < 3.5  # the phantom is also bent by up to some mm, which no affine follows


def test_a_half_that_is_missing_is_told_from_a_whole_head(known):
    head, _, found = known
    assert missing_brain(head, found) < 0.005
    raised = Volume(
        np.asarray(head.data, dtype=np.float32) - 1000, head.affine
    )  # grey values need not begin at 0
    assert missing_brain(raised, found) < 0.005
    top = int(
        np.abs(np.linalg.inv(head.affine)[:3, 2]).argmax()
    )  # the array's axis that runs upwards
    middle = np.linalg.inv(head.affine) @ found.template_to_subject @ [0, -18, 10, 1]
    black = np.array(head.data, dtype=np.float32)
    black[(*[slice(None)] * top, slice(0, round(middle[top])))] = 0
    assert 0.3 < missing_brain(Volume(black, head.affine), found) < 0.7
    cut = head.affine.copy()
    cut[:3, 3] += head.affine[:3, top] * round(middle[top])
    kept = np.asarray(head.data)[(*[slice(None)] * top, slice(round(middle[top]), None))]
    assert missing_brain(Volume(kept, cut), found) == pytest.approx(
        missing_brain(Volume(black, head.affine), found), abs=0.05
    )


def test_the_transform_goes_both_ways(known):
    head, _, found = known
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


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_axis_order_does_not_matter(known, order):
    head, _, found = known
    orientation = np.column_stack([order, (-1, 1, -1)])
    turned = Volume(
        nib.apply_orientation(head.data, orientation),
        head.affine @ nib.orientations.inv_ornt_aff(orientation, head.shape),
    )
    again = register(turned)
    np.testing.assert_allclose(again.template_to_subject, found.template_to_subject, atol=0.6)


def test_noise_is_no_head():
    noise = Volume(
        np.random.default_rng(0).random((80, 80, 80)).astype(np.float32), np.diag([2.0, 2, 2, 1])
    )
    try:
        found = register(noise)
    except InputError:
        return
    assert not found.acceptable
    assert found.message


def test_registration_stops_when_asked(head):
    def stop(fraction: float) -> None:
        if fraction > 0.1:
            raise Cancelled

    with pytest.raises(Cancelled):
        register(head, progress=stop)


def test_real_heads(ixi):
    """Three of the 145 (benchmarks/registration.py measures all): brain mask against the DLMUSE
    one."""
    files = sorted((ixi / "T1").glob("*.nii.gz"))[::60]
    for file in files:
        volume = read_volume(file)
        found = register(volume)
        assert found.acceptable
        masks = list((ixi / "brain_mask").glob(file.name.split("_")[0] + "*"))
        truth = np.asarray(nib.load(masks[0]).dataobj) > 0
        mine = brain_mask(volume, found) > 0.5
        assert 2 * (mine & truth).sum() / (mine.sum() + truth.sum()) > 0.9
