"""The brain of a head is found, and nothing in what is no head."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from expert.errors import InputError
from expert.imaging.brain_finding import find_brain, largest_component, normalise
from expert.imaging.registration import distance_mm
from expert.imaging.volume import Volume


def test_the_brain_of_a_phantom(registered_head):
    head, truth, _ = registered_head
    found = find_brain(head)
    assert found.tissues.shape[0] == 4
    np.testing.assert_allclose(found.tissues.sum(axis=0), 1, atol=1e-4)
    template_ml = 1900.0
    assert found.volume_ml == pytest.approx(
        template_ml * abs(np.linalg.det(truth.template_to_subject[:3, :3])), rel=0.25
    )
    assert distance_mm(found.template_to_subject, truth.template_to_subject) < 15


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_turned_head(registered_head, axis):
    head, truth, _ = registered_head
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_rotvec(np.eye(3)[axis] * np.deg2rad(30)).as_matrix()
    found = find_brain(replace(head, affine=turn @ head.affine))
    assert distance_mm(found.template_to_subject, turn @ truth.template_to_subject) < 20


@pytest.mark.parametrize("kind", ["noise", "sphere", "constant"])
def test_what_is_no_head(kind):
    generator = np.random.default_rng(0)
    data = generator.random((80, 80, 80))
    if kind == "sphere":
        data = 0.02 * data + (np.linalg.norm(np.indices((80, 80, 80)) - 40, axis=0) < 35)
    if kind == "constant":
        data = np.ones((80, 80, 80))
    with pytest.raises(InputError, match=r"brain|head"):
        find_brain(Volume(data.astype(np.float32), np.diag([2.0, 2, 2, 1])))


def test_air_around_the_head_does_not_matter(registered_head):
    head, _, _ = registered_head
    near = find_brain(head)
    wide = np.pad(np.asarray(head.data), ((30, 0), (0, 0), (0, 20)))
    affine = head.affine.copy()
    affine[:3, 3] -= affine[:3, 0] * 30
    far = find_brain(Volume(wide, affine))
    assert far.volume_ml == pytest.approx(near.volume_ml, rel=0.03)
    assert distance_mm(far.template_to_subject, near.template_to_subject) < 3


def test_an_image_of_two_axes():
    with pytest.raises(InputError, match="3D"):
        find_brain(Volume(np.ones((64, 64)), np.eye(4), "image"))


def test_scale_and_offset_do_not_matter():
    image = np.random.default_rng(0).random((8, 8, 8))
    np.testing.assert_allclose(normalise(image * 500 - 20), normalise(image), atol=1e-5)
    with pytest.raises(InputError, match="empty"):
        normalise(np.ones((8, 8, 8)))


def test_the_largest_part():
    mask = np.zeros((9, 9, 9), bool)
    mask[:2], mask[5:] = True, True
    assert largest_component(mask).sum() == mask[5:].sum()
    assert not largest_component(np.zeros((4, 4, 4), bool)).any()
