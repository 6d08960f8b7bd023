"""Tests of `napari_expert.canvas.match_lines`."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.window import go_to, height_of, run_without_error, slab, square

from expert.patches import FAINT, box


@pytest.mark.visible
def test_lines_join_matched_patches_by_share_and_keep_plane_zoom_and_selection(viewer, shown):
    drawn, session = shown.result_layers, shown.session
    shown.session.show_plane(shown.session.plane_number + 1)
    session.set_focus(0, session.patches[0], pin=True)
    drawn.reset_camera(1.5)
    kept = (session.plane_number, session.focus)
    shown.session.toggle_mode("lines")
    assert not viewer.canvas.grid.enabled
    assert (session.plane_number, session.focus) == kept
    assert viewer.scene.camera.zoom == pytest.approx(1.5 * drawn.fitted_zoom)
    assert [tile.image.visible for tile in drawn.tiles] == [True, True, False, False]
    # Held: the row of that patch alone; let go: those of all numbered ones.
    start = np.array(
        drawn.tiles[0].image.data_to_world(
            box(session.explanation, session.patches[0]).mean(axis=0)
        )
    )[-2:]
    np.testing.assert_allclose(
        drawn.lines.data[:, 0], np.tile(start, (len(drawn.lines.data), 1)), atol=1e-3
    )
    shares = session.focus.shares[1]
    np.testing.assert_allclose(
        np.sort(np.asarray(drawn.lines.edge_color)[:, 3]),
        np.sort(0.15 + 0.85 * shares[shares >= 0.1]),
        atol=1e-5,
    )
    session.set_focus(None)
    assert len(drawn.lines.data) >= 6
    ends = drawn.lines.data[:, 0] + drawn.lines.data[:, 1]
    first = drawn.tiles[1].image
    low, high = (
        np.array(first.data_to_world(corner))[-2:] for corner in ((0, 0), first.data.shape)
    )
    assert ((ends > low) & (ends < high)).all()
    shown.session.browser.step(1)
    assert [tile.image.visible for tile in drawn.tiles] == [True, False, True, False]
    shown.session.toggle_mode("lines")
    assert drawn.lines is None
    assert all(tile.image.visible for tile in drawn.tiles)


@pytest.mark.visible
def test_lines_and_which_patches_speak(viewer, image_panel, qtbot):
    viewer.add_image(square(60, 64), name="scan", scale=(0.5, 0.5), units=("mm", "mm"))
    run_without_error(image_panel, qtbot)
    drawn, session = image_panel.result_layers, image_panel.session
    viewer.canvas.overlays.text.text, viewer.canvas.overlays.text.visible = "mine", True
    image_panel.attempt(lambda: image_panel.session.toggle_mode("native"))
    assert image_panel.result_layers.mode == "native"
    assert (viewer.canvas.overlays.text.text, viewer.canvas.overlays.text.visible) == ("mine", True)
    image_panel.session.toggle_mode("lines")
    assert [tile.image.visible for tile in drawn.tiles] == [True, True, False, False]
    low, high = (
        np.array(drawn.tiles[1].image.data_to_world(corner))[-2:] for corner in ((0, 0), (31, 31))
    )
    lines = drawn.lines.data[np.asarray(drawn.lines.edge_color)[:, 3] > 0]
    assert len(lines)
    ends = lines[:, 0] + lines[:, 1]
    assert ((ends >= low) & (ends <= high)).all()
    gap = low[1] - np.array(drawn.tiles[0].image.data_to_world((0, 31)))[-1]
    assert 0 < gap < 0.3 * (high - low)[0]
    speak = image_panel.result.map_box
    for number in range(1, speak.count()):
        speak.setCurrentIndex(number)
        assert session.painted_values().shape == (1, 16)
        assert (
            "Strongest here (points)" in image_panel.result.legend.text()
            or "nearest prototype" in image_panel.result.legend.text()
        )


@pytest.mark.visible
def test_lines_join_what_the_slice_cuts_and_nothing_else(volume_shown, volume_explanation):
    e, drawn, session = volume_explanation, volume_shown.result_layers, volume_shown.session
    volume_shown.session.toggle_mode("lines")
    assert [tile.image.visible for tile in drawn.tiles] == [True, True, False, False]
    layer = slab(e, session.plane)
    count = sum(
        height_of(e, n) == layer
        for patch in session.patches
        for n in np.flatnonzero(e.prototypes[0].views[0].matches(patch) >= FAINT)
    )
    visible = np.asarray(drawn.lines.edge_color)[:, 3] > 0
    assert visible.sum() == count
    # A held patch that the slice does not cut starts no line: there is nothing there to start from.
    patch = session.patches[0]
    session.set_focus(0, patch, pin=True)
    go_to(session, layer - 1)
    assert not (np.asarray(drawn.lines.edge_color)[:, 3] > 0).any()
    go_to(session, layer)
    assert session.focus.patch == patch
