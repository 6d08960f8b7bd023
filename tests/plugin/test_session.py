"""Tests of `napari_expert.session`."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.window import run_without_error, square
from napari.layers import Image
from qtpy.QtWidgets import QApplication

import expert
from expert.errors import InputError
from expert.patches import display
from napari_expert.session import CONTRIBUTION, PatchMap, Session, native_values


@pytest.mark.visible
def test_9_closing_gives_back_layers_grid_and_camera(viewer, panel, explanation):
    before = (
        viewer.scene.camera.zoom,
        tuple(viewer.scene.camera.center),
        viewer.canvas.grid.enabled,
        len(viewer.keymap),
    )
    panel.show_explanation(explanation)
    for _ in range(2):
        panel.session.toggle_mode("lines")
    panel.session.toggle_convention()
    panel.clear()
    after = (
        viewer.scene.camera.zoom,
        tuple(viewer.scene.camera.center),
        viewer.canvas.grid.enabled,
        len(viewer.keymap),
    )
    assert after == before
    assert [layer.name for layer in viewer.layers] == ["head"]
    panel.close_down()
    assert not viewer.keymap
    assert not viewer.mouse_move_callbacks


@pytest.mark.slow
@pytest.mark.visible
def test_two_answers_are_compared(panel, model, explanation, viewer, tmp_path, qtbot):
    from expert.datasets.phantom import phantom

    other = expert.explain(model, phantom(70, 9), top=8)
    panel.show_explanation(other)
    first = expert.explain(model, phantom(72, 5), top=8)
    panel.show_explanation(first)
    panel.compare("previous")
    qtbot.waitUntil(lambda: not panel.matching.running, timeout=60_000)
    board = panel.session.board
    assert board.subjects == 2
    assert f"{other.prediction - first.prediction:+.1f}" in panel.result.headline.text()
    assert len(viewer.layers) == 1 + 3 * board.tiles
    panel.session.toggle_mode("lines")
    assert [tile.image.visible for tile in panel.result_layers.tiles][:3] == [True, True, True]
    rest = tuple(m for m in other.prototypes if m.index not in {n.index for n in first.prototypes})
    panel.show_explanation(first)
    path = other.model_copy(
        update={"model_sha256": "0", "prototypes": rest or other.prototypes}
    ).save(tmp_path / "o.json")
    panel.compare("saved", path)
    assert "different models" in panel.runs.error.text()
    assert panel.session.board.subjects == 1


@pytest.mark.visible
def test_more_prototypes_without_another_run(panel, model, head, viewer):
    panel.show_explanation(expert.explain(model, head, top=8))
    assert len(viewer.layers) == 1 + 3 * 4
    panel.input.prototypes.value = 5
    assert len(viewer.layers) == 1 + 3 * 6
    assert panel.session.shown_explanation().prototypes[-1].rank == 5


@pytest.mark.visible
def test_more_prototypes_of_a_volume(panel, solid):
    panel.input.prototypes.value = 1
    panel.show_explanation(solid)
    panel.input.prototypes.value = 2
    assert panel.session.board.tiles == len(panel.session.viewing.points) == 3
    assert not panel.runs.error.text()


@pytest.mark.slow
@pytest.mark.visible
def test_ten_runs_leave_no_more_than_one(viewer, panel, qtbot, explanation):
    import gc
    import os
    import threading

    def count():
        gc.collect()
        return (
            len(viewer.layers),
            len(viewer.mouse_move_callbacks),
            len(viewer.mouse_drag_callbacks),
            len(viewer.keymap),
            len(viewer.layers.events.inserted.callbacks),
            len(viewer.layers.events.removed.callbacks),
            len(viewer.dims.events.point.callbacks),
            len(viewer.canvas.events.size.callbacks),
            sum(
                len(layer.events.contrast_limits.callbacks)
                for layer in viewer.layers
                if isinstance(layer, Image)
            ),
            threading.active_count(),
        )

    def memory():
        with open("/proc/self/statm") as file:  # noqa: PTH123
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    def one():
        with qtbot.waitSignal(panel.ended, timeout=120_000):
            panel.run()
        for _ in range(2):
            panel.session.toggle_mode("lines")
        QApplication.processEvents()

    one()
    one()
    first, before = count(), memory()
    for _ in range(8):
        one()
    assert count() == first
    assert memory() - before < 50


@pytest.mark.visible
def test_two_images_are_compared_with_the_prototypes_they_share(viewer, image_panel, qtbot):
    for brightness in (40, 60):
        viewer.add_image(square(brightness), name=f"scan {brightness}")
        run_without_error(image_panel, qtbot)
    image_panel.compare("previous")
    qtbot.waitUntil(lambda: not image_panel.matching.running, timeout=60_000)
    assert not image_panel.runs.error.text()
    board = image_panel.session.board
    assert board.subjects == 2
    np.testing.assert_array_equal(
        image_panel.result_layers.tiles[0].image.data, image_panel.explanation.views[0].image
    )
    np.testing.assert_array_equal(
        image_panel.result_layers.tiles[1].image.data, image_panel.session.other.views[0].image
    )
    image_panel.session.toggle_mode("lines")
    assert [tile.image.visible for tile in image_panel.result_layers.tiles][:3] == [
        True,
        True,
        True,
    ]


@pytest.mark.visible
def test_two_heads_are_compared_slice_by_slice(
    volume_shown, volume_explanation, volume_model_file, viewer, qtbot
):
    import expert
    from expert.datasets.phantom import phantom

    other = expert.explain(expert.load_model(volume_model_file), phantom(35, 8), top=4)
    volume_shown.show_explanation(other)
    volume_shown.compare("previous")
    qtbot.waitUntil(lambda: not volume_shown.matching.running, timeout=60_000)
    board, drawn, session = (
        volume_shown.session.board,
        volume_shown.result_layers,
        volume_shown.session,
    )
    assert board.subjects == 2
    assert board.title(0, session.plane).startswith("A · ")
    for number in (0, len(board.planes) - 1):
        session.show_plane(number)
        np.testing.assert_array_equal(
            drawn.tiles[1].image.data,
            display(volume_explanation.views[0].image[session.plane.slice], True),
        )


# --- without a window -----------------------------------------------------------------------------
@pytest.fixture
def recorded(explanation):
    """A session that shows an explanation, and the names of the events since."""
    session, names = Session(), []
    session.show(explanation)
    for name in session.events:
        session.events[name].connect(lambda *values, name=name: names.append(name))
    return session, names


def test_what_moved_the_prediction_is_shown_first(recorded, explanation):
    session, _ = recorded
    assert (session.choice, session.map) == ("contribution", CONTRIBUTION)
    session.choose_patches("closest")
    session.set_map(None)
    session.show(explanation.model_copy())
    assert (session.choice, session.map) == ("contribution", CONTRIBUTION)


def test_a_change_is_announced_once_and_no_change_never(recorded, explanation):
    session, names = recorded
    session.show_plane(session.plane_number)
    session.choose_patches("contribution")
    session.set_map(CONTRIBUTION)
    session.show_mode("grid")
    session.show_partner(1)
    session.set_focus(None)
    assert names == []
    session.show_plane(0)
    session.choose_patches("all")
    session.set_focus(0, session.patches[0])
    session.set_focus(0, session.patches[0])
    session.set_map(None)
    session.show_mode("lines")
    session.browser.step(1)
    session.toggle_convention()
    assert names == ["plane", "patches", "focus", "map", "mode", "partner", "convention"]
    assert (session.mode, session.partner, session.neurological) == ("lines", 2, True)


def test_the_plane_stays_within_those_there_are(recorded):
    session, _ = recorded
    session.show_plane(-5)
    assert session.plane_number == 0
    session.show_plane(1000)
    assert session.plane_number == len(session.board.planes) - 1


def test_native_space_needs_the_original_image(recorded):
    session, names = recorded
    with pytest.raises(InputError, match="original image is not open"):
        session.show_mode("native")
    session.set_map(None)
    assert names == ["map"]
    session.set_source(object())
    session.show_mode("native")
    assert names == ["map", "source", "map", "mode"]
    assert (session.mode, session.map) == ("native", CONTRIBUTION)
    session.show_mode("lines")
    assert session.mode == "lines"


def test_maps_are_those_of_the_attribution(explanation):
    first, second = (match.index for match in explanation.prototypes[:2])
    view = explanation.views[1]
    difference = PatchMap("difference", (first, second)).values(explanation)
    assert difference[1].sum() == pytest.approx(view.distances[second] - view.distances[first])
    assert PatchMap("similarity", (first,)).values(explanation)[1].sum() == pytest.approx(
        0, abs=1e-5
    )
    assert CONTRIBUTION.values(explanation).shape == (len(explanation.views), len(view.mass))


def test_a_preview_is_painted_but_not_exported(recorded, explanation):
    session, names = recorded
    session.set_preview(PatchMap("similarity", (explanation.prototypes[0].index,)))
    assert names == ["preview"]
    preview = PatchMap("similarity", (explanation.prototypes[0].index,)).values(explanation)
    np.testing.assert_array_equal(session.painted_values(), preview)
    np.testing.assert_array_equal(
        native_values(session), CONTRIBUTION.values(explanation).sum(axis=0)
    )
    session.set_preview(None)
    np.testing.assert_array_equal(session.painted_values(), CONTRIBUTION.values(explanation))
    session.set_map(PatchMap("similarity", (explanation.prototypes[0].index,)))
    np.testing.assert_array_equal(native_values(session), preview.mean(axis=0))


def test_a_cleared_result_becomes_the_previous_one(recorded, explanation):
    session, names = recorded
    session.clear()
    assert names == ["result"]
    assert (session.explanation, session.board, session.patches) == (None, None, [])
    assert session.previous is explanation
    with pytest.raises(InputError, match="nothing to save"):
        session.shown_explanation()
    with pytest.raises(InputError, match="explain an image first"):
        session.compare(explanation)


def test_the_previous_result_is_needed_to_compare_with_it(recorded):
    session, _ = recorded
    with pytest.raises(InputError, match="no previous result"):
        session.compare(session.previous)
