"""Tests of `napari_expert.canvas.layer_list`."""

from __future__ import annotations

import numpy as np
from helpers.window import list_rows

from napari_expert.canvas.layer_list import hide_rows


def test_rows_are_hidden_and_stay_hidden_when_the_list_changes(viewer):
    layers = [viewer.add_image(np.zeros((4, 4)), name=name) for name in ("a", "b", "c")]
    hide_rows(layers[:2])
    assert [layer.name for layer in list_rows(viewer)] == ["c"]
    viewer.add_image(np.zeros((4, 4)), name="d")
    viewer.layers.move(0, 2)
    assert sorted(layer.name for layer in list_rows(viewer)) == ["c", "d"]
    viewer.layers.remove("a")
    assert sorted(layer.name for layer in list_rows(viewer)) == ["c", "d"]
    assert len(viewer.layers) == 3
