"""The explanation on the subject's own voxels: right to half a voxel in any axis order, and never
on the wrong side."""

from __future__ import annotations

import itertools
import tracemalloc

import nibabel as nib
import numpy as np
import pytest
from helpers.orientations import (
    FLIPS,
    ORDERS,
    apply,
    as_napari_nifti,
    bare,
    by_our_reader,
    numbered_volume,
    registered,
    registration,
    truth,
    voxels_holding,
)

import expert
from expert.errors import InputError
from expert.imaging import native_space
from expert.imaging.native_space import patch_map, smooth_over, spread_over
from expert.imaging.preprocessing import view_affine
from expert.imaging.volume import Volume
from expert.patches import foreground, patch_location_text
from expert.planes import patch_center
from expert.schema import InputSettings
from napari_expert.layer_geometry import volume_from_layer


def view_map(explanation, volume) -> np.ndarray:
    """The view (0-based) that each voxel's centre belongs to, -1 outside every view."""
    out = np.full(volume.shape, native_space.NOWHERE, dtype=np.int16)
    frames = native_space._frames(explanation, volume)
    for where, view, _ in native_space._slabs(frames, volume):
        out[where] = view
    return out


@pytest.mark.parametrize("oblique", [False, True], ids=["straight", "oblique"])
@pytest.mark.parametrize("axes", ORDERS, ids=lambda axes: "".join("RAS"[row] for row in axes))
@pytest.mark.parametrize("load", [by_our_reader, as_napari_nifti, bare])
def test_patches_lie_where_they_are_in_every_orientation(
    explanation, tmp_path, load, axes, oblique
):
    generator = np.random.default_rng(7)
    view = explanation.views[len(explanation.views) // 2]
    for flips in FLIPS:
        volume = numbered_volume(axes, flips, oblique)
        layer = load(volume, tmp_path)
        found = volume_from_layer(layer)
        matrix = registration()
        if load is bare:
            # Nothing says how the array lies: the head is then registered where it is taken to lie.
            assert found.space == "unknown"
            matrix = found.affine @ np.linalg.inv(volume.affine) @ matrix
        else:
            assert found.space == "ras"
        e = registered(explanation, matrix)
        numbers = patch_map(e, found)

        # The voxel at the centre of every patch has its number.
        count = len(view.mass)
        cells = np.array(
            [[(a + b) / 2 - 0.5 for a, b in e.patch_box(patch)] for patch in range(count)]
        ).T
        centers = apply(view.affine, np.vstack([cells, np.zeros(count)]))
        at = voxels_holding(volume, layer, apply(registration(), centers))
        np.testing.assert_array_equal(numbers[at], np.arange(count) + 1)

        # Any other point of the template may be off by half a voxel, and by no more.
        points = generator.uniform([-85, -115, -2], [85, 80, 16], (20_000, 3)).T
        world = apply(registration(), points)
        at = voxels_holding(volume, layer, world)
        to_template = np.linalg.inv(registration()) @ volume.affine
        index = np.rint(apply(np.linalg.inv(volume.affine), world))
        middles = apply(to_template, index)
        np.testing.assert_array_equal(numbers[at], truth(e, middles))
        half = np.abs(to_template[:3, :3]).sum(axis=1) / 2
        assert (np.abs(points - middles) <= half[:, None] + 1e-6).all()
        # Points deeper than that within a patch (or outside of all of them) are right without any
        # allowance.
        corners = [truth(e, points + half[:, None] * np.array(sign)[:, None]) for sign in FLIPS]
        deep = (np.array(corners) == corners[0]).all(axis=0) & (corners[0] == truth(e, points))
        assert deep.mean() > 0.2
        np.testing.assert_array_equal(numbers[at][deep], truth(e, points)[deep])


@pytest.mark.parametrize("load", [by_our_reader, as_napari_nifti])
def test_left_stays_left(explanation, tmp_path, load):
    """A marker in the patient's left is in a patch called L, one in the right in a patch called
    R."""
    e = registered(explanation, registration())
    middle = len(e.views) // 2
    for axes, flips in itertools.product(ORDERS, FLIPS):
        volume = numbered_volume(axes, flips, True)
        data = np.zeros(volume.shape, dtype=np.int32)
        for value, x in ((1, -40.0), (2, 40.0)):
            world = registration() @ [x, -18.0, 7.0, 1.0]
            data[tuple(np.rint((np.linalg.inv(volume.affine) @ world)[:3]).astype(int))] = value
        layer = load(Volume(data, volume.affine), tmp_path)
        numbers = patch_map(e, volume_from_layer(layer))
        for value, side in ((1, "L"), (2, "R")):
            number = int(numbers[np.asarray(layer.data) == value].item())
            assert patch_location_text(e, middle, number - 1).startswith(side)


def test_a_registered_phantom_has_the_same_patches_in_every_orientation(explanation, head):
    """The real registration of a head, and its file turned in all 48 ways."""
    numbers = patch_map(explanation, head)
    assert set(np.unique(numbers)) - {0} == {
        patch + 1
        for view in explanation.views
        for patch in np.flatnonzero(view.mass >= 0.5 / len(view.mass))
    }
    sides = {
        patch: patch_location_text(explanation, 0, patch)[0]
        for patch in np.unique(numbers[numbers > 0]) - 1
    }
    x = head.affine[0, 0] * np.indices(head.shape)[0] + head.affine[0, 3]
    left = np.isin(numbers - 1, [patch for patch, side in sides.items() if side == "L"])
    right = np.isin(numbers - 1, [patch for patch, side in sides.items() if side == "R"])
    assert x[left].max() < x[right].mean()
    assert x[right].min() > x[left].mean()
    for axes, flips in itertools.product(ORDERS, FLIPS):
        turned = np.column_stack([axes, flips])
        data = nib.apply_orientation(head.data, turned)
        affine = head.affine @ nib.orientations.inv_ornt_aff(turned, head.shape)
        again = patch_map(explanation, Volume(data, affine))
        np.testing.assert_array_equal(again, nib.apply_orientation(numbers, turned))


def test_a_voxel_belongs_to_the_nearest_plane(explanation, head):
    e = registered(explanation, registration())
    views = view_map(e, head)
    index = np.argwhere(views >= 0)
    template = apply(np.linalg.inv(registration()) @ head.affine, index.T.astype(float))
    heights = np.array([view.position_mm for view in e.views])
    away = np.abs(template[2] - heights[:, None])
    assert set(np.unique(views)) == {-1, *range(len(heights))}
    np.testing.assert_array_equal(views[tuple(index.T)], away.argmin(axis=0))
    assert away.min(axis=0).max() <= (heights[1] - heights[0]) / 2
    assert ((views >= 0) == (patch_map(e, head) > 0)).all()


@pytest.mark.parametrize("shift", [0.0, 1.2, 2.5, 3.1])
def test_a_single_plane_meets_one_thick_slice(explanation, shift):
    e = registered(explanation, np.eye(4)).model_copy(update={"views": (explanation.views[0],)})
    affine = np.diag([2.0, 2.0, 5.0, 1.0])
    affine[:3, 3] = (-90, -120, e.views[0].position_mm - 50 + shift)
    numbers = patch_map(e, Volume(np.zeros((91, 110, 21)), affine))
    assert numbers.any(axis=(0, 1)).sum() == 1
    fine = affine @ np.diag([1, 1, 0.1, 1])
    slices = patch_map(e, Volume(np.zeros((91, 110, 210)), fine)).any(axis=(0, 1))
    assert slices.sum() == pytest.approx(e.views[0].affine[1, 0] / 0.5, abs=1)


def test_beyond_the_planes_patches_go_on(explanation, head):
    e = registered(explanation, np.eye(4))
    exact, more = patch_map(e, head), patch_map(e, head, beyond_mm=12.0)
    np.testing.assert_array_equal(more[exact > 0], exact[exact > 0])
    heights = [apply(head.affine, np.argwhere(each > 0).T)[2] for each in (exact, more)]
    assert np.ptp(heights[1]) == pytest.approx(np.ptp(heights[0]) + 24, abs=2 * head.spacing[2])


def test_a_view_that_is_a_volume(explanation):
    recipe = InputSettings(
        space="mni", shape=(20, 24, 20), spacing_mm=8.0, center_mm=(10.0, -18.0, 0.0)
    )
    grid = (4, 4, 5)
    count = int(np.prod(grid))
    view = explanation.views[0].model_copy(
        update={
            "name": "image",
            "position_mm": None,
            "image": np.full(recipe.shape, 200, dtype=np.uint8),
            "affine": view_affine(recipe, None),
            "mass": np.full(count, 1 / count),
        }
    )
    e = registered(explanation, registration()).model_copy(update={"views": (view,), "grid": grid})
    volume = numbered_volume((1, 2, 0), (1, -1, -1), True)
    numbers = patch_map(e, volume)
    for patch in range(count):
        cell = [(a + b) / 2 - 0.5 for a, b in e.patch_box(patch)]
        voxel = np.linalg.inv(volume.affine) @ registration() @ view.affine @ [*cell, 1.0]
        place = np.rint(voxel[:3]).astype(int)
        if (place >= 0).all() and (place < volume.shape).all():
            assert numbers[tuple(place)] == patch + 1
    painted = spread_over(e, volume, np.arange(count)[None] + 1.0)
    np.testing.assert_array_equal(np.nan_to_num(painted), numbers)


@pytest.mark.parametrize("spacing", [None, (0.7, 1.4)])
def test_a_plain_image(tiny_model_file, spacing):
    data = np.zeros((40, 24))
    data[6:20, 8:20] = 120
    data[0, :2] = 255
    volume = Volume.from_array(data, spacing=spacing)
    e = expert.explain(expert.load_model(tiny_model_file), volume, top=1)
    numbers = patch_map(e, volume)
    row, column = np.mgrid[:40, :24]
    frame = np.linalg.inv(e.views[0].affine) @ volume.affine
    cell = [
        np.floor((frame[0, 0] * row + frame[0, 3] + 0.5) * e.grid[0] / 32),
        np.floor((frame[1, 1] * column + frame[1, 3] + 0.5) * e.grid[1] / 32),
    ]
    inside = (cell[0] >= 0) & (cell[0] < e.grid[0]) & (cell[1] >= 0) & (cell[1] < e.grid[1])
    expected = np.where(inside, cell[0] * e.grid[1] + cell[1] + 1, 0)
    shown = np.flatnonzero(foreground(e, 0)) + 1
    np.testing.assert_array_equal(numbers, np.where(np.isin(expected, shown), expected, 0))
    with pytest.raises(InputError, match="explained image"):
        patch_map(e, Volume.from_array(np.zeros((9, 9, 9))))


def test_values_are_painted_where_their_patches_are(explanation, head):
    values = np.random.default_rng(3).normal(
        size=(len(explanation.views), len(explanation.views[0].mass))
    )
    numbers, views = patch_map(explanation, head), view_map(explanation, head)
    painted = spread_over(explanation, head, values)
    np.testing.assert_array_equal(np.isnan(painted), numbers == 0)
    shown = numbers > 0
    np.testing.assert_array_equal(
        painted[shown], values.astype(np.float32)[views[shown], numbers[shown] - 1]
    )
    brain = spread_over(explanation, head, values, seen=True)
    assert (np.isfinite(painted) >= np.isfinite(brain)).all()
    kept = np.isfinite(brain).sum() / np.isfinite(painted).sum()
    assert 0.5 < kept < 0.95
    assert (
        head.data[np.isfinite(brain)].mean()
        > head.data[np.isfinite(painted) & np.isnan(brain)].mean()
    )


def test_a_smooth_map_is_linear_between_the_centres_of_patches(solid, head):
    """A linear field of values comes out as this field, wherever four centres surround a voxel."""
    view, step = solid.views[0], np.array(solid.view_shape) / np.array(solid.grid)
    centers = np.array([patch_center(solid, patch) for patch in range(len(view.mass))])
    slope = np.array([0.02, -0.03, 0.05])
    full = solid.model_copy(
        update={"views": (view.model_copy(update={"image": np.full_like(view.image, 99)}),)}
    )
    full = full.model_copy(
        update={
            "views": (
                full.views[0].model_copy(
                    update={"mass": np.full_like(view.mass, view.mass.mean())}
                ),
            )
        }
    )
    painted = smooth_over(full, head, (centers @ slope)[None])
    to_view = np.linalg.inv(solid.registration.template_to_subject @ view.affine) @ head.affine
    voxels = np.argwhere(np.isfinite(painted))
    places = voxels @ to_view[:3, :3].T + to_view[:3, 3]
    inside = ((places > centers[0]) & (places < centers[-1])).all(axis=1)
    assert inside.sum() > 1000
    np.testing.assert_allclose(painted[tuple(voxels[inside].T)], places[inside] @ slope, atol=1e-4)
    # Beyond the outer centres it stays as it is there.
    rest = np.clip(places, centers[0], centers[-1]) @ slope
    np.testing.assert_allclose(painted[tuple(voxels.T)], rest, atol=1e-4)
    assert (step == 8).all()


def test_a_smooth_map_ends_where_the_brain_does(solid, head):
    values = np.ones((1, len(solid.views[0].mass)))
    everywhere, brain = (smooth_over(solid, head, values, seen=seen) for seen in (False, True))
    assert (np.isfinite(everywhere) >= np.isfinite(brain)).all()
    assert 0.1 < np.isfinite(brain).sum() / np.isfinite(everywhere).sum() < 0.9
    # Towards background patches, which have no value, it fades.
    assert np.nanmin(brain) < 0.5 < np.nanmax(brain) == pytest.approx(1.0)


def test_a_large_volume_needs_little_more_than_its_result(explanation):
    affine = np.diag([0.5, 0.5, 0.6, 1.0])
    affine[:3, 3] = (-100, -118, -70)
    volume = Volume(np.broadcast_to(np.uint8(1), (400, 400, 260)), affine)
    tracemalloc.start()
    painted = spread_over(
        explanation,
        volume,
        np.ones((len(explanation.views), len(explanation.views[0].mass))),
        seen=True,
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak - painted.nbytes < 64 * 2**20


def test_a_head_far_from_its_views_has_none(explanation, head):
    matrix = np.eye(4)
    matrix[:3, 3] = 5000
    assert not patch_map(registered(explanation, matrix), head).any()
    with pytest.raises(InputError, match="damaged"):
        patch_map(registered(explanation, np.diag([1.0, 0.0, 1.0, 1.0])), head)
