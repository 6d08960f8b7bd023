"""Registration finds the known pose of a phantom, both ways, and reports what is not a head."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from expert.errors import Cancelled, InputError
from expert.imaging.registration import register
from expert.imaging.volume import Volume


def test_pose_of_a_phantom_is_recovered(registered_head):
    _, truth, found = registered_head
    assert found.acceptable
    points = np.array(
        [[x, y, z, 1.0] for x in (-50, 0, 50) for y in (-80, -20, 40) for z in (-20, 10, 50)]
    ).T
    error = np.linalg.norm(
        (found.template_to_subject @ points - truth.template_to_subject @ points)[:3], axis=0
    )
    assert error.mean() < 3.5  # the phantom is also bent by up to some mm, which no affine follows


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_axis_order_does_not_matter(registered_head, order):
    head, _, found = registered_head
    orientation = np.column_stack([order, (-1, 1, -1)])
    turned = Volume(
        nib.apply_orientation(head.data, orientation),
        head.affine @ nib.orientations.inv_ornt_aff(orientation, head.shape),
    )
    again = register(turned)
    np.testing.assert_allclose(again.template_to_subject, found.template_to_subject, atol=1e-9)


def test_number_of_threads_does_not_matter(registered_head):
    import SimpleITK as sitk
    import torch

    head, _, found = registered_head
    itk, cores = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads(), torch.get_num_threads()
    try:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(4)
        torch.set_num_threads(2)
        again = register(head)
        assert torch.get_num_threads() == 2
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(itk)
        torch.set_num_threads(cores)
    np.testing.assert_array_equal(again.template_to_subject, found.template_to_subject)


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
