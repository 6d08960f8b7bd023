"""Changed heads keep their brain where it was; wrong images lose what makes a T1-weighted brain."""

from __future__ import annotations

import numpy as np
import pytest

from studies.heads.changes import CHANGES, WRONG, Head, stripped, tightly_cropped, turn_about_center


@pytest.fixture(scope="module")
def whole(head) -> Head:
    """The synthetic head with the brightest part of its middle as brain."""
    volume = head.canonical()
    middle = (np.array(volume.shape) - 1) / 2
    distance = np.linalg.norm(
        (np.moveaxis(np.indices(volume.shape), 0, -1) - middle) * volume.spacing, axis=-1
    )
    return Head(volume, (distance < 55) & (np.asarray(volume.data) > 0))


@pytest.mark.parametrize("kind", CHANGES)
def test_the_brain_stays_where_it_is(whole, kind):
    changed = CHANGES[kind](whole, np.random.default_rng(0))
    move = changed.affine @ np.linalg.inv(whole.volume.affine) if "turned" in kind else np.eye(4)
    index = np.argwhere(whole.mask)[::50]
    world = (move @ whole.volume.affine)[:3] @ np.c_[index, np.ones(len(index))].T
    place = np.linalg.inv(changed.affine) @ np.r_[world, np.ones((1, len(index)))]
    there = np.rint(place[:3]).astype(int)
    inside = ((there >= 0) & (there < np.array(changed.shape)[:, None])).all(axis=0)
    assert inside.mean() > 0.7
    values = np.asarray(changed.data)[tuple(there[:, inside])]
    truth = np.asarray(whole.volume.data)[tuple(index[inside].T)]
    assert np.corrcoef(values, truth)[0, 1] > 0.5


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_images_are_volumes(whole, kind):
    wrong = WRONG[kind](whole, np.random.default_rng(0))
    data = np.asarray(wrong.data, np.float32)
    assert data.ndim == 3
    assert np.isfinite(data).all()
    assert data.max() > data.min()


def test_a_stripped_head_is_black_outside(whole):
    data = np.asarray(stripped(whole, np.random.default_rng(0)).data)
    assert not data[~whole.mask].any()
    assert data[whole.mask].all()


def test_a_tight_crop_is_small(whole):
    cropped = tightly_cropped(whole, np.random.default_rng(0))
    assert np.prod(cropped.shape) < 0.7 * np.prod(whole.volume.shape)


def test_a_turn_keeps_the_centre(whole):
    move = turn_about_center(whole.volume, 1, 40)
    middle = whole.volume.affine @ [*((np.array(whole.volume.shape) - 1) / 2), 1]
    np.testing.assert_allclose(move @ middle, middle, atol=1e-9)
    assert np.linalg.det(move[:3, :3]) == pytest.approx(1)
