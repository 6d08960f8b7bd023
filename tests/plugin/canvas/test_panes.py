"""Tests of `napari_expert.canvas.panes`."""

from __future__ import annotations

import numpy as np
import pytest

from expert.planes import patch_center, plane_image, planes
from napari_expert.canvas.panes import WINDOW, make_panes, pane_at, tile_shape


@pytest.fixture
def three(solid):
    return [planes(solid, axis)[20] for axis in range(3)]


@pytest.mark.parametrize("neurological", [False, True])
@pytest.mark.parametrize("magnified", [False, True])
def test_positions_of_three_planes(solid, three, neurological, magnified):
    """A point of a pane shows the voxel that it says it does, and the way back is the same."""
    middle = np.array([20.0, 20.0, 20.0]) if magnified else None
    panes = make_panes(solid, three, neurological, middle)
    image = solid.views[0].image
    for pane in panes:
        pixels = pane.pixels(image)
        assert pixels.shape == pane.shape
        for row, column in ((2, 3), (pane.shape[0] - 1, 0), (9, pane.shape[1] - 2)):
            point = np.add(pane.place, (row, column))
            voxel = pane.voxel(point)
            assert pixels[row, column] == image[tuple(np.rint(voxel).astype(int))]
            np.testing.assert_allclose(pane.point(voxel), point)
            assert pane_at(panes, point) is pane
    rows, columns = tile_shape(panes)
    assert rows == max(pane.shape[0] for pane in panes)
    assert columns > sum(pane.shape[1] for pane in panes)
    assert pane_at(panes, np.array([-3.0, 4.0])) is None


def test_the_convention_turns_axial_and_coronal_planes_only(solid, three):
    radiological, neurological = make_panes(solid, three), make_panes(solid, three, True)
    image = solid.views[0].image
    for one, other in zip(radiological, neurological, strict=True):
        flipped = one.pixels(image) if one.plane.axis == 2 else one.pixels(image)[:, ::-1]
        np.testing.assert_array_equal(other.pixels(image), flipped)


def test_the_magnifier_shows_a_patch_and_its_neighbours(solid, three):
    patch = int(np.ravel_multi_index((2, 3, 3), solid.grid))
    (pane,) = make_panes(solid, three[:1], middle=patch_center(solid, patch) + 2.0)
    assert pane.shape == (WINDOW * 8, WINDOW * 8)
    corners = pane.corners(patch)
    np.testing.assert_allclose(corners.mean(axis=0), [11.5, 11.5])
    whole = [n for n in pane.patches if pane.corners(n) is not None]
    assert len(whole) == WINDOW**2
    # At the edge of the view, it stays within it.
    (edge,) = make_panes(solid, three[:1], middle=np.zeros(3))
    assert edge.shape == pane.shape
    part = plane_image(solid.views[0].image, three[0])
    assert np.isin(edge.pixels(solid.views[0].image), part).all()
    assert make_panes(solid, three[:1])[0].pixels(None).max() == 0
