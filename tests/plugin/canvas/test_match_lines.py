"""Tests of `napari_expert.canvas.match_lines`."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.window import go_to, height_of, run_without_error, slab, square

from expert.patches import FAINT, box


@pytest.mark.visible
def test_lines_join_matched_patches_by_share_and_keep_plane_zoom_and_selection(viewer, shown):
    scene = shown.scene
    shown.step_plane(1)
    scene.set_focus(0, scene.patches[0], pin=True)
    scene.reset_camera(1.5)
    kept = (scene.plane_number, scene.focus)
    shown.toggle_lines()
    assert not viewer.canvas.grid.enabled
    assert (scene.plane_number, scene.focus) == kept
    assert viewer.scene.camera.zoom == pytest.approx(1.5 * scene._framing.fitted()[1])
    assert [cell.image.visible for cell in scene.cells] == [True, True, False, False]
    # Held: the row of that patch alone; let go: those of all numbered ones.
    start = np.array(
        scene.cells[0].image.data_to_world(box(scene.explanation, scene.patches[0]).mean(axis=0))
    )[-2:]
    np.testing.assert_allclose(
        scene.lines.data[:, 0], np.tile(start, (len(scene.lines.data), 1)), atol=1e-3
    )
    shares = scene.focus.shares[1]
    np.testing.assert_allclose(
        np.sort(np.asarray(scene.lines.edge_color)[:, 3]),
        np.sort(0.15 + 0.85 * shares[shares >= 0.1]),
        atol=1e-5,
    )
    scene.set_focus(None)
    assert len(scene.lines.data) >= 6
    ends = scene.lines.data[:, 0] + scene.lines.data[:, 1]
    first = scene.cells[1].image
    low, high = (
        np.array(first.data_to_world(corner))[-2:] for corner in ((0, 0), first.data.shape)
    )
    assert ((ends > low) & (ends < high)).all()
    shown.step_prototype(1)
    assert [cell.image.visible for cell in scene.cells] == [True, False, True, False]
    shown.toggle_lines()
    assert scene.lines is None
    assert all(cell.image.visible for cell in scene.cells)


@pytest.mark.visible
def test_lines_and_which_patches_speak(viewer, image_panel, qtbot):
    viewer.add_image(square(60, 64), name="scan", scale=(0.5, 0.5), units=("mm", "mm"))
    run_without_error(image_panel, qtbot)
    scene = image_panel.scene
    viewer.canvas.overlays.text.text, viewer.canvas.overlays.text.visible = "mine", True
    image_panel.toggle_own_space()
    assert image_panel.scene.mode == "own"
    assert (viewer.canvas.overlays.text.text, viewer.canvas.overlays.text.visible) == ("mine", True)
    image_panel.toggle_lines()
    assert [cell.image.visible for cell in scene.cells] == [True, True, False, False]
    low, high = (
        np.array(scene.cells[1].image.data_to_world(corner))[-2:] for corner in ((0, 0), (31, 31))
    )
    drawn = scene.lines.data[np.asarray(scene.lines.edge_color)[:, 3] > 0]
    assert len(drawn)
    ends = drawn[:, 0] + drawn[:, 1]
    assert ((ends >= low) & (ends <= high)).all()
    gap = low[1] - np.array(scene.cells[0].image.data_to_world((0, 31)))[-1]
    assert 0 < gap < 0.3 * (high - low)[0]
    speak = image_panel.answer.speak_box
    for number in range(1, speak.count()):
        speak.setCurrentIndex(number)
        assert scene.speaking.shape == (1, 16)
        assert (
            "Strongest here (points)" in image_panel.answer.legend.text()
            or "nearest prototype" in image_panel.answer.legend.text()
        )


@pytest.mark.visible
def test_lines_join_what_the_slice_cuts_and_nothing_else(volume_shown, volume_explanation):
    e, scene = volume_explanation, volume_shown.scene
    volume_shown.toggle_lines()
    assert [cell.image.visible for cell in scene.cells] == [True, True, False, False]
    layer = slab(e, scene.plane)
    count = sum(
        height_of(e, n) == layer
        for patch in scene.patches
        for n in np.flatnonzero(e.prototypes[0].views[0].matches(patch) >= FAINT)
    )
    drawn = np.asarray(scene.lines.edge_color)[:, 3] > 0
    assert drawn.sum() == count
    # A held patch that the slice does not cut starts no line: there is nothing there to start from.
    patch = scene.patches[0]
    scene.set_focus(0, patch, pin=True)
    go_to(scene, layer - 1)
    assert not (np.asarray(scene.lines.edge_color)[:, 3] > 0).any()
    go_to(scene, layer)
    assert scene.focus.patch == patch
