"""Tests of `napari_expert.canvas.mouse`."""

from __future__ import annotations

from types import SimpleNamespace

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
    slab,
    square,
)
from qtpy.QtCore import QPoint, QPointF, Qt

from napari_expert.navigation import step_plane


def test_the_mouse_finds_the_patch_of_every_cell(viewer, panel, explanation):
    panel.show_explanation(explanation)
    drawn, session = panel.result_layers, panel.session

    class Event:
        type = "mouse_move"

    _, columns = viewer.canvas.grid.actual_shape(viewer.layers)
    for tile in (0, 2):
        for patch in (7, 16):
            event = Event()
            event.viewbox = divmod(tile, columns)
            corners = drawn.tiles[tile].highlight.data[patch]
            middle = corners[0] + corners[1] / 2
            event.position = (0.0, *drawn.tiles[tile].image.data_to_world(middle)[-2:])
            for callback in list(viewer.mouse_move_callbacks):
                callback(viewer, event)
            assert (session.focus.tile, session.focus.patch) == (tile, patch)


@pytest.mark.visible
def test_5_patches_light_up_from_the_subject_the_prototypes_the_table_and_the_plot(
    viewer, shown, qtbot
):
    drawn, session, native = shown.result_layers, shown.session, canvas_of(viewer)
    lit = lambda: [np.asarray(tile.highlight.edge_color)[:, 3] for tile in drawn.tiles]  # noqa: E731
    for tile in (0, 2):
        patch = session.patches[1]
        qtbot.mouseMove(native, place_of(viewer, drawn, tile, patch) + QPoint(3, 3))
        qtbot.mouseMove(native, place_of(viewer, drawn, tile, patch))
        qtbot.waitUntil(
            lambda tile=tile, patch=patch: session.focus is not None and session.focus.tile == tile,
            timeout=3000,
        )
        assert session.focus.patch == patch
        for share, alpha in zip(session.focus.shares, lit(), strict=True):
            assert alpha.argmax() == share.argmax()
    qtbot.mouseClick(
        native, Qt.MouseButton.LeftButton, pos=place_of(viewer, drawn, 0, session.patches[3])
    )
    qtbot.waitUntil(lambda: session.pinned, timeout=3000)
    assert (session.focus.tile, session.focus.patch) == (0, session.patches[3])
    press(viewer, "Escape")
    assert session.focus is None
    shown.result.table.selectRow(7)
    assert session.pinned
    session.set_focus(None)
    plot, e = shown.result.plot, session.explanation
    place = QPointF(plot._across(float(e.labels[e.prototypes[1].index])), 60).toPoint()
    qtbot.mouseMove(plot, place)
    qtbot.waitUntil(lambda: session.painted_values() is not None, timeout=3000)
    assert lit()[0].any()
    qtbot.mouseClick(plot, Qt.MouseButton.LeftButton, pos=place)
    assert session.partner == 2


@pytest.mark.visible
def test_pointing_and_clicking_with_the_mouse(viewer, image_panel, qtbot):
    viewer.add_image(square(60), name="scan")
    run_without_error(image_panel, qtbot)
    drawn, session, native = image_panel.result_layers, image_panel.session, canvas_of(viewer)
    for tile in (0, 2):
        patch = session.patches[1]
        qtbot.mouseMove(native, place_of(viewer, drawn, tile, patch) + QPoint(3, 3))
        qtbot.mouseMove(native, place_of(viewer, drawn, tile, patch))
        qtbot.waitUntil(
            lambda tile=tile: session.focus is not None and session.focus.tile == tile, timeout=3000
        )
        assert session.focus.patch == patch
        for share, layers in zip(session.focus.shares, drawn.tiles, strict=True):
            assert np.asarray(layers.highlight.edge_color)[:, 3].argmax() == share.argmax()
    qtbot.mouseClick(
        native, Qt.MouseButton.LeftButton, pos=place_of(viewer, drawn, 0, session.patches[2])
    )
    qtbot.waitUntil(lambda: session.pinned, timeout=3000)
    assert "row " in image_panel.result.focus_line.text()
    image_panel.session.choose_patches("all")
    # The patch is still held, and it is still said where it went.
    assert session.pinned
    assert "→" in image_panel.result.focus_line.text()


