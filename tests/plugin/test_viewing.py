"""Tests of `napari_expert.viewing`."""

from __future__ import annotations

import numpy as np
import pytest

from expert.planes import START_MM, matched_place, patch_center
from napari_expert.side_by_side import Board
from napari_expert.viewing import WINDOWS, Viewing

WITHIN = np.array([1.0, -2.0, 0.5])
"""A place within a patch, pixels from its middle."""


@pytest.fixture
def viewing(solid):
    out = Viewing()
    out.reset(Board(solid, top=2))
    return out


def test_a_volume_is_first_seen_at_the_ventricles(viewing, solid):
    assert len(viewing.points) == 3
    place = solid.views[0].affine @ [*viewing.points[0], 1.0]
    np.testing.assert_allclose(place[[2, 1, 0]], START_MM, atol=1.5)
    assert viewing.planes[viewing.number].slice == viewing.points[0][0]
    assert not viewing.placed


def test_2d_views_have_no_crosshair(explanation):
    viewing = Viewing()
    viewing.reset(Board(explanation))
    assert viewing.points == ()
    viewing.show_axis(1)
    assert viewing.axis == 0


def test_the_crosshair_follows_the_plan(viewing, solid):
    """Mean place around the strongest partner; an untrained network matches anything."""
    patch = int(solid.views[0].mass.argmax())
    voxel = patch_center(solid, patch) + WITHIN
    viewing.put(0, voxel)
    np.testing.assert_array_equal(viewing.points[0], voxel)
    for tile, match in enumerate(solid.prototypes, 1):
        share = match.views[0].matches(patch)
        target = patch_center(solid, int(share.argmax()))
        size = np.array(solid.view_shape) / np.array(solid.grid)
        centers = np.array([patch_center(solid, n) for n in range(share.size)])
        near = (np.abs(centers - target) < 1.5 * size).all(1)
        expected = share[near] @ centers[near] / share[near].sum() + WITHIN
        start, stop = np.array(solid.patch_box(int(share.argmax()))).T
        np.testing.assert_allclose(viewing.points[tile], np.clip(expected, start, stop - 1))
    # Back from a prototype, by the column of the plan.
    viewing.put(1, voxel)
    back = solid.prototypes[0].views[0].flow[:, patch]
    np.testing.assert_allclose(viewing.points[0], matched_place(solid, back, WITHIN))


def test_the_crosshair_follows_the_plan_of_other_prototypes(viewing, solid):
    patch = int(solid.views[0].mass.argmax())
    viewing.put(0, patch_center(solid, patch) + WITHIN)
    second = solid.prototypes[1]
    viewing.exchange(Board(solid, top=2, prototypes=(second.index,)))
    expected = matched_place(solid, second.views[0].matches(patch), WITHIN)
    assert len(viewing.points) == 2
    np.testing.assert_allclose(viewing.points[1], expected)


def test_more_prototypes_are_at_the_same_place_until_the_crosshair_is_put(solid):
    viewing = Viewing()
    viewing.reset(Board(solid, top=1))
    before = viewing.points[0]
    viewing.exchange(Board(solid, top=2))
    assert len(viewing.points) == 3
    for point in viewing.points:
        np.testing.assert_array_equal(point, before)


def test_what_was_not_matched_is_at_the_same_place_of_the_template(viewing, solid):
    empty = int(solid.views[0].mass.argmin())
    assert solid.views[0].mass[empty] < 0.01 / len(solid.views[0].mass)
    voxel = patch_center(solid, empty)
    viewing.put(0, voxel)
    for point in viewing.points:
        np.testing.assert_array_equal(point, voxel)


def test_scrolling_levels_all_tiles(viewing, solid):
    viewing.put(0, patch_center(solid, int(solid.views[0].mass.argmax())))
    plane = viewing.planes[7]
    viewing.level(plane)
    assert {float(point[0]) for point in viewing.points} == {float(plane.slice)}
    assert {viewing.slice_of(tile, 0).slice for tile in range(3)} == {plane.slice}
    for point in viewing.points:
        np.testing.assert_array_equal(point, viewing.points[0])


def test_the_way_to_a_patch_stays_in_a_slice_that_cuts_it(viewing, solid):
    patch = int(np.ravel_multi_index((3, 3, 3), solid.grid))
    start, stop = solid.patch_box(patch)[0]
    viewing.level(next(plane for plane in viewing.planes if plane.slice == start))
    assert viewing.way_to(0, patch, False)[0] == start
    assert viewing.way_to(0, patch, True)[0] == (start + stop) / 2 - 0.5
    viewing.level(next(plane for plane in viewing.planes if plane.slice == stop))
    np.testing.assert_array_equal(viewing.way_to(0, patch, False), patch_center(solid, patch))


def test_windows_and_opacity(viewing):
    names = [viewing.window]
    for _ in WINDOWS:
        viewing.next_window()
        names.append(viewing.window)
    assert set(names) == set(WINDOWS)
    assert names[0] == names[-1]
    viewing.show_opacity(3)
    assert viewing.opacity == 1
