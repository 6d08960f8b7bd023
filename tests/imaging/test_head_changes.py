"""Tests of `expert.imaging.head_changes`."""

from __future__ import annotations

import numpy as np
import pytest

from expert.errors import InputError
from expert.imaging.head_changes import GreyValues, as_type, reorder, to_grid
from expert.imaging.volume import Volume, read_volume


@pytest.fixture
def ball() -> Volume:
    """A ball of radius 60 mm around (10, -20, 30) mm, in array axes P, S, R."""
    affine = np.array([[0.0, 0, 2, -85], [-2, 0, 0, 90], [0, 2, 0, -80], [0, 0, 0, 1]])
    places = np.indices((110, 110, 90)).reshape(3, -1).T @ affine[:3, :3].T + affine[:3, 3]
    distance = np.linalg.norm(places - (10, -20, 30), axis=1).reshape(110, 110, 90)
    return Volume((1000 / (1 + np.exp(distance - 60))).astype(np.float32), affine)


def centre_and_volume(volume: Volume) -> tuple[np.ndarray, float]:
    inside = np.argwhere(volume.data > 500)
    voxel = abs(np.linalg.det(volume.affine[:3, :3]))
    return (inside @ volume.affine[:3, :3].T + volume.affine[:3, 3]).mean(axis=0), len(
        inside
    ) * voxel


@pytest.mark.parametrize("spacing", [(1.5, 1.5, 1.5), (2, 2, 2), (3, 3, 3), (2, 5, 2)])
@pytest.mark.parametrize("turned", [False, True])
def test_a_new_grid_shows_the_same_thing_at_the_same_place(ball, spacing, turned):
    from scipy.spatial.transform import Rotation

    turn = Rotation.from_euler("xyz", (12, -9, 14), degrees=True).as_matrix() if turned else None
    new = to_grid(ball, spacing, turn)
    assert new.spacing == pytest.approx(spacing)
    centre, size = centre_and_volume(new)
    before = centre_and_volume(ball)
    assert np.allclose(centre, before[0], atol=0.3)
    assert size == pytest.approx(before[1], rel=0.03)
    if turned:
        assert np.allclose(
            np.linalg.inv(turn) @ new.affine[:3, :3] / spacing * 2, ball.affine[:3, :3]
        )


def test_larger_voxels_are_averages():
    stripes = np.zeros((64, 8, 8), dtype=np.float32)
    stripes[::2] = 100
    coarse = to_grid(Volume(stripes, np.eye(4)), (4, 1, 1))
    assert coarse.shape == (16, 8, 8)
    assert np.abs(coarse.data[2:-2] - 50).max() < 10


def test_the_order_of_axes_is_undone_by_the_affine(ball):
    for axes, flipped in (((2, 0, 1), (True, False, True)), ((1, 0, 2), (False, True, False))):
        new = reorder(ball, axes, flipped)
        assert new.fingerprint() == ball.fingerprint()
        assert np.allclose(new.canonical().affine, ball.canonical().affine)
        assert not np.allclose(new.affine, ball.affine)


@pytest.mark.parametrize(
    ("name", "offset", "lowest", "step"),
    [
        ("uint8", 50, 0, 1),
        ("int16", -200, -200, 1),
        ("uint16", -200, 0, 1),
        ("float32", -3.5, -3.5, 0),
        ("float64", 7.0, 7.0, 0),
    ],
)
def test_types(ball, name, offset, lowest, step):
    stored = as_type(ball, name, 800, offset).data
    assert stored.dtype == name
    assert float(stored.min()) == pytest.approx(lowest, abs=1e-3)
    top = 255 if name == "uint8" else lowest + 800
    assert float(stored.max()) == pytest.approx(top, rel=0.01)
    if step:
        assert np.array_equal(stored, np.rint(stored))


def test_white_matter_is_found_roughly(ixi):
    """Between grey matter and fat in a real head; white matter is 1320 in the first."""
    head = read_volume(ixi / "T1" / "IXI012-HH-1211_T1.nii.gz")
    values = GreyValues(np.asarray(head.data, dtype=np.float32))
    assert 1150 < values.white < 1500
    assert 0.25 < values.head.mean() < 0.5


def test_an_empty_volume_has_no_grey_values():
    with pytest.raises(InputError, match="empty"):
        GreyValues(np.zeros((8, 8, 8), dtype=np.float32)).white  # noqa: B018
