"""Tests of `napari_expert.canvas.grey_window`."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_expert.canvas.grey_window import FULL, WindowDrag, dragged_limits, preset_limits


def test_presets_are_percentiles_of_what_is_not_black():
    image = np.zeros((10, 20), np.uint8)
    image[5:] = np.arange(100, 200, dtype=np.uint8).reshape(5, 20)
    assert preset_limits(image, "full") == FULL
    low, high = preset_limits(image, "brain")
    assert (low, high) == pytest.approx((101, 198), abs=1)
    assert preset_limits(image, "tissue")[0] == pytest.approx(125, abs=1)
    assert preset_limits(image, "tissue")[1] == high
    assert preset_limits(np.zeros((4, 4), np.uint8), "brain") == FULL
    flat = preset_limits(np.full((4, 4), 9, np.uint8), "tissue")
    assert flat[0] < flat[1]


def test_dragging_changes_width_and_level():
    assert dragged_limits((50, 150), 40, 0) == (40, 160)
    assert dragged_limits((50, 150), 0, -20) == (40, 140)  # upwards: brighter
    low, high = dragged_limits((0, 255), 900, 900)
    assert 0 <= low < high <= 255
    low, high = dragged_limits((100, 110), -500, 0)
    assert high - low >= 4


def test_the_right_button_sets_the_limits_and_does_not_zoom():
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((4, 4), np.uint8), contrast_limits=(50, 150))
    before = len(viewer.mouse_drag_callbacks)
    drag = WindowDrag(viewer, lambda: layer)
    event = SimpleNamespace(button=2, pos=(10, 10), type="mouse_press", handled=False)
    moves = drag._pressed(viewer, event)
    next(moves)
    assert event.handled
    event.type, event.pos, event.handled = "mouse_move", (50, 10), False
    next(moves)
    assert event.handled
    assert layer.contrast_limits == [40, 160]
    event.type = "mouse_release"
    assert list(moves) == []
    left = SimpleNamespace(button=1, pos=(10, 10), type="mouse_press", handled=False)
    assert list(drag._pressed(viewer, left)) == []
    assert not left.handled
    drag.disconnect()
    assert len(viewer.mouse_drag_callbacks) == before
