"""The explanation on the subject's own voxels: right to half a voxel in any axis order, and never
on the wrong side."""

from __future__ import annotations

import itertools
import tracemalloc
import warnings

import nibabel as nib
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels

import expert
from expert.errors import InputError
from expert.explanation import RegistrationSummary
from expert.imaging.preprocessing import view_affine
from expert.imaging.volume import Volume
from expert.native_space import center_of, patch_map, spread_over, view_map
from expert.patches import COLORS, foreground, whereabouts
from expert.schema import InputSettings
from napari_expert.canvas.native_overlay import BEYOND_MM, Overlay
from napari_expert.layer_geometry import AFFINE, layer_arguments, slice_letters, volume_from_layer
from napari_expert.readers import read

ORDERS = list(itertools.permutations(range(3)))
FLIPS = list(itertools.product((1, -1), repeat=3))
SPACING = np.array([1.9, 2.6, 3.4])
"""mm along the array's axes; anisotropic, so that an exchanged axis is seen."""


def turn(x: float, y: float, z: float) -> np.ndarray:
    """(3, 3) rotation by three angles."""
    cos, sin = np.cos([x, y, z]), np.sin([x, y, z])
    about_x = np.array([[1, 0, 0], [0, cos[0], -sin[0]], [0, sin[0], cos[0]]])
    about_y = np.array([[cos[1], 0, sin[1]], [0, 1, 0], [-sin[1], 0, cos[1]]])
    about_z = np.array([[cos[2], -sin[2], 0], [sin[2], cos[2], 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def registration() -> np.ndarray:
    """A template-to-subject transform with all twelve parameters: turned, scaled unequally,
    sheared, moved."""
    matrix = np.eye(4)
    matrix[:3, :3] = (
        turn(0.2, -0.07, 0.12)
        @ np.diag([0.9, 0.95, 0.86])
        @ [[1, 0.05, 0.02], [0, 1, -0.04], [0, 0, 1]]
    )
    matrix[:3, 3] = (4.0, -9.0, 13.0)
    return matrix


def registered(explanation, matrix):
    """The explanation of a head that lies elsewhere, all of whose patches have something in
    them."""
    count = len(explanation.views[0].mass)
    views = tuple(
        view.model_copy(
            update={"mass": np.full(count, 1 / count), "image": np.maximum(view.image, 40)}
        )
        for view in explanation.views
    )
    summary = RegistrationSummary(template_to_subject=matrix, quality=1.0, acceptable=True)
    return explanation.model_copy(update={"views": views, "registration": summary})


def numbered_volume(axes, flips, oblique: bool) -> Volume:
    """A volume around the views, in any axis order, whose every voxel has a value of its own."""
    columns = np.zeros((3, 3))
    for axis, (row, sign) in enumerate(zip(axes, flips, strict=True)):
        columns[row, axis] = sign * SPACING[axis]
    if oblique:
        columns = turn(-0.25, 0.1, 0.3) @ columns
    extent = np.array([190.0, 210.0, 130.0])
    shape = np.ceil(extent[list(axes)] / SPACING).astype(int)
    affine = np.eye(4)
    affine[:3, :3] = columns
    middle = registration() @ [0.0, -18.0, 7.0, 1.0]
    affine[:3, 3] = middle[:3] - columns @ ((shape - 1) / 2)
    return Volume(np.arange(shape.prod(), dtype=np.int32).reshape(shape), affine)


def by_our_reader(volume: Volume, folder) -> Image:
    path = folder / "head.nii.gz"
    nib.save(nib.Nifti1Image(volume.data, volume.affine), path)
    data, arguments, _ = read(str(path))[0]
    return Image(data, **arguments)


def as_napari_nifti(volume: Volume, folder) -> Image:
    """What the reader of napari-nifti 0.0.20 makes of a file (`test_napari_nifti_itself` holds it
    against the reader)."""
    image = nib.as_closest_canonical(nib.Nifti1Image(volume.data, volume.affine))
    data = np.asarray(image.dataobj).transpose(2, 1, 0)
    step = np.linalg.norm(image.affine[:3, :3], axis=0)[::-1]
    origin = image.affine[:3, 3][::-1]
    metadata = {
        "affine": image.affine,
        "spacing": step[::-1],
        "origin": origin[::-1],
        "direction": image.affine[:3, :3] / step[::-1],
        "header": image.header,
        "coordinate_system": "RAS+",
    }
    return Image(
        data, scale=-step, translate=origin + (np.array(data.shape) - 1) * step, metadata=metadata
    )


def bare(volume: Volume, folder) -> Image:
    return Image(volume.data, scale=SPACING)


def truth(explanation, points: np.ndarray) -> np.ndarray:
    """Number of the patch at each template point (3, N), by `Explanation.patch_box` and the planes'
    heights alone."""
    view, heights = explanation.views[0], np.array([view.position_mm for view in explanation.views])
    step = view.affine[1, 0]
    pixel = (points[[1, 0]] - view.affine[[1, 0], 3][:, None]) / step + 0.5
    half = (heights[1] - heights[0]) / 2
    inside = (points[2] >= heights[0] - half) & (points[2] < heights[-1] + half)
    out = np.zeros(points.shape[1], dtype=int)
    for patch in range(len(view.mass)):
        (top, bottom), (left, right) = explanation.patch_box(patch)
        out[
            inside
            & (pixel[0] >= top)
            & (pixel[0] < bottom)
            & (pixel[1] >= left)
            & (pixel[1] < right)
        ] = patch + 1
    return out


def apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return matrix[:3, :3] @ points + matrix[:3, 3:]


def voxels_holding(volume: Volume, layer: Image, world: np.ndarray) -> tuple[np.ndarray, ...]:
    """Indices *in the layer's array* of the voxels that hold points of the file's world, found by
    the voxels' own values."""
    index = np.rint(apply(np.linalg.inv(volume.affine), world)).astype(int)
    values = volume.data[tuple(index)]
    place = np.empty(volume.data.size, dtype=int)
    place[np.asarray(layer.data).ravel()] = np.arange(volume.data.size)
    return np.unravel_index(place[values], layer.data.shape)


# --- right to half a voxel, 48 orientations -------------------------------------------------------
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
            assert whereabouts(e, middle, number - 1).startswith(side)


def test_a_registered_phantom_has_the_same_patches_in_every_orientation(explanation, head):
    """The real registration of a head, and its file turned in all 48 ways."""
    numbers = patch_map(explanation, head)
    assert set(np.unique(numbers)) - {0} == {
        patch + 1
        for view in explanation.views
        for patch in np.flatnonzero(view.mass >= 0.5 / len(view.mass))
    }
    sides = {
        patch: whereabouts(explanation, 0, patch)[0]
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


# --- planes, volumes, plain images ----------------------------------------------------------------
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
    np.testing.assert_allclose(
        center_of(e, volume, 0),
        (np.linalg.inv(volume.affine) @ registration() @ [0, -18, 10, 1])[:3],
    )
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


# --- layers and their orientation -----------------------------------------------------------------
def test_napari_nifti_itself(explanation, tmp_path):
    reader = pytest.importorskip("napari_nifti._reader", reason="napari-nifti is not installed")
    e = registered(explanation, registration())
    view, count = e.views[2], len(e.views[2].mass)
    cells = np.array(
        [[(a + b) / 2 - 0.5 for a, b in e.patch_box(patch)] for patch in range(count)]
    ).T
    world = apply(registration(), apply(view.affine, np.vstack([cells, np.zeros(count)])))
    for axes, flips, oblique in itertools.product(ORDERS, FLIPS, (False, True)):
        volume = numbered_volume(axes, flips, oblique)
        path = tmp_path / "head.nii.gz"
        nib.save(nib.Nifti1Image(volume.data, volume.affine), path)
        data, arguments, _ = reader.reader_function(str(path))[0]
        assert arguments["metadata"].keys() == as_napari_nifti(volume, tmp_path).metadata.keys()
        layer = Image(data, **arguments)
        found = volume_from_layer(layer)
        assert found.space == "ras"
        # Some of its arrays run I or P where their name says S or A; the affine that lies beside
        # them knows it.
        place = np.array(
            np.unravel_index(np.asarray(layer.data).ravel(), volume.shape), dtype=float
        )
        here = np.indices(layer.data.shape).reshape(3, -1).astype(float)
        np.testing.assert_allclose(
            apply(found.affine, here), apply(volume.affine, place), atol=1e-2
        )
        np.testing.assert_array_equal(
            patch_map(e, found)[voxels_holding(volume, layer, world)], np.arange(count) + 1
        )


BAD = [
    np.full((4, 4), np.nan),
    np.eye(3),
    np.zeros((4, 4)),
    np.ones((4, 4)),
    "text",
    None,
    [[1, 2], [3]],
    np.eye(5),
]


@pytest.mark.parametrize(
    "affine",
    BAD,
    ids=lambda value: str(np.shape(value)) if not isinstance(value, list) else "ragged",
)
@pytest.mark.parametrize("kind", ["ours", "napari-nifti"])
def test_an_affine_that_does_not_fit_is_not_trusted(affine, kind):
    others = dict.fromkeys(("spacing", "origin", "direction", "header", "coordinate_system"))
    metadata = {AFFINE: affine} if kind == "ours" else {"affine": affine, **others}
    volume = volume_from_layer(Image(np.zeros((4, 5, 6)), scale=(3, 2, 1), metadata=metadata))
    assert volume.space == "unknown"
    assert volume.spacing == (3, 2, 1)


def test_a_shrunk_copy_does_not_keep_the_old_voxel_size(head):
    data, arguments = layer_arguments(head)
    scale = 2 * np.array(arguments["scale"])
    volume = volume_from_layer(Image(data[::2, ::2, ::2], **{**arguments, "scale": scale}))
    assert volume.space == "unknown"
    np.testing.assert_allclose(volume.spacing, scale)


@pytest.mark.parametrize(
    ("arguments", "spacing", "known"),
    [
        ({}, (1, 1, 1), False),
        ({"scale": (2, 1, 1)}, (2, 1, 1), True),
        ({"units": ("mm", "mm", "mm")}, (1, 1, 1), True),
        ({"units": ("um", "um", "um"), "scale": (900, 500, 500)}, (0.9, 0.5, 0.5), True),
        ({"units": ("cm", "cm", "cm"), "scale": (-0.2, 0.1, 0.1)}, (2, 1, 1), True),
        ({"affine": np.diag([3.0, 1.0, 1.0, 1.0]), "rotate": (10, 20, 30)}, None, True),
    ],
)
def test_a_layer_without_an_affine_has_no_orientation(arguments, spacing, known):
    volume = volume_from_layer(Image(np.zeros((4, 5, 6)), **arguments))
    assert volume.space == "unknown"
    assert volume.spacing_known is known
    if spacing is not None:
        np.testing.assert_allclose(volume.spacing, spacing)


def test_a_file_without_orientation_stays_without(head):
    data, arguments = layer_arguments(Volume(head.data, head.affine, "unknown"))
    assert volume_from_layer(Image(data, **arguments)).space == "unknown"


@pytest.mark.parametrize("load", [by_our_reader, as_napari_nifti, bare])
def test_edges_are_lettered_by_the_affine(tmp_path, load):
    # Both readers draw heads the same way, though one mirrors its array with negative scales and
    # the other does not.
    volume = numbered_volume((2, 0, 1), (-1, 1, -1), True)
    layer = load(volume, tmp_path)
    found = volume_from_layer(layer)
    if load is bare:
        assert slice_letters(layer, found, (1, 2)) == {}
        return
    assert slice_letters(layer, found, (1, 2)) == {
        "left": "R",
        "right": "L",
        "top": "A",
        "bottom": "P",
    }
    turned = slice_letters(layer, found, (0, 2), ("up", "left"))
    top = "S" if load is by_our_reader else "I"  # napari-nifti's slices run downwards
    assert turned == {"left": "L", "right": "R", "top": top, "bottom": "I" if top == "S" else "S"}


# --- the overlay ----------------------------------------------------------------------------------
@pytest.fixture
def viewer(head):
    viewer = ViewerModel()
    viewer.add_image(np.zeros((4, 4, 4)), name="below")
    data, arguments = layer_arguments(head)
    viewer.add_image(data, **arguments, name="head")
    viewer.add_image(np.zeros((4, 4, 4)), name="above")
    return viewer


@pytest.fixture
def values(explanation):
    return np.random.default_rng(5).normal(
        size=(len(explanation.views), len(explanation.views[0].mass))
    )


def listeners(viewer) -> list[int]:
    """How many callbacks everything that the overlay could listen to has."""
    out = (
        [len(emitter.callbacks) for emitter in viewer.layers["head"].events.emitters.values()]
        if "head" in viewer.layers
        else []
    )
    for events in (
        viewer.layers.events,
        viewer.layers.selection.events,
        viewer.dims.events,
        viewer.scene.camera.events,
    ):
        out += [len(emitter.callbacks) for emitter in events.emitters.values()]
    return [*out, len(viewer.mouse_move_callbacks), len(viewer.mouse_drag_callbacks)]


def names(viewer) -> list[str]:
    return [layer.name for layer in viewer.layers]


def test_the_overlay_lies_directly_above_and_changes_nothing_else(viewer, explanation, values):
    layer = viewer.layers["head"]
    viewer.layers.selection.active = layer
    before = (
        str(layer.as_layer_data_tuple()[1]),
        viewer.scene.camera.zoom,
        viewer.dims.point,
        viewer.canvas.grid.enabled,
    )
    Overlay(viewer, layer, explanation, values, [7, 12])
    assert names(viewer) == ["below", "head", "contribution", "patches", "above"]
    after = (
        str(layer.as_layer_data_tuple()[1]),
        viewer.scene.camera.zoom,
        viewer.dims.point,
        viewer.canvas.grid.enabled,
    )
    assert before == after
    assert viewer.layers.selection.active is layer
    assert list(viewer.layers.selection) == [layer]


@pytest.mark.parametrize(
    "arguments",
    [
        {"scale": (-2, -1.5, -1), "translate": (90, -4, 7)},
        {"scale": (2, 1.5, 1), "rotate": (20, 10, -35), "shear": (0.1, 0, -0.2)},
        {
            "affine": np.array(
                [[0.9, 0.2, 0, 5], [-0.2, 1.1, 0.1, 6], [0, 0.3, 2, 7], [0, 0, 0, 1]]
            ),
            "scale": (1, 2, 3),
        },
        {"units": ("um", "um", "um"), "axis_labels": ("z", "y", "x"), "scale": (2000, 2000, 2000)},
    ],
)
def test_the_overlay_is_placed_as_the_layer_is(explanation, values, head, arguments):
    viewer = ViewerModel()
    layer = viewer.add_image(head.data, name="head", **arguments)
    overlay = Overlay(viewer, layer, explanation, values)
    points = np.random.default_rng(1).uniform(-50, 150, (20, 3))

    def placed() -> None:
        for own in overlay.layers:
            assert own.units == layer.units
            assert own.axis_labels == layer.axis_labels
            for point in points:
                np.testing.assert_allclose(own.data_to_world(point), layer.data_to_world(point))

    placed()
    layer.scale = (1, 2, 1.5)
    layer.translate = (3, 4, 5)
    layer.affine = np.diag([1, 1.2, 1, 1])
    placed()
    assert all(name.endswith("(orientation unknown)") for name in names(viewer)[1:])


def test_what_the_overlay_shows(viewer, explanation, values):
    layer, count = viewer.layers["head"], values.shape[1]
    overlay = Overlay(viewer, layer, explanation, values, [7, 12])
    volume = volume_from_layer(layer)
    assert isinstance(overlay.map, Image)
    assert isinstance(overlay.outlines, Labels)
    np.testing.assert_array_equal(
        overlay.map.data, spread_over(explanation, volume, values, seen=True)
    )
    low, high = overlay.map.contrast_limits
    assert low == -high == pytest.approx(-np.abs(values).max())
    assert overlay.map.colormap.map(np.array([0.5, np.nan]))[:, 3].max() == 0
    colors = overlay.map.colormap.map(np.array([0.0, 1.0]))
    assert colors[0, 2] > colors[0, 0]
    assert colors[1, 0] > colors[1, 2]
    numbers = patch_map(explanation, volume)
    drawn = np.asarray(overlay.outlines.data)
    np.testing.assert_array_equal(np.where(drawn <= count, drawn, 0), numbers)
    beyond = patch_map(explanation, volume, beyond_mm=BEYOND_MM)
    np.testing.assert_array_equal(
        drawn[numbers == 0], np.where(beyond > 0, beyond + count, 0)[numbers == 0]
    )
    assert overlay.outlines.contour == 1
    assert not any(own.editable for own in overlay.layers)
    assert all(own.metadata["expert_scene"] for own in overlay.layers)
    color = overlay.outlines.get_color
    np.testing.assert_allclose(
        color(8)[:3], [int(COLORS[0][at : at + 2], 16) / 255 for at in (1, 3, 5)], atol=0.01
    )
    assert color(9)[0] == color(9)[1] == color(9)[2]
    assert color(count + 8)[3] < color(8)[3]
    table = overlay.outlines.features
    row = table[table["index"] == 8].iloc[0]
    assert row["number"] == "1"
    assert row["where"] == whereabouts(explanation, len(explanation.views) // 2, 7)
    assert row["value"] == pytest.approx(values.mean(axis=0)[7], abs=1e-3)


def test_other_values_are_shown_in_place(viewer, explanation, values):
    overlay = Overlay(viewer, viewer.layers["head"], explanation, values, [7])
    layers, before = overlay.layers, listeners(viewer)
    mean = 3 * values.mean(axis=0)
    overlay.show(mean, [12])
    assert overlay.layers == layers
    assert listeners(viewer) == before
    every = np.broadcast_to(mean, values.shape)
    expected = spread_over(explanation, overlay.volume, every, seen=True)
    np.testing.assert_array_equal(overlay.map.data, expected)
    assert overlay.map.contrast_limits[1] == pytest.approx(np.abs(mean).max())
    assert overlay.outlines.get_color(13)[0] > overlay.outlines.get_color(8)[0]
    assert not overlay.outlines.editable
    overlay.show(np.zeros_like(mean))
    assert overlay.map.contrast_limits == [-1, 1]


def test_the_patch_under_the_mouse(viewer, explanation, values):
    layer = viewer.layers["head"]
    overlay = Overlay(viewer, layer, explanation, values)
    numbers = patch_map(explanation, overlay.volume)
    for number in np.unique(numbers[numbers > 0]):
        voxel = np.argwhere(numbers == number)[0]
        position = layer.data_to_world(voxel + np.array([0.3, -0.4, 0.2]))
        assert overlay.patch_under(position) == number - 1
        assert overlay.patch_under((5.0, *position)) == number - 1
    assert overlay.patch_under(layer.data_to_world((0, 0, 0))) is None
    assert overlay.patch_under(layer.data_to_world((-9, 5, 5))) is None
    # Above the planes the patches are drawn on, faintly, and found.
    middle = overlay.middle_of(len(explanation.views) // 2)
    assert overlay.patch_under(middle) is not None
    assert overlay.patch_under(middle + np.array([20.0, 0, 0])) is not None
    assert overlay.patch_under(middle + np.array([50.0, 0, 0])) is None


def test_the_overlay_leaves_nothing_behind(viewer, explanation, values):
    before, order = listeners(viewer), names(viewer)
    for _ in range(3):
        overlay = Overlay(viewer, viewer.layers["head"], explanation, values)
        assert listeners(viewer) != before
        overlay.remove()
        overlay.remove()
        assert listeners(viewer) == before
        assert names(viewer) == order


@pytest.mark.parametrize("what", ["head", "contribution", "patches", "all", "data"])
def test_the_overlay_goes_when_a_part_of_it_goes(viewer, explanation, values, what):
    before, gone, head = listeners(viewer), [], viewer.layers["head"]
    overlay = Overlay(viewer, head, explanation, values, on_gone=lambda: gone.append(1))
    if what == "all":
        viewer.layers.clear()
        left = []
    elif what == "data":
        head.data = np.zeros_like(head.data)
        left = ["below", "head", "above"]
    else:
        viewer.layers.remove(what)
        left = [name for name in ("below", "head", "above") if name != what]
    assert gone == [1]
    assert names(viewer) == left
    if "head" in left:
        assert listeners(viewer) == before
    assert set(viewer.layers.selection) <= set(viewer.layers)
    overlay.remove()
    assert gone == [1]


def test_outlines_are_of_slices_only(viewer, explanation, values):
    overlay = Overlay(viewer, viewer.layers["head"], explanation, values)
    with warnings.catch_warnings(record=True):  # napari says that contours are of slices
        viewer.dims.ndisplay = 3
    assert not overlay.outlines.visible
    viewer.dims.ndisplay = 2
    assert overlay.outlines.visible
    overlay.outlines.visible = False
    viewer.dims.ndisplay = 3
    assert not overlay.outlines.visible
    viewer.dims.ndisplay = 2
    assert not overlay.outlines.visible


def test_the_overlay_on_a_plain_image(tiny_model_file):
    data = np.zeros((32, 32), dtype=np.uint8)
    data[6:26, 6:26] = 120
    data[0, :2] = 255
    viewer = ViewerModel()
    layer = viewer.add_image(data, name="square")
    e = expert.explain(expert.load_model(tiny_model_file), volume_from_layer(layer), top=1)
    count = len(e.views[0].mass)
    overlay = Overlay(viewer, layer, e, np.linspace(-1, 1, count), [3])
    assert names(viewer) == ["square", "contribution", "patches"]
    assert set(np.unique(overlay.outlines.data)) - {0} <= set(range(1, count + 1))
    assert overlay.patch_under((16.0, 16.0)) is not None


def test_a_layer_that_was_not_explained_is_refused(viewer, explanation, values):
    flat = viewer.add_image(np.zeros((9, 9)), name="flat")
    before, order = listeners(viewer), names(viewer)
    with pytest.raises(InputError, match="explained image"):
        Overlay(viewer, flat, explanation, values)
    assert (listeners(viewer), names(viewer)) == (before, order)


def test_the_overlay_in_a_window(make_napari_viewer_proxy, head, explanation, values):
    window = make_napari_viewer_proxy()
    data, arguments = layer_arguments(head)
    layer = window.add_image(data, **arguments, name="head")
    overlay = Overlay(window, layer, explanation, values, [7, 12])
    for order in ((0, 1, 2), (1, 0, 2), (2, 0, 1)):
        window.dims.order = order
        window.dims.point = tuple(overlay.middle_of(2))
        drawn = np.asarray(overlay.outlines._slice.image.view)
        raw = np.asarray(overlay.outlines._slice.image.raw)
        assert raw.any()
        # Edges alone are drawn: the inside of the patches is not.
        assert 0 < (drawn > 0).sum() < (raw > 0).sum()
    viewer_layers = [one.name for one in window.layers]
    overlay.remove()
    assert viewer_layers[1:] == ["contribution", "patches"]
    assert [one.name for one in window.layers] == ["head"]
