"""Tests of `napari_expert.navigation`: all through the session, without a window."""

from __future__ import annotations

import numpy as np
import pytest

from expert.errors import InputError
from expert.planes import patch_center
from napari_expert.navigation import point_at, show_axis, step_patch, step_plane
from napari_expert.session import Session


@pytest.fixture
def session(solid):
    out = Session()
    out.show(solid)
    return out


def test_pointing_moves_the_planes_of_every_orientation(session, solid):
    patch = int(solid.views[0].mass.argmax())
    voxel = patch_center(solid, patch)
    moved = []
    session.events.plane.connect(lambda: moved.append("plane"))
    session.viewing.events.position.connect(lambda: moved.append("position"))
    point_at(session, 0, voxel)
    assert session.plane.slice == round(voxel[0])
    assert session.viewing.slice_of(0, 1).slice == round(voxel[1])
    point_at(session, 0, voxel + np.eye(3)[1])
    assert moved == ["plane", "position"]


def test_another_orientation_keeps_the_place(session, solid):
    point_at(session, 0, patch_center(solid, int(solid.views[0].mass.argmax())))
    point = session.viewing.points[0].copy()
    for axis in (1, 2, 0):
        show_axis(session, axis)
        assert session.plane.axis == axis
        assert session.plane.slice == round(point[axis])
        np.testing.assert_array_equal(session.viewing.points[0], point)
    step_plane(session, 1, axis=2)
    assert session.plane.slice == round(point[2]) + 1
    step_plane(session, -1)
    assert session.plane.slice == round(point[2])


def test_the_next_patch_is_visited(session, solid):
    session.show_mode("planes")
    assert len(session.patches) == 6
    for step, number in ((1, 0), (1, 1), (-1, 0), (-1, 5)):
        step_patch(session, step)
        patch = session.patches[number]
        assert (session.focus.patch, session.pinned) == (patch, True)
        np.testing.assert_array_equal(session.viewing.points[0], patch_center(solid, patch))


def test_patches_of_the_whole_volume_are_numbered_in_three_planes(session, explanation):
    axial = list(session.patches)
    told = []
    session.events.patches.connect(lambda: told.append(list(session.patches)))
    session.show_mode("planes")
    assert told == [session.patches] != [axial]
    numbers = list(session.patches)
    session.show_plane(session.plane_number + 9)
    assert session.patches == numbers
    # A model of 2D images has no such planes; the layout waits for the next volume.
    session.show(explanation)
    assert session.mode == "grid"
    session.show_mode("lines")
    with pytest.raises(InputError, match="a model of volumes"):
        session.show_mode("planes")


def test_2d_views_know_no_places(explanation):
    session = Session()
    session.show(explanation)
    number = session.plane_number
    point_at(session, 0, np.zeros(2))
    show_axis(session, 1)
    assert (session.plane_number, session.viewing.axis) == (number, 0)
    session.set_focus(0, session.patches[0], pin=True)
    assert session.viewing.points == ()