@pytest.mark.visible
def test_pointing_with_the_mouse_lights_up_partners_in_the_slice(
    viewer, volume_shown, qtbot, volume_explanation
):
    drawn, session, native = volume_shown.result_layers, volume_shown.session, canvas_of(viewer)
    for tile in (0, 2):
        patch = session.patches[1]
        qtbot.mouseMove(native, place_of(viewer, drawn, tile, patch) + QPoint(2, 2))
        qtbot.mouseMove(native, place_of(viewer, drawn, tile, patch))
        qtbot.waitUntil(
            lambda tile=tile: session.focus is not None and session.focus.tile == tile, timeout=3000
        )
        assert session.focus.patch == patch
        for share, layers in zip(session.focus.shares, drawn.tiles, strict=True):
            inside = share[session.patches_in_plane()]
            np.testing.assert_array_equal(lit(layers, len(inside)) > 0, inside > 0.01)
    assert (
        "S " in volume_shown.result.focus_line.text()
        or "I " in volume_shown.result.focus_line.text()
    )  # heights are shown


@pytest.mark.visible
def test_a_held_patch_stays_held_in_other_slices_and_its_partners_light_up_there(
    viewer, volume_shown, qtbot, volume_explanation
):
    e, drawn, session = volume_explanation, volume_shown.result_layers, volume_shown.session
    patch, prototype, target = across(e)
    go_to(session, height_of(e, patch))
    qtbot.mouseClick(
        canvas_of(viewer), Qt.MouseButton.LeftButton, pos=place_of(viewer, drawn, 0, patch)
    )
    qtbot.waitUntil(lambda: session.pinned, timeout=3000)
    assert session.focus.patch == patch
    told = volume_shown.result.focus_line.text()
    assert "→" in told
    # The prototype's image shows a slice of the match, with the crosshair in its box, and says
    # which slice it is.
    start, stop = np.array(e.patch_box(target)).T
    place = session.viewing.points[1 + prototype]
    assert ((place >= start) & (place <= stop - 1)).all()
    assert height_of(e, target) == slab(e, drawn.panes[1 + prototype][0].plane)
    titles = [str(words) for words in drawn.tiles[1 + prototype].boxes.features["text"]]
    assert any(drawn.panes[1 + prototype][0].plane.name in words for words in titles)
    # Scrolling shows the same level of all: its number is not in the prototype's image any more,
    # and the panel says why.
    step_plane(session, 1)
    step_plane(session, -1)
    volume_shown.session.choose_patches("all")
    number = session.patches.index(patch) + 1
    said = [
        str(words)
        for words in drawn.tiles[1 + prototype].boxes.features["text"]
        if "other slices" in str(words)
    ]
    assert str(number) in said[0].split(":")[1].replace(" ", "").split(",")
    go_to(session, height_of(e, target))
    assert session.pinned
    assert session.focus.patch == patch
    count = len(session.patches_in_plane())
    assert not lit(drawn.tiles[0], count).any()  # the patch itself is not in this slice
    place = int(np.flatnonzero(session.patches_in_plane() == target)[0])
    assert lit(drawn.tiles[1 + prototype])[place] > 0
    assert volume_shown.result.focus_line.text() == told


def test_shift_moves_the_crosshair_and_goes_through_slices(viewer, dock, head, solid):
    """Events as napari hands them over."""
    panel = dock(viewer, head)
    panel.show_explanation(solid)
    drawn, session = panel.result_layers, panel.session
    session.show_mode("planes")
    for number in range(3):
        pane = drawn.panes[0][number]  # as it is now: all of them move
        point = np.add(pane.place, (20.0, 22.0))
        event = SimpleNamespace(
            type="mouse_move",
            viewbox=(0, 0),
            position=(0.0, *drawn.tiles[0].image.data_to_world(point)[-2:]),
            modifiers=("Shift",),
            delta=(0.0, 1.0),
            handled=False,
        )
        voxel = pane.voxel(point)
        for callback in list(viewer.mouse_move_callbacks):
            callback(viewer, event)
        np.testing.assert_allclose(session.viewing.points[0], voxel, atol=1e-3)
        for callback in list(viewer.mouse_wheel_callbacks):
            callback(viewer, event)
        assert session.viewing.axis == pane.plane.axis
        assert session.plane.slice == round(voxel[pane.plane.axis]) + 1
        assert event.handled
    # Without Shift, the mouse only highlights.
    before = session.viewing.points
    event.modifiers = ()
    for callback in list(viewer.mouse_move_callbacks):
        callback(viewer, event)
    assert session.viewing.points is before
    assert session.focus is not None
