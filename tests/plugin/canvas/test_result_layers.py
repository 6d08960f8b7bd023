"""The visit with a model of whole 3D heads: what a slice cuts is drawn, and what lies in other
slices is one step away."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from helpers.window import list_rows, press, state
from qtpy.QtWidgets import QApplication

import expert
from expert.patches import chosen_patches, display, planes
from napari_expert.panel.match_table import listed


def test_the_subject_comes_first_in_the_grid(viewer, panel, explanation):
    panel.show_explanation(explanation)
    grid, layers = viewer.canvas.grid, viewer.layers
    rows, columns = grid.actual_shape(layers)
    for number, tile in enumerate(panel.result_layers.tiles):
        for layer in tile.layers:
            row, column = grid.position(layers.index(layer), layers)
            assert row * columns + column == number
    assert rows * columns >= 4


def test_running_twice_piles_nothing_up(viewer, panel, explanation):
    before = state(viewer)
    counts = []
    for _ in range(3):
        panel.show_explanation(explanation)
        counts.append((len(viewer.layers), *state(viewer)[-5:], threading.active_count()))
    assert len(set(counts)) == 1
    panel.clear()
    assert state(viewer) == before


def test_contrast_moves_together(viewer, panel, explanation):
    panel.show_explanation(explanation)
    panel.result_layers.tiles[0].image.contrast_limits = (20, 180)
    assert panel.result_layers.tiles[2].image.contrast_limits == [20, 180]
    panel.clear()
    assert list(viewer.layers["head"].contrast_limits) != [20, 180]


def test_another_plane_shows_how_that_plane_was_matched(viewer, panel, explanation):
    panel.show_explanation(explanation)
    panel.result.view_box.setCurrentIndex(0)
    np.testing.assert_array_equal(
        panel.result_layers.tiles[0].image.data, explanation.views[0].image[::-1, ::-1]
    )
    first = chosen_patches(explanation, planes(explanation)[0], "contribution")
    assert panel.session.patches == first
    panel.result.choice_box.setCurrentIndex(3)
    assert len(panel.session.patches) > 6
    assert panel.result.table.rowCount() == len(listed(panel.session))


def test_pointing_lights_up_the_partners(viewer, panel, explanation):
    panel.show_explanation(explanation)
    drawn, session = panel.result_layers, panel.session
    patch = session.patches[2]
    session.set_focus(0, patch)
    for number, tile in enumerate(drawn.tiles):
        alpha = np.asarray(tile.highlight.edge_color)[:, 3]
        share = session.focus.shares[number]
        assert alpha.argmax() == share.argmax()
        assert (alpha[share < 0.005] == 0).all()
    assert "→" in panel.result.focus_line.text()
    session.set_focus(None)
    # The map of the contributions is back, on the image only.
    lit = [np.asarray(tile.highlight.edge_color)[:, 3].any() for tile in drawn.tiles]
    assert lit == [True, False, False, False]


def test_the_users_own_layers_stay_out_of_the_way(viewer, panel, explanation):
    panel.show_explanation(explanation)
    late = viewer.add_image(np.zeros((8, 8)), name="late")
    assert [layer.name for layer in viewer.layers[-2:]] == ["head", "late"]
    assert not late.visible  # it would cover a tile
    rows = [layer.name for layer in list_rows(viewer)]
    assert rows == ["late", "head", "ExPeRT this image"]
    viewer.layers.remove(panel.result_layers.tiles[1].boxes)
    assert panel.result_layers is None
    assert [layer.name for layer in viewer.layers] == ["head", "late"]
    assert viewer.layers["head"].visible
    assert late.visible


@pytest.mark.visible
def test_7_slider_contrast_and_letters_move_together(viewer, shown):
    drawn, session = shown.result_layers, shown.session
    drawn.tiles[0].image.gamma = 0.7
    assert drawn.tiles[3].image.gamma == 0.7
    for number in (0, 4):
        viewer.dims.set_point(0, float(drawn.slider.heights[number]))
        assert session.plane_number == number
        assert shown.result.view_box.currentIndex() == number
    shown.session.show_plane(shown.session.plane_number - 1)
    assert viewer.dims.point[0] == pytest.approx(
        drawn.slider.heights[3], abs=viewer.dims.range[0].step
    )
    # The patient's right is drawn on the left; a key turns it, and says so.
    left = lambda: next(  # noqa: E731
        drawn.tiles[0].boxes.data_to_world(corners.mean(axis=0))[-1]
        for corners, word in zip(
            drawn.tiles[0].boxes.data, drawn.tiles[0].boxes.features["text"], strict=True
        )
        if word == "R"
    )
    middle = lambda: drawn.tiles[0].image.data_to_world(  # noqa: E731
        np.array(drawn.tiles[0].image.data.shape) / 2
    )[-1]
    assert left() < middle()
    assert "right is on the left" in shown.result.about.text()
    press(viewer, "Shift-F")
    assert left() > middle()
    assert "right is on the right" in shown.result.about.text()


@pytest.mark.visible
def test_9_a_result_is_cleared_and_shown_again_and_again(viewer, panel, explanation, qtbot):
    """The canvas is drawn in between: what was taken away must not be drawn any more."""
    for _ in range(3):
        panel.show_explanation(explanation)
        qtbot.wait(200)
        panel.clear()
        qtbot.wait(200)
    assert [layer.name for layer in viewer.layers] == ["head"]


@pytest.mark.slow
@pytest.mark.visible
def test_a_result_that_was_never_drawn_is_taken_away(viewer, panel, model, head):
    panel.show_explanation(expert.explain(model, head, top=6))
    panel.input.prototypes.value = 5
    QApplication.processEvents()
    panel.input.prototypes.value = 3
    panel.clear()  # napari crashed when it drew what came after
    for _ in range(5):
        QApplication.processEvents()
    assert [layer.name for layer in viewer.layers] == ["head"]
    assert viewer.layers["head"].visible


@pytest.mark.visible
def test_slices_move_with_the_slider_and_with_the_keys(viewer, volume_shown, volume_explanation):
    e, drawn, session = volume_explanation, volume_shown.result_layers, volume_shown.session
    world = drawn.slider.heights
    for number in (2, len(world) - 1):
        viewer.dims.set_point(0, float(world[number]))
        assert session.plane_number == volume_shown.result.view_box.currentIndex() == number
    press(viewer, "PageDown")
    assert session.plane_number == len(world) - 2
    assert viewer.dims.point[0] == pytest.approx(world[-2], abs=viewer.dims.range[0].step)
    press(viewer, "PageUp")
    press(viewer, "PageUp")
    assert session.plane_number == len(world) - 1  # the last one
    volume_shown.result.view_box.setCurrentIndex(4)
    at = session.plane.slice
    np.testing.assert_array_equal(drawn.tiles[0].image.data, display(e.views[0].image[at], True))
    np.testing.assert_array_equal(
        drawn.tiles[2].image.data, display(e.prototypes[1].image[at], True)
    )


@pytest.mark.visible
def test_the_slider_shows_the_plane_at_its_height_in_the_head(
    viewer, volume_shown, volume_explanation, head
):
    """The slice on show and the original image's slice at the same slider place are the same
    anatomy: the brain's width."""
    session = volume_shown.session
    step = volume_explanation.views[0].affine[2, 0]
    to_template = np.linalg.inv(volume_explanation.registration.template_to_subject)
    for number in (3, len(session.board.planes) // 2):
        session.show_plane(number)
        # Where the slider stands is a height of the head's own world; through the registration it
        # is that of the plane.
        place = session.board.planes[number].position_mm
        own = volume_explanation.registration.template_to_subject @ [0.0, -18.0, place, 1.0]
        back = to_template @ [own[0], own[1], viewer.dims.point[0], 1.0]
        assert abs(back[2] - place) < step
