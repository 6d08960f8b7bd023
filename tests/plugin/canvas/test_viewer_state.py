"""Tests of `napari_expert.canvas.viewer_state`."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_expert.canvas.viewer_state import PlaneSlider, ViewerState, best_grid, common_units
from napari_expert.layer_geometry import OURS


@pytest.fixture
def viewer():
    viewer = ViewerModel()
    viewer.add_image(np.zeros((8, 9, 10)), name="head", scale=(2, 1, 1))
    viewer.add_image(np.zeros((8, 9, 10)), name="hidden", visible=False)
    return viewer


def test_everything_is_restored(viewer):
    viewer.layers.selection = {viewer.layers["head"]}
    viewer.scene.camera.zoom, viewer.scene.camera.center = 3.0, (0.0, 4.0, 5.0)
    viewer.dims.set_point(0, 6.0)
    state = ViewerState(viewer)
    extra = viewer.add_image(np.zeros((4, 4)), name="ours", metadata={OURS: True})
    state.hide_layers()
    viewer.canvas.grid.enabled, viewer.canvas.grid.stride = True, 3
    viewer.scene.camera.zoom, viewer.scene.camera.center = 1.0, (0.0, 0.0, 0.0)
    viewer.dims.set_point(0, 0.0)
    assert not viewer.layers["head"].visible
    viewer.layers.remove(extra)
    state.restore()
    assert [layer.visible for layer in viewer.layers] == [True, False]
    assert viewer.layers.selection == {viewer.layers["head"]}
    assert (viewer.canvas.grid.enabled, viewer.canvas.grid.stride) == state.grid[:2]
    assert viewer.scene.camera.zoom == 3.0
    assert tuple(viewer.scene.camera.center) == (0.0, 4.0, 5.0)
    assert viewer.dims.point[0] == 6.0


def test_layers_that_are_opened_later_are_the_user_s_too(viewer):
    state = ViewerState(viewer)
    late = viewer.add_image(np.zeros((4, 4)), name="late")
    viewer.add_image(np.zeros((4, 4)), name="ours", metadata={OURS: True})
    state.add_new_layers()
    state.add_new_layers()
    assert [layer.name for layer, _ in state.visible] == ["head", "hidden", "late"]
    state.hide_layers()
    assert not late.visible
    assert viewer.layers["ours"].visible
    state.show_layers()
    assert late.visible


def test_units_are_pixels_where_one_layer_has_no_other(viewer):
    assert common_units(viewer) == ("pixel", "pixel")
    for layer in viewer.layers:
        layer.units = ("mm", "mm", "mm")
    assert common_units(viewer) == ("mm", "mm")


@pytest.mark.parametrize(
    ("canvas", "count", "grid"),
    [
        ((100, 400), 4, (1, 4)),
        ((400, 100), 4, (4, 1)),
        ((300, 300), 4, (2, 2)),
        ((9, 9), 1, (1, 1)),
    ],
)
def test_the_grid_shows_tiles_as_large_as_possible(canvas, count, grid):
    assert best_grid(canvas, (np.zeros(2), np.array([10.0, 10.0])), count) == grid


def test_the_slider_and_the_plane_follow_each_other(viewer):
    shown = []
    slider = PlaneSlider(viewer, np.array([0.0, 4.0, 8.0]), shown.append)
    viewer.dims.set_point(0, 5.0)
    assert shown == [1]
    slider.go_to(2)
    assert viewer.dims.point[0] == 8.0
    assert shown == [1]  # moved by us
    slider.disconnect()
    viewer.dims.set_point(0, 0.0)
    assert shown == [1]


def test_without_heights_the_slider_is_left_alone(viewer):
    shown = []
    slider = PlaneSlider(viewer, None, shown.append)
    before = viewer.dims.point[0]
    slider.go_to(1)
    viewer.dims.set_point(0, before + 2)
    assert shown == []
