"""Volumes on other grids keep their mass and their place."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from scipy.stats import norm

from expert.errors import InputError
from expert.imaging.conforming import (
    common_resolution,
    equal_blur,
    reduce_resolution,
    regular_grid,
)
from expert.imaging.volume import Volume


def blob(spacing: tuple[float, float, float], flip: bool = False) -> Volume:
    """A Gaussian blob of 15 mm at (12, -7, 20) mm in a field of view of 160 mm."""
    shape = tuple(round(160 / one) for one in spacing)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = -80 + np.array(spacing) / 2
    if flip:
        affine[0] *= -1
    index = np.indices(shape).reshape(3, -1)
    world = affine[:3, :3] @ index + affine[:3, 3:]
    distance = np.linalg.norm(world - [[12.0], [-7.0], [20.0]], axis=0)
    return Volume(np.exp(-((distance / 15) ** 2) / 2).reshape(shape).astype(np.float32), affine)


def center(volume: Volume) -> np.ndarray:
    index = np.indices(volume.shape).reshape(3, -1)
    world = volume.affine[:3, :3] @ index + volume.affine[:3, 3:]
    weight = np.asarray(volume.data, float).ravel()
    return world @ weight / weight.sum()


def mass(volume: Volume) -> float:
    return float(volume.data.sum() * abs(np.linalg.det(volume.affine[:3, :3])))


@pytest.mark.parametrize("spacing", [(0.5, 0.5, 0.5), (1.0, 1.0, 5.0), (0.7, 1.3, 2.0)])
@pytest.mark.parametrize("flip", [False, True])
def test_place_and_mass_stay(spacing, flip):
    volume = blob(spacing, flip)
    for other in (
        reduce_resolution(volume, 2.0),
        common_resolution(volume, 2.0),
        equal_blur(volume, 2.0),
        regular_grid(volume, 4.0, 8),
    ):
        np.testing.assert_allclose(center(other), center(volume), atol=0.05)
        assert mass(other) == pytest.approx(mass(volume), rel=0.01)


def test_boxes_are_averaged():
    volume = Volume(np.arange(32.0)[:, None, None] * np.ones((1, 16, 16)), np.eye(4))
    half = reduce_resolution(volume, 2.0)
    assert half.shape == (16, 8, 8)
    np.testing.assert_allclose(half.data[:, 0, 0], np.arange(16) * 2 + 0.5)
    np.testing.assert_allclose(half.affine[:3, 3], 0.5)
    assert reduce_resolution(volume, 1.5).shape == volume.shape


def test_fine_and_coarse_grids_become_alike():
    coarse = common_resolution(blob((2.0, 2.0, 2.0)), 2.0)
    fine = regular_grid(common_resolution(blob((1.3, 1.3, 1.3)), 2.0), 2.0)
    assert float(np.abs(fine.data.max() - coarse.data.max())) < 0.03


def edge(size: float, place: float) -> np.ndarray:
    """A voxel is the mean of its box: the part of it that lies beyond an edge, `place` mm."""
    centers = size * np.arange(round(120 / size)) + size / 2
    return np.clip((centers + size / 2 - place) / size, 0, 1)


@pytest.mark.parametrize("size", [0.4, 0.7, 1.0, 1.5, 2.0, 3.0])
def test_the_blur_of_an_edge_does_not_depend_on_the_voxel_size(size):
    profile = edge(size, 61.3)
    volume = Volume(
        profile[:, None, None] * np.ones((1, 12, 12), np.float32), np.diag([size, 2.0, 2.0, 1.0])
    )
    volume.affine[0, 3] = size / 2
    out = equal_blur(volume, 2.0)
    assert min(out.spacing) <= max(2.0, size)
    wanted = np.linspace(52, 70, 37)
    index = (wanted - out.affine[0, 3]) / out.spacing[0]
    middle = ndimage.map_coordinates(out.data[:, 6, 6].astype(float), [index], order=3)
    np.testing.assert_allclose(middle, norm.cdf((wanted - 61.3) / 2.0), atol=0.03)


def test_voxels_that_are_blurred_already_stay():
    volume = blob((1.0, 1.0, 8.0))
    assert equal_blur(volume, 2.0).shape == (80, 80, 20)


def test_a_regular_grid_fits_the_network():
    grid = regular_grid(blob((1.0, 1.0, 3.0), flip=True), 4.0, 8)
    assert all(n % 8 == 0 for n in grid.shape)
    np.testing.assert_allclose(grid.affine[:3, :3], np.eye(3) * 4)


@pytest.mark.parametrize("size", [0.1, 20.0])
def test_what_has_not_the_size_of_a_head_is_refused(size):
    volume = Volume(np.ones((64, 64, 64), np.float32), np.diag([size, size, size, 1.0]))
    with pytest.raises(InputError, match="size of a head"):
        regular_grid(volume, 4.0)
