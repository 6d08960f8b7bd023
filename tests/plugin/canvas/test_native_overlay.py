"""Tests of `napari_expert.canvas.native_overlay`."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from helpers.orientations import center_of
from helpers.window import press, run_without_error, slab, square
from napari.components import ViewerModel
from napari.layers import Image, Labels
from qtpy.QtWidgets import QApplication

import expert
from expert.errors import InputError
from expert.imaging.native_space import patch_map, smooth_over
from expert.patches import COLORS, patch_location_text
from napari_expert.canvas.native_overlay import BEYOND_MM, NativeOverlay
from napari_expert.layer_geometry import layer_arguments, volume_from_layer
from napari_expert.session import native_values

CONTRIBUTION, PATCHES = "ExPeRT contribution, years per patch", "ExPeRT patches"


@pytest.fixture
def viewer_model(head):
    viewer = ViewerModel()
    viewer.add_image(np.zeros((4, 4, 4)), name="below")
    data, arguments = layer_arguments(head)
    viewer.add_image(data, **arguments, name="head")
    viewer.add_image(np.zeros((4, 4, 4)), name="above")
    return viewer


@pytest.fixture
def overlay_values(explanation):
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


def test_the_overlay_lies_directly_above_and_changes_nothing_else(
    viewer_model, explanation, overlay_values
):
    layer = viewer_model.layers["head"]
    viewer_model.layers.selection.active = layer
    before = (
        str(layer.as_layer_data_tuple()[1]),
        viewer_model.scene.camera.zoom,
        viewer_model.dims.point,
        viewer_model.canvas.grid.enabled,
    )
    NativeOverlay(viewer_model, layer, explanation, overlay_values, [7, 12])
    assert names(viewer_model) == ["below", "head", CONTRIBUTION, PATCHES, "above"]
    after = (
        str(layer.as_layer_data_tuple()[1]),
        viewer_model.scene.camera.zoom,
        viewer_model.dims.point,
        viewer_model.canvas.grid.enabled,
    )
    assert before == after
    assert viewer_model.layers.selection.active is layer
    assert list(viewer_model.layers.selection) == [layer]


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
def test_the_overlay_is_placed_as_the_layer_is(explanation, overlay_values, head, arguments):
    viewer = ViewerModel()
    layer = viewer.add_image(head.data, name="head", **arguments)
    overlay = NativeOverlay(viewer, layer, explanation, overlay_values)
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


def test_what_the_overlay_shows(viewer_model, explanation, overlay_values):
    layer, count = viewer_model.layers["head"], overlay_values.shape[1]
    overlay = NativeOverlay(viewer_model, layer, explanation, overlay_values, [7, 12])
    volume = volume_from_layer(layer)
    assert isinstance(overlay.map, Image)
    assert isinstance(overlay.outlines, Labels)
    np.testing.assert_array_equal(
        overlay.map.data, smooth_over(explanation, volume, overlay_values, seen=True)
    )
    low, high = overlay.map.contrast_limits
    most = np.abs(overlay_values).max()
    assert most <= high <= 2.5 * most
    assert low == -high
    assert overlay.map.colorbar.visible
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
    assert row["where"] == patch_location_text(explanation, len(explanation.views) // 2, 7)
    assert row["value"] == pytest.approx(overlay_values.mean(axis=0)[7], abs=1e-3)


def test_other_values_are_shown_in_place(viewer_model, explanation, overlay_values):
    overlay = NativeOverlay(
        viewer_model, viewer_model.layers["head"], explanation, overlay_values, [7]
    )
    layers, before = overlay.layers, listeners(viewer_model)
    mean = 3 * overlay_values.mean(axis=0)
    overlay.show(mean, [12])
    assert overlay.layers == layers
    assert listeners(viewer_model) == before
    every = np.broadcast_to(mean, overlay_values.shape)
    expected = smooth_over(explanation, overlay.volume, every, seen=True)
    np.testing.assert_array_equal(overlay.map.data, expected)
    assert 1 <= overlay.map.contrast_limits[1] / np.abs(mean).max() <= 2.5
    assert overlay.outlines.get_color(13)[0] > overlay.outlines.get_color(8)[0]
    assert not overlay.outlines.editable
    overlay.show(np.zeros_like(mean))
    assert overlay.map.contrast_limits == [-1, 1]


def test_the_patch_under_the_mouse(viewer_model, explanation, overlay_values):
    layer = viewer_model.layers["head"]
    overlay = NativeOverlay(viewer_model, layer, explanation, overlay_values)
    numbers = patch_map(explanation, overlay.volume)
    for number in np.unique(numbers[numbers > 0]):
        voxel = np.argwhere(numbers == number)[0]
        position = layer.data_to_world(voxel + np.array([0.3, -0.4, 0.2]))
        assert overlay.patch_under(position) == number - 1
        assert overlay.patch_under((5.0, *position)) == number - 1
    assert overlay.patch_under(layer.data_to_world((0, 0, 0))) is None
    assert overlay.patch_under(layer.data_to_world((-9, 5, 5))) is None
    # Above the planes the patches are drawn on, faintly, and found.
    middle = np.asarray(
        layer.data_to_world(center_of(explanation, overlay.volume, len(explanation.views) // 2))
    )
    assert overlay.patch_under(middle) is not None
    assert overlay.patch_under(middle + np.array([20.0, 0, 0])) is not None
    assert overlay.patch_under(middle + np.array([50.0, 0, 0])) is None


def test_the_overlay_leaves_nothing_behind(viewer_model, explanation, overlay_values):
    before, order = listeners(viewer_model), names(viewer_model)
    for _ in range(3):
        overlay = NativeOverlay(
            viewer_model, viewer_model.layers["head"], explanation, overlay_values
        )
        assert listeners(viewer_model) != before
        overlay.remove()
        overlay.remove()
        assert listeners(viewer_model) == before
        assert names(viewer_model) == order


@pytest.mark.parametrize("what", ["head", CONTRIBUTION, PATCHES, "all", "data"])
def test_the_overlay_goes_when_a_part_of_it_goes(viewer_model, explanation, overlay_values, what):
    before, gone, head = listeners(viewer_model), [], viewer_model.layers["head"]
    overlay = NativeOverlay(
        viewer_model, head, explanation, overlay_values, on_removed=lambda: gone.append(1)
    )
    if what == "all":
        viewer_model.layers.clear()
        left = []
    elif what == "data":
        head.data = np.zeros_like(head.data)
        left = ["below", "head", "above"]
    else:
        viewer_model.layers.remove(what)
        left = [name for name in ("below", "head", "above") if name != what]
    assert gone == [1]
    assert names(viewer_model) == left
    if "head" in left:
        assert listeners(viewer_model) == before
    assert set(viewer_model.layers.selection) <= set(viewer_model.layers)
    overlay.remove()
    assert gone == [1]


def test_outlines_are_of_slices_only(viewer_model, explanation, overlay_values):
    overlay = NativeOverlay(viewer_model, viewer_model.layers["head"], explanation, overlay_values)
    with warnings.catch_warnings(record=True):  # napari says that contours are of slices
        viewer_model.dims.ndisplay = 3
    assert not overlay.outlines.visible
    viewer_model.dims.ndisplay = 2
    assert overlay.outlines.visible
    overlay.outlines.visible = False
    viewer_model.dims.ndisplay = 3
    assert not overlay.outlines.visible
    viewer_model.dims.ndisplay = 2
    assert not overlay.outlines.visible


def test_the_overlay_on_a_plain_image(tiny_model_file):
    data = np.zeros((32, 32), dtype=np.uint8)
    data[6:26, 6:26] = 120
    data[0, :2] = 255
    viewer = ViewerModel()
    layer = viewer.add_image(data, name="square")
    e = expert.explain(expert.load_model(tiny_model_file), volume_from_layer(layer), top=1)
    count = len(e.views[0].mass)
    overlay = NativeOverlay(viewer, layer, e, np.linspace(-1, 1, count), [3])
    assert names(viewer) == ["square", CONTRIBUTION.replace("years", "points"), PATCHES]
    assert set(np.unique(overlay.outlines.data)) - {0} <= set(range(1, count + 1))
    assert overlay.patch_under((16.0, 16.0)) is not None


def test_a_layer_that_was_not_explained_is_refused(viewer_model, explanation, overlay_values):
    flat = viewer_model.add_image(np.zeros((9, 9)), name="flat")
    before, order = listeners(viewer_model), names(viewer_model)
    with pytest.raises(InputError, match="explained image"):
        NativeOverlay(viewer_model, flat, explanation, overlay_values)
    assert (listeners(viewer_model), names(viewer_model)) == (before, order)


def test_the_overlay_in_a_window(make_napari_viewer_proxy, head, explanation, overlay_values):
    window = make_napari_viewer_proxy()
    data, arguments = layer_arguments(head)
    layer = window.add_image(data, **arguments, name="head")
    overlay = NativeOverlay(window, layer, explanation, overlay_values, [7, 12])
    for order in ((0, 1, 2), (1, 0, 2), (2, 0, 1)):
        window.dims.order = order
        window.dims.point = layer.data_to_world(center_of(explanation, overlay.volume, 2))
        drawn = np.asarray(overlay.outlines._slice.image.view)
        raw = np.asarray(overlay.outlines._slice.image.raw)
        assert raw.any()
        # Edges alone are drawn: the inside of the patches is not.
        assert 0 < (drawn > 0).sum() < (raw > 0).sum()
    viewer_layers = [one.name for one in window.layers]
    overlay.remove()
    assert viewer_layers[1:] == [CONTRIBUTION, PATCHES]
    assert [one.name for one in window.layers] == ["head"]


@pytest.mark.visible
def test_6_in_its_own_space_the_original_image_carries_patches_and_what_they_say(
    viewer, shown, head, tmp_path
):
    drawn, session = shown.result_layers, shown.session
    source, before = viewer.layers["head"], viewer.canvas.overlays.text.visible
    press(viewer, "Shift-O")
    assert drawn.mode == "native"
    assert source.visible
    assert not any(tile.image.visible for tile in drawn.tiles)
    overlay = shown.view.overlay
    for layer in overlay.layers:
        np.testing.assert_allclose(layer.scale, source.scale)
        np.testing.assert_allclose(layer.translate, source.translate)
        assert layer.data.shape == source.data.shape
    text = viewer.canvas.overlays.text.text
    assert text == "top A · bottom P · left R · right L\ncolours: years per patch"
    # Something is said, and the legend says what the colours mean; the middle of a patch is that
    # patch's.
    assert shown.result.legend.isVisibleTo(shown)
    patch = session.patches[0]
    voxels = np.argwhere(overlay.outlines.data == patch + 1)
    assert overlay.patch_under(source.data_to_world(voxels[len(voxels) // 2])) == patch
    shown.save("layers", tmp_path / "said.nii.gz")
    assert not shown.runs.error.text()
    said, numbers = (
        expert.read_volume(tmp_path / name) for name in ("said.nii.gz", "said_patches.nii.gz")
    )
    np.testing.assert_allclose(
        np.abs(np.linalg.det(said.affine)), np.abs(np.linalg.det(head.affine))
    )
    assert set(np.unique(numbers.data)) <= set(range(len(session.explanation.views[0].mass) + 1))
    press(viewer, "Shift-O")
    assert drawn.mode == "grid"
    assert viewer.canvas.overlays.text.visible == before
    assert len(viewer.layers) == 1 + 3 * 4


@pytest.mark.visible
@pytest.mark.parametrize(
    ("scale", "units"), [((1, 1), ("pixel", "pixel")), ((0.5, 0.5), ("mm", "mm"))]
)
def test_own_space_outlines_the_patches_on_the_original_image(
    viewer, image_panel, qtbot, scale, units
):
    layer = viewer.add_image(square(60, 64), name="scan", scale=scale, units=units)
    run_without_error(image_panel, qtbot)
    before = len(viewer.layers)
    image_panel.attempt(lambda: image_panel.session.toggle_mode("native"))
    overlay, drawn, session = (
        image_panel.view.overlay,
        image_panel.result_layers,
        image_panel.session,
    )
    assert drawn.mode == "native"
    assert layer.visible
    assert overlay.outlines.data.shape == (64, 64)
    e = image_panel.explanation
    # With a pixel size, 64 pixels of 0.5 mm are the frame of 32; without, the image is fitted into
    # it: 16 pixels a patch.
    for patch in session.patches:
        row, column = divmod(patch, 4)
        middle = (16 * row + 8, 16 * column + 8)
        assert overlay.outlines.data[middle] == patch + 1
        assert overlay.patch_under(layer.data_to_world(middle)) == patch
    assert "orientation unknown" not in overlay.outlines.name
    assert not viewer.canvas.overlays.text.visible
    image_panel.attempt(lambda: image_panel.session.toggle_mode("native"))
    assert (drawn.mode, len(viewer.layers)) == ("grid", before)
    assert e is image_panel.explanation


@pytest.mark.visible
@pytest.mark.parametrize("what", ["deleted", "other data"])
def test_the_image_goes_while_its_own_space_is_on_show(viewer, panel, explanation, what):
    panel.show_explanation(explanation)
    panel.attempt(lambda: panel.session.toggle_mode("native"))
    assert panel.result_layers.mode == "native"
    layer = viewer.layers["head"]
    if what == "deleted":
        viewer.layers.remove(layer)
    else:
        layer.data = layer.data[::-1].copy()
    QApplication.processEvents()
    assert panel.result_layers.mode == "grid"
    assert panel.view.overlay is None
    assert panel.explanation is explanation
    assert all(tile.image.visible for tile in panel.result_layers.tiles)
    # What is there no more is not offered, and asked for all the same, it is one sentence.
    assert not panel.result.mode_buttons["native"].isEnabled()
    panel.attempt(lambda: panel.session.toggle_mode("native"))
    assert "original image is not open" in panel.runs.error.text()
    assert panel.result.mode_buttons["grid"].isChecked()
    panel.clear()
    assert [one.name for one in viewer.layers] == ([] if what == "deleted" else ["head"])
    QApplication.processEvents()


@pytest.mark.visible
def test_own_space_outlines_the_patches_in_the_head(viewer, volume_shown, volume_explanation):
    e = volume_explanation
    volume_shown.attempt(lambda: volume_shown.session.toggle_mode("native"))
    assert volume_shown.result_layers.mode == "native"
    overlay = volume_shown.view.overlay
    assert isinstance(overlay.outlines, Labels)
    # The middle of a patch, taken to the head by the registration, carries that patch's number.
    volume, view = overlay.volume, e.views[0]
    to_voxel = np.linalg.inv(volume.affine) @ e.registration.template_to_subject @ view.affine
    for patch in volume_shown.session.patches:
        middle = (np.array(np.unravel_index(patch, e.grid)) + 0.5) * np.array(
            e.view_shape
        ) / e.grid - 0.5
        voxel = tuple(np.rint((to_voxel @ [*middle, 1.0])[:3]).astype(int))
        assert overlay.outlines.data[voxel] == patch + 1
        assert overlay.patch_under(overlay.layer.data_to_world(voxel)) == patch
    # The map is smooth: it has every value between those of the patches, in the brain only.
    values = native_values(volume_shown.session)
    painted = overlay.map.data[np.isfinite(overlay.map.data)]
    assert len(np.unique(painted)) > 20 * values.size
    assert np.abs(painted).max() <= np.abs(values).max() * (1 + 1e-6)
    volume_shown.session.viewing.show_opacity(0.3)
    assert overlay.map.opacity == pytest.approx(0.3)
    # The slider chooses the plane here too, and with it the patches that are numbered.
    before = set(volume_shown.session.patches)
    heights = volume_shown.result_layers.slider.heights
    away = next(
        n
        for n, plane in enumerate(volume_shown.session.board.planes)
        if slab(e, plane) != slab(e, volume_shown.session.plane)
    )
    viewer.dims.set_point(0, float(heights[away]))
    assert volume_shown.session.plane_number == away
    assert volume_shown.result_layers.mode == "native"
    table = overlay.outlines.features
    numbered = set(table["index"][table["number"] != ""] - 1) - set(
        range(len(e.views[0].mass), 2 * len(e.views[0].mass))
    )
    assert numbered == set(volume_shown.session.patches) != before
    volume_shown.attempt(lambda: volume_shown.session.toggle_mode("native"))
    assert volume_shown.result_layers.mode == "grid"
    assert len(viewer.layers) == 1 + 3 * 4
