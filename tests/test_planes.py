"""Tests of `expert.planes`."""

from __future__ import annotations

import numpy as np
import pytest

from expert.planes import (
    START_MM,
    box,
    display,
    drawn_at,
    edge_letters,
    middle_plane,
    patch_at,
    patch_center,
    patch_of,
    patches_in_plane,
    placement,
    plane_at,
    plane_image,
    plane_shape,
    planes,
    voxel_at,
)

LETTERS = {"L": (0, -1), "R": (0, 1), "P": (1, -1), "A": (1, 1), "I": (2, -1), "S": (2, 1)}
"""World coordinate and direction of each letter."""


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_planes_along_every_axis(solid, axis):
    """Every slice that is not empty is one, at its place in the template."""
    image, shown = solid.views[0].image, planes(solid, axis)
    others = tuple(other for other in range(3) if other != axis)
    assert [plane.slice for plane in shown] == np.flatnonzero(image.any(axis=others)).tolist()
    assert len(shown) > 30
    assert {plane.axis for plane in shown} == {axis}
    steps = np.diff([plane.position_mm for plane in shown])
    np.testing.assert_allclose(steps, 3.0)
    first = shown[middle_plane(solid, axis)]
    assert abs(first.position_mm - START_MM[axis]) <= 1.5
    assert first.name.startswith(f"{'zyx'[axis]} = ")
    np.testing.assert_array_equal(plane_image(image, first), image.take(first.slice, axis))
    assert plane_shape(solid, first) == plane_image(image, first).shape


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_letters_are_at_the_sides_of_the_patient(solid, axis):
    """The voxel at the edge of the drawing lies further in the direction of the letter there."""
    plane = planes(solid, axis)[0]
    rows, columns = plane_shape(solid, plane)
    middle = ((rows - 1) / 2, (columns - 1) / 2)
    edges = {
        "left": (middle[0], 0.0),
        "right": (middle[0], columns - 1.0),
        "top": (0.0, middle[1]),
        "bottom": (rows - 1.0, middle[1]),
    }
    letters = edge_letters(True, axis)
    assert set(letters) == set(edges)
    affine = solid.views[0].affine
    for side, index in edges.items():
        there, here = (affine[:3, :3] @ voxel_at(solid, plane, place) for place in (index, middle))
        world, direction = LETTERS[letters[side]]
        moved = there - here
        assert np.abs(moved).argmax() == world
        assert np.sign(moved[world]) == direction
    assert letters["left"] == ("A" if axis == 2 else "R")
    assert letters["top"] == ("S" if axis else "A")
    assert edge_letters(False, axis) == {}


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_boxes_and_positions_are_those_of_the_image_as_drawn(solid, axis):
    plane = planes(solid, axis)[20]
    drawn = display(plane_image(solid.views[0].image, plane), True)
    for patch in patches_in_plane(solid, plane).ravel():
        corners = box(solid, int(patch), axis=axis)
        middle = corners.mean(axis=0)
        assert patch_at(solid, plane, tuple(middle)) == patch
        assert patch_at(solid, plane, tuple(corners[0] + 0.6)) == patch
        np.testing.assert_allclose(drawn_at(solid, plane, patch_center(solid, int(patch))), middle)
    index = (11.0, 17.0)
    voxel = voxel_at(solid, plane, index)
    assert voxel[axis] == plane.slice
    np.testing.assert_allclose(drawn_at(solid, plane, voxel), index)
    assert drawn[11, 17] == solid.views[0].image[tuple(voxel.astype(int))]
    assert patch_at(solid, plane, (-5.0, 3.0)) is None
    assert patch_of(solid, np.array([-1.0, 3.0, 3.0])) is None


def test_a_sagittal_plane_says_its_side(solid):
    names = [plane.name for plane in planes(solid, 2)]
    assert names[0].endswith("(L)")
    assert names[-1].endswith("(R)")
    assert plane_at(solid, 0, 3, 2).position_mm < 0


def test_2d_views_are_planes_of_their_own(explanation):
    shown = planes(explanation)
    assert [plane.slice for plane in shown] == [None] * len(explanation.views)
    assert middle_plane(explanation) == len(shown) // 2


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_plane_is_placed_in_mm(solid, axis):
    plane, view = planes(solid, axis)[10], solid.views[0]
    scale, first = placement(view, True, plane)
    np.testing.assert_allclose(scale, 3.0)
    corner = view.affine[:3, :3] @ voxel_at(solid, plane, (0.0, 0.0)) + view.affine[:3, 3]
    down, right = ((1, 0), (2, 0), (2, 1))[axis]
    np.testing.assert_allclose(first, [-corner[down], -corner[right]])
