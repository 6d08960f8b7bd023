"""Tests of `napari_expert.canvas.mouse`."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.window import (
    across,
    canvas_of,
    go_to,
    height_of,
    lit,
    place_of,
    press,
    run_without_error,
    square,
)
from qtpy.QtCore import QPoint, QPointF, Qt


def test_the_mouse_finds_the_patch_of_every_cell(viewer, panel, explanation):
    panel.show_explanation(explanation)
    scene = panel.scene

    class Event:
        type = "mouse_move"

    _, columns = viewer.canvas.grid.actual_shape(viewer.layers)
    for cell in (0, 2):
        for patch in (7, 16):
            event = Event()
            event.viewbox = divmod(cell, columns)
            corners = scene.cells[cell].wash.data[patch]
            middle = corners[0] + corners[1] / 2
            event.position = (0.0, *scene.cells[cell].image.data_to_world(middle)[-2:])
            for callback in list(viewer.mouse_move_callbacks):
                callback(viewer, event)
            assert (scene.focus.cell, scene.focus.patch) == (cell, patch)


@pytest.mark.visible
def test_5_patches_light_up_from_the_subject_the_prototypes_the_table_and_the_plot(
    viewer, shown, qtbot
):
    scene, native = shown.scene, canvas_of(viewer)
    lit = lambda: [np.asarray(cell.wash.edge_color)[:, 3] for cell in scene.cells]  # noqa: E731
    for cell in (0, 2):
        patch = scene.patches[1]
        qtbot.mouseMove(native, place_of(viewer, scene, cell, patch) + QPoint(3, 3))
        qtbot.mouseMove(native, place_of(viewer, scene, cell, patch))
        qtbot.waitUntil(
            lambda cell=cell, patch=patch: scene.focus is not None and scene.focus.cell == cell,
            timeout=3000,
        )
        assert scene.focus.patch == patch
        for share, alpha in zip(scene.focus.shares, lit(), strict=True):
            assert alpha.argmax() == share.argmax()
    qtbot.mouseClick(
        native, Qt.MouseButton.LeftButton, pos=place_of(viewer, scene, 0, scene.patches[3])
    )
    qtbot.waitUntil(lambda: scene.pinned, timeout=3000)
    assert (scene.focus.cell, scene.focus.patch) == (0, scene.patches[3])
    press(viewer, "Escape")
    assert scene.focus is None
    shown.answer.table.selectRow(7)
    assert scene.pinned
    scene.set_focus(None)
    plot, e = shown.answer.plot, scene.explanation
    place = QPointF(plot._across(float(e.labels[e.prototypes[1].index])), 60).toPoint()
    qtbot.mouseMove(plot, place)
    qtbot.waitUntil(lambda: scene.speaking is not None, timeout=3000)
    assert lit()[0].any()
    qtbot.mouseClick(plot, Qt.MouseButton.LeftButton, pos=place)
    assert scene.partner == 2


@pytest.mark.visible
def test_pointing_and_clicking_with_the_mouse(viewer, image_panel, qtbot):
    viewer.add_image(square(60), name="scan")
    run_without_error(image_panel, qtbot)
    scene, native = image_panel.scene, canvas_of(viewer)
    for cell in (0, 2):
        patch = scene.patches[1]
        qtbot.mouseMove(native, place_of(viewer, scene, cell, patch) + QPoint(3, 3))
        qtbot.mouseMove(native, place_of(viewer, scene, cell, patch))
        qtbot.waitUntil(
            lambda cell=cell: scene.focus is not None and scene.focus.cell == cell, timeout=3000
        )
        assert scene.focus.patch == patch
        for share, layers in zip(scene.focus.shares, scene.cells, strict=True):
            assert np.asarray(layers.wash.edge_color)[:, 3].argmax() == share.argmax()
    qtbot.mouseClick(
        native, Qt.MouseButton.LeftButton, pos=place_of(viewer, scene, 0, scene.patches[2])
    )
    qtbot.waitUntil(lambda: scene.pinned, timeout=3000)
    assert "row " in image_panel.answer.focus_line.text()
    image_panel.choose_patches("all")
    # The patch is still held, and it is still said where it went.
    assert scene.pinned
    assert "→" in image_panel.answer.focus_line.text()


@pytest.mark.visible
def test_pointing_with_the_mouse_lights_up_partners_in_the_slice(
    viewer, volume_shown, qtbot, volume_explanation
):
    scene, native = volume_shown.scene, canvas_of(viewer)
    for cell in (0, 2):
        patch = scene.patches[1]
        qtbot.mouseMove(native, place_of(viewer, scene, cell, patch) + QPoint(2, 2))
        qtbot.mouseMove(native, place_of(viewer, scene, cell, patch))
        qtbot.waitUntil(
            lambda cell=cell: scene.focus is not None and scene.focus.cell == cell, timeout=3000
        )
        assert scene.focus.patch == patch
        for share, layers in zip(scene.focus.shares, scene.cells, strict=True):
            inside = share[scene.numbers]
            np.testing.assert_array_equal(lit(layers) > 0, inside > 0.01)
    assert (
        "S " in volume_shown.answer.focus_line.text()
        or "I " in volume_shown.answer.focus_line.text()
    )  # heights are told


@pytest.mark.visible
def test_a_held_patch_stays_held_in_other_slices_and_its_partners_light_up_there(
    viewer, volume_shown, qtbot, volume_explanation
):
    e, scene = volume_explanation, volume_shown.scene
    patch, prototype, target = across(e)
    go_to(scene, height_of(e, patch))
    qtbot.mouseClick(
        canvas_of(viewer), Qt.MouseButton.LeftButton, pos=place_of(viewer, scene, 0, patch)
    )
    qtbot.waitUntil(lambda: scene.pinned, timeout=3000)
    assert scene.focus.patch == patch
    told = volume_shown.answer.focus_line.text()
    assert "→" in told
    # Its number is not in the prototype's picture: it is said why.
    volume_shown.choose_patches("all")
    number = scene.patches.index(patch) + 1
    said = [
        str(words)
        for words in scene.cells[1 + prototype].boxes.features["text"]
        if "other slices" in str(words)
    ]
    assert str(number) in said[0].split(":")[1].replace(" ", "").split(",")
    go_to(scene, height_of(e, target))
    assert scene.pinned
    assert scene.focus.patch == patch
    assert not lit(scene.cells[0]).any()  # the patch itself is not in this slice
    place = int(np.flatnonzero(scene.numbers == target)[0])
    assert lit(scene.cells[1 + prototype])[place] > 0
    assert volume_shown.answer.focus_line.text() == told
