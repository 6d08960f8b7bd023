"""The plugin in a real window: reading, running, looking, cancelling, and leaving nothing
behind."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from napari.layers import Image, Shapes, Vectors

import expert
from expert.patches import chosen_patches, planes
from expert.schema import RESEARCH_USE
from napari_expert.layer_geometry import AFFINE, layer_arguments, volume_from_layer
from napari_expert.panel.main_widget import ExpertWidget
from napari_expert.readers import get_reader


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy()


@pytest.fixture
def panel(viewer, dock, head):
    return dock(viewer, head)


def state(viewer):
    grid, camera = viewer.canvas.grid, viewer.scene.camera
    return (
        [(layer.name, layer.visible) for layer in viewer.layers],
        grid.enabled,
        grid.stride,
        grid.shape,
        viewer.canvas.background_color_override,
        tuple(camera.center),
        camera.zoom,
        viewer.dims.ndisplay,
        len(viewer.mouse_move_callbacks),
        len(viewer.mouse_drag_callbacks),
        len(viewer.layers.events.inserted.callbacks),
        len(viewer.layers.events.removed.callbacks),
        len(viewer.canvas.events.size.callbacks),
    )


def run(panel, qtbot):
    with qtbot.waitSignal(panel.ended, timeout=120_000):
        panel.run()


# --- reading --------------------------------------------------------------------------------------
def test_the_reader_keeps_the_affine_and_shows_radiologically(viewer, head, head_file):
    viewer.open(str(head_file), plugin="napari-expert")
    layer = viewer.layers[0]
    assert layer.data.ndim == 3
    again = volume_from_layer(layer)
    point = np.unravel_index(head.data.argmax(), head.shape)
    world = head.affine @ [*point, 1]
    index = np.linalg.inv(np.array(layer.metadata[AFFINE])) @ world
    assert layer.data[tuple(np.rint(index[:3]).astype(int))] == head.data.max()
    # World axes of the layer are S, P, L in mm: rows grow towards the back, columns towards the
    # patient's left.
    np.testing.assert_allclose(
        layer.data_to_world(index[:3]), [world[2], -world[1], -world[0]], atol=1e-3
    )
    assert again.space == "ras"


def test_the_reader_leaves_other_files_alone(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"")
    assert get_reader(str(tmp_path / "a.tif")) is None
    assert get_reader(str(tmp_path)) is None


def test_sample_data_open(viewer):
    viewer.open_sample("napari-expert", "phantom-55")
    assert "55" in viewer.layers[0].name


# --- running --------------------------------------------------------------------------------------
def test_run_shows_the_answer_and_its_reasons(viewer, panel, qtbot):
    assert panel.run_button.isEnabled()
    assert "will be registered" in panel.fit.text()
    run(panel, qtbot)
    result = panel.explanation
    assert f"{result.prediction:.1f} years" in panel.answer.headline.text()
    assert abs(result.prediction - 72) < 8
    assert [type(layer) for layer in viewer.layers[-3:]] == [Image, Vectors, Shapes]
    assert len(viewer.layers) == 1 + 3 * 4
    assert viewer.canvas.grid.enabled
    assert not viewer.layers["head"].visible
    assert panel.answer.table.rowCount() == 6 * 3
    boxes = viewer.layers[-1]
    assert {"1", "2", "6", "R", "L"} <= set(boxes.features["text"])
    statement = [label.text() for label in panel.findChildren(type(panel.error))]
    assert RESEARCH_USE in statement


def test_the_subject_comes_first_in_the_grid(viewer, panel, explanation):
    panel.show_explanation(explanation)
    grid, layers = viewer.canvas.grid, viewer.layers
    rows, columns = grid.actual_shape(layers)
    for number, cell in enumerate(panel.scene.cells):
        for layer in cell.layers:
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
    panel.scene.cells[0].image.contrast_limits = (20, 180)
    assert panel.scene.cells[2].image.contrast_limits == [20, 180]
    panel.clear()
    assert list(viewer.layers["head"].contrast_limits) != [20, 180]


def test_another_plane_shows_how_that_plane_was_matched(viewer, panel, explanation):
    panel.show_explanation(explanation)
    panel.answer.view_box.setCurrentIndex(0)
    np.testing.assert_array_equal(
        panel.scene.cells[0].image.data, explanation.views[0].image[::-1, ::-1]
    )
    assert panel.scene.patches == chosen_patches(explanation, planes(explanation)[0], "closest")
    panel.answer.choice_box.setCurrentIndex(2)
    assert len(panel.scene.patches) > 6
    assert panel.answer.table.rowCount() == 3 * len(panel.scene.patches)


def test_pointing_lights_up_the_partners(viewer, panel, explanation):
    panel.show_explanation(explanation)
    scene = panel.scene
    patch = scene.patches[2]
    scene.set_focus(0, patch)
    for number, cell in enumerate(scene.cells):
        alpha = np.asarray(cell.wash.edge_color)[:, 3]
        share = scene.focus.shares[number]
        assert alpha.argmax() == share.argmax()
        assert (alpha[share < 0.005] == 0).all()
    assert "→" in panel.answer.focus_line.text()
    scene.set_focus(None)
    assert not any(np.asarray(cell.wash.edge_color)[:, 3].any() for cell in scene.cells)


def test_a_row_of_the_table_leads_to_its_patch(panel, explanation):
    panel.show_explanation(explanation)
    panel.answer.table.selectRow(4)
    assert panel.scene.pinned
    assert panel.scene.focus.cell == 0
    assert panel.scene.focus.patch in panel.scene.patches


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


def test_the_users_own_layers_stay_out_of_the_way(viewer, panel, explanation):
    panel.show_explanation(explanation)
    viewer.add_image(np.zeros((8, 8)), name="late")
    assert viewer.layers.index(viewer.layers["late"]) < viewer.layers.index(
        panel.scene.cells[-1].image
    )
    viewer.layers.remove(panel.scene.cells[1].boxes)
    assert panel.scene is None
    assert [layer.name for layer in viewer.layers] == ["head", "late"]
    assert viewer.layers["head"].visible


# --- what goes wrong ------------------------------------------------------------------------------
def test_cancel_acts_within_a_second_and_loses_nothing(viewer, panel, qtbot):
    before = state(viewer)
    panel.run()
    assert panel.run_button.text() == "Cancel"
    qtbot.wait(300)
    start = time.monotonic()
    with qtbot.waitSignal(panel.ended, timeout=5000):
        panel.run_button.click()
    assert time.monotonic() - start < 1
    assert panel.run_button.text() == "Run"
    assert state(viewer) == before
    assert not panel.error.text()
    run(panel, qtbot)
    assert panel.explanation is not None


def test_an_error_is_one_sentence_in_the_panel(viewer, panel, qtbot):
    layer = viewer.add_image(
        np.random.default_rng(0).random((40, 40, 40)), name="noise", scale=(2, 2, 2)
    )
    layer.data[:] = 0
    panel.layer_box.setCurrentIndex(panel.layer_box.findText("noise"))
    run(panel, qtbot)
    assert panel.error.text().endswith(".")
    assert "Unexpected" not in panel.error.text()
    assert panel.explanation is None
    assert panel.run_button.isEnabled()


@pytest.mark.parametrize(
    ("shape", "rgb", "reason"),
    [
        ((30, 40), False, "3D head"),
        ((20, 30, 3), True, "colour"),
        ((2, 9, 9, 9), False, "4 axes"),
        ((9, 9, 9), False, "voxel size"),
    ],
)
def test_a_layer_that_does_not_fit_is_told_at_once(viewer, panel, shape, rgb, reason):
    viewer.add_image(np.random.default_rng(0).random(shape), rgb=rgb, name="odd")
    panel.layer_box.setCurrentIndex(panel.layer_box.findText("odd"))
    assert reason in panel.fit.text()
    assert not panel.run_button.isEnabled()


def test_a_file_that_is_no_model_changes_nothing(panel, tmp_path):
    path = tmp_path / "text.safetensors"
    path.write_text("no model")
    with pytest.raises(expert.ModelError):
        panel.choose_model(str(path))
    assert panel.model == "phantom"


def test_layers_come_and_go_in_the_list(viewer, panel):
    viewer.add_image(np.zeros((9, 9)), name="a")
    viewer.layers["a"].name = "b"
    names = [panel.layer_box.itemText(n) for n in range(panel.layer_box.count())]
    assert names == ["head", "b"]
    viewer.layers.clear()
    assert panel.layer_box.count() == 0
    assert "Open an image" in panel.fit.text()
    assert not panel.run_button.isEnabled()


def test_the_layer_is_deleted_while_it_runs(viewer, panel, qtbot):
    panel.run()
    viewer.layers.remove("head")
    with qtbot.waitSignal(panel.ended, timeout=120_000):
        pass
    assert panel.explanation is not None


def test_closing_the_panel_gives_the_viewer_back(viewer, head, explanation):
    before = state(viewer)
    data, arguments = layer_arguments(head)
    viewer.add_image(data, **arguments, name="head")
    widget = ExpertWidget(viewer)
    dock = viewer.window.add_dock_widget(widget, name="ExPeRT")
    widget.show_explanation(explanation)
    viewer.window.remove_dock_widget(dock)
    assert [layer.name for layer in viewer.layers] == ["head"]
    assert state(viewer)[-5:] == before[-5:]
    assert widget.job is None


# --- what leaves ----------------------------------------------------------------------------------
def test_the_report_is_saved_with_its_explanation(panel, explanation, tmp_path):
    panel.show_explanation(explanation)
    panel.save_report(tmp_path / "r.html")
    panel.save_explanation(tmp_path / "r.json")
    assert "synthetic ageing brains" in (tmp_path / "r.html").read_text()
    assert expert.Explanation.load(tmp_path / "r.json").prediction == explanation.prediction
    panel.save_report(tmp_path / "missing" / "r.html")
    assert "could not be written" in panel.error.text()


def test_a_model_of_plain_images(viewer, tiny_model_file, qtbot):
    image = np.zeros((32, 32), dtype=np.uint8)
    image[6:26, 6:26] = 120
    image[0, :2] = 255
    viewer.add_image(image, name="square")
    widget = ExpertWidget(viewer)
    viewer.window.add_dock_widget(widget, name="ExPeRT")
    widget.choose_model(str(tiny_model_file))
    run(widget, qtbot)
    assert widget.explanation.unit == "points"
    assert len(viewer.layers) == 1 + 3 * 4
    assert "this image" in "".join(map(str, widget.scene.cells[0].boxes.features["text"]))
    widget.close_down()


def test_the_manifest_offers_the_panel(viewer):
    _, widget = viewer.window.add_plugin_dock_widget("napari-expert", "ExPeRT")
    assert isinstance(widget, ExpertWidget)
    assert widget.model == "phantom"
    widget.close_down()
