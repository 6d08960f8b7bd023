"""Tests of `napari_expert.canvas.tile_layers`."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.window import height_of, slab

from expert.patches import FAINT, box


@pytest.mark.visible
def test_boxes_are_those_of_patches_the_slice_cuts(volume_shown, volume_explanation):
    e, drawn, session = volume_explanation, volume_shown.result_layers, volume_shown.session
    for choice in ("closest", "all"):
        session.choose_patches(choice)
        for number in (1, len(session.board.planes) // 2, len(session.board.planes) - 2):
            session.show_plane(number)
            layer = slab(e, session.plane)
            assert session.patches
            assert all(height_of(e, patch) == layer for patch in session.patches)
            for tile, layers in enumerate(drawn.tiles):
                wanted = []
                for patch in session.patches:
                    row = (
                        np.eye(len(e.views[0].mass))[patch]
                        if tile == 0
                        else e.prototypes[tile - 1].views[0].matches(patch)
                    )
                    wanted += [n for n in np.flatnonzero(row >= FAINT) if height_of(e, n) == layer]
                boxes = [
                    np.asarray(corners)
                    for corners, words, width in zip(
                        layers.boxes.data,
                        layers.boxes.features["text"],
                        layers.boxes.edge_width,
                        strict=True,
                    )
                    if not words and width > 0
                ]
                middles = sorted(tuple(np.round(corners.mean(axis=0), 3)) for corners in boxes)
                assert middles == sorted(
                    tuple(np.round(box(e, int(n)).mean(axis=0), 3)) for n in wanted
                )
                assert all((corners[2] > corners[0]).all() for corners in boxes)


@pytest.mark.visible
def test_many_boxes_on_one_patch_nest_within_it(volume_shown, volume_explanation):
    """A patch of eight pixels to which five others went: every box is smaller than the one before
    and none is turned over."""
    e, session = volume_explanation, volume_shown.session
    sink = session.patches[0]
    flow = np.zeros_like(e.prototypes[0].views[0].flow)
    flow[:, sink] = e.views[0].mass
    first = e.prototypes[0]
    view = first.views[0].model_copy(update={"flow": flow})
    volume_shown.show_explanation(
        e.model_copy(
            update={"prototypes": (first.model_copy(update={"views": (view,)}), *e.prototypes[1:])}
        )
    )
    layer = volume_shown.result_layers.tiles[1].boxes
    sizes = [
        np.asarray(corners)[2] - np.asarray(corners)[0]
        for corners, words, width in zip(
            layer.data, layer.features["text"], layer.edge_width, strict=True
        )
        if not words and width > 0
    ]
    assert len(sizes) == 6
    assert all((size > 0).all() for size in sizes)
    assert sizes[0][0] > sizes[1][0] > sizes[2][0]
