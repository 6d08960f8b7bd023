"""Tests of `napari_expert.layer_watch`."""

from __future__ import annotations

import numpy as np
from napari.layers import Image

from napari_expert.layer_watch import LayerWatch


def test_changes_of_voxels_and_their_size_are_noticed():
    heard = []
    watch = LayerWatch(heard.append)
    first, second = Image(np.zeros((4, 5, 6))), Image(np.zeros((4, 5, 6)))
    watch.follow(first)
    watch.follow(first)
    first.data = np.ones((4, 5, 6))
    first.scale = (1, 2, 3)
    first.units = ("mm", "mm", "mm")
    assert heard == ["data", "scale", "units"]
    first.name, first.visible = "other", False
    assert len(heard) == 3
    watch.follow(second)
    first.scale = (1, 1, 1)
    assert len(heard) == 3
    second.scale = (1, 1, 2)
    assert heard[3:] == ["scale"]
    watch.follow(None)
    second.scale = (1, 1, 1)
    assert len(heard) == 4
