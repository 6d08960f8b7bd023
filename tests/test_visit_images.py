"""The visit with plain 2D images (ultrasound, say), and what happens when something is taken away
in the middle of it."""

from __future__ import annotations

import shutil
import time

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt, QThreadPool
from qtpy.QtWidgets import QApplication
from window import canvas_of, place_of

import expert
from expert.errors import ModelError
from expert.schema import RESEARCH_USE


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy(show=True)


@pytest.fixture
def panel(viewer, dock, tiny_model_file):
    return dock(viewer, model=tiny_model_file)


@pytest.fixture
def heads(viewer, dock, head):
    """The panel with the embedded model and a head."""
    return dock(viewer, head)


def square(brightness: float, size: int = 32) -> np.ndarray:
    """A drawn square as the tiny model knows them."""
    image = np.zeros((32, 32))
    image[6:26, 6:26] = brightness * 2.5
    image[0, :2] = image[1, :6] = 255
    return np.kron(image, np.ones((size // 32, size // 32))).astype(np.uint8)


def run(panel, qtbot):
    with qtbot.waitSignal(panel.ended, timeout=120_000):
        panel.run()
    assert not panel.error.text()
    QApplication.processEvents()


def words_of(panel) -> str:
    """Everything that stands in the answer and on the pictures."""
    answer = panel.answer
    texts = [
        answer.headline,
        answer.about,
        answer.warnings,
        answer.legend,
        answer.focus_line,
        answer.matching,
    ]
    table = answer.table
    cells = [
        table.item(row, column).text()
        for row in range(table.rowCount())
        for column in range(table.columnCount())
    ]
    drawn = [str(word) for cell in panel.scene.cells for word in cell.boxes.features["text"]]
    return "\n".join([*(label.text() for label in texts), table.toolTip(), *cells, *drawn])


# --- plain images ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("scale", "units", "size", "fit"),
    [
        ((1, 1), ("pixel", "pixel"), 32, "pixel size unknown"),
        ((1, 1), ("pixel", "pixel"), 1024, "pixel size unknown"),
        ((0.5, 0.5), ("mm", "mm"), 64, "64×64, 0.5 mm"),
    ],
)
def test_an_image_is_explained_without_letters_and_millimetres(
    viewer, panel, qtbot, scale, units, size, fit
):
    viewer.add_image(square(60, size), name="scan", scale=scale, units=units)
    assert fit in panel.fit.text()
    run(panel, qtbot)
    e, scene = panel.explanation, panel.scene
    assert f"{e.prediction:.1f} points" in panel.answer.headline.text()
    assert any(notice.code == "spacing_unknown" for notice in e.warnings) == ("unknown" in fit)
    assert len(viewer.layers) == 1 + 3 * 4
    words = words_of(panel)
    assert ": 1, 2\n" in words or ": 2, 2\n" in words
    for wrong in (" mm", "left", "radiological", "brain", "commissure"):
        assert wrong not in words.replace("top left", "")
    assert not {"R", "L", "A", "P"} & {str(word) for word in scene.cells[0].boxes.features["text"]}
    assert not panel.answer.form.isRowVisible(panel.answer.view_box)
    # The title stands above the picture, and the picture fills its cell, whatever a pixel's size
    # is.
    rows = scene.cells[0].image.data.shape[0]
    title = next(
        c
        for c, w in zip(
            scene.cells[0].boxes.data, scene.cells[0].boxes.features["text"], strict=True
        )
        if "·" in w
    )
    height = viewer.canvas.viewbox_size(viewer.layers)[0]
    pixels = rows * scene.cells[0].image.scale[0] * viewer.scene.camera.zoom
    assert -0.1 * rows < title.mean(axis=0)[0] < -0.03 * rows
    assert pixels > 0.6 * min(height, viewer.canvas.viewbox_size(viewer.layers)[1])


def test_pointing_and_clicking_with_the_mouse(viewer, panel, qtbot):
    viewer.add_image(square(60), name="scan")
    run(panel, qtbot)
    scene, native = panel.scene, canvas_of(viewer)
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
    assert "row " in panel.answer.focus_line.text()
    panel.choose_patches("all")
    # The patch is still held, and it is still said where it went.
    assert scene.pinned
    assert "→" in panel.answer.focus_line.text()


def test_lines_and_which_patches_speak(viewer, panel, qtbot):
    viewer.add_image(square(60, 64), name="scan", scale=(0.5, 0.5), units=("mm", "mm"))
    run(panel, qtbot)
    scene = panel.scene
    viewer.canvas.overlays.text.text, viewer.canvas.overlays.text.visible = "mine", True
    panel.toggle_own_space()
    assert panel.scene.mode == "own"
    assert (viewer.canvas.overlays.text.text, viewer.canvas.overlays.text.visible) == ("mine", True)
    panel.toggle_lines()
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
    speak = panel.answer.speak_box
    for number in range(1, speak.count()):
        speak.setCurrentIndex(number)
        assert scene.speaking.shape == (1, 16)
        assert (
            "Strongest here (points)" in panel.answer.legend.text()
            or "nearest prototype" in panel.answer.legend.text()
        )


@pytest.mark.parametrize(
    ("scale", "units"), [((1, 1), ("pixel", "pixel")), ((0.5, 0.5), ("mm", "mm"))]
)
def test_own_space_outlines_the_patches_on_the_original_image(viewer, panel, qtbot, scale, units):
    layer = viewer.add_image(square(60, 64), name="scan", scale=scale, units=units)
    run(panel, qtbot)
    before = len(viewer.layers)
    panel.toggle_own_space()
    overlay, scene = panel.visit.overlay, panel.scene
    assert scene.mode == "own"
    assert layer.visible
    assert overlay.outlines.data.shape == (64, 64)
    e = panel.explanation
    # With a pixel size, 64 pixels of 0.5 mm are the frame of 32; without, the image is fitted into
    # it: 16 pixels a patch.
    for patch in scene.patches:
        row, column = divmod(patch, 4)
        middle = (16 * row + 8, 16 * column + 8)
        assert overlay.outlines.data[middle] == patch + 1
        assert overlay.patch_under(layer.data_to_world(middle)) == patch
    assert "orientation unknown" not in overlay.outlines.name
    assert not viewer.canvas.overlays.text.visible
    panel.toggle_own_space()
    assert (scene.mode, len(viewer.layers)) == ("grid", before)
    assert e is panel.explanation


def test_two_images_are_compared_with_the_prototypes_they_share(viewer, panel, qtbot):
    for brightness in (40, 60):
        viewer.add_image(square(brightness), name=f"scan {brightness}")
        run(panel, qtbot)
    panel._compare_asked("previous")
    assert not panel.error.text()
    board = panel.scene.board
    assert board.subjects == 2
    np.testing.assert_array_equal(panel.scene.cells[0].image.data, panel.explanation.views[0].image)
    np.testing.assert_array_equal(panel.scene.cells[1].image.data, panel.visit.other.views[0].image)
    panel.toggle_lines()
    assert [cell.image.visible for cell in panel.scene.cells][:3] == [True, True, True]


def test_report_table_and_explanation_are_saved_but_no_volume(viewer, panel, qtbot, tmp_path):
    viewer.add_image(square(60), name="patient name")
    run(panel, qtbot)
    for save, name in ((panel.save_report, "r.html"), (panel.save_report, "r.pdf"), (panel.save_table, "t.csv"),  # noqa: E501
                       (panel.save_explanation, "e.json")):  # fmt: skip
        save(tmp_path / name)
        assert not panel.error.text()
        assert b"patient name" not in (tmp_path / name).read_bytes()
    html = (tmp_path / "r.html").read_text()
    assert RESEARCH_USE in html
    assert "radiological" not in html
    panel.save_layers(tmp_path / "m.nii.gz")
    assert "plain image" in panel.error.text()
    assert not (tmp_path / "m.nii.gz").exists()
    prediction = panel.explanation.prediction
    panel.clear()
    panel.open_explanation(tmp_path / "e.json")
    assert panel.explanation.prediction == prediction
    assert panel.answer.mode_buttons["own"].isEnabled()


# --- something is taken away ----------------------------------------------------------------------
def over(qtbot):
    """No run is going on in any thread."""
    qtbot.waitUntil(lambda: QThreadPool.globalInstance().activeThreadCount() == 0, timeout=60_000)
    for _ in range(5):
        QApplication.processEvents()


@pytest.mark.parametrize("stage", ["load", "register", "features", "match"])
def test_cancel_in_every_stage_acts_at_once_and_leaves_the_panel_ready(viewer, heads, qtbot, stage):
    took = []

    def cancel(now, fraction):
        if now == stage and heads.job is not None and heads.job.running:
            start = time.monotonic()
            heads.run_button.click()
            took.append(time.monotonic() - start)

    with qtbot.waitSignal(heads.ended, timeout=120_000):
        heads.run()
        heads.job.advanced.connect(cancel)
        if stage == "load":  # it is the one that a run begins with
            assert heads.progress.format() == "loading the model"
            cancel("load", 0.0)
    assert len(took) == 1
    assert took[0] < 1
    assert heads.job is None
    assert (heads.run_button.text(), heads.run_button.isEnabled()) == ("Run", True)
    assert not heads.progress.isVisible()
    assert not heads.error.text()
    assert [layer.name for layer in viewer.layers] == ["head"]
    over(qtbot)
    assert heads.explanation is None
    if stage == "match":
        run(heads, qtbot)
        assert heads.explanation is not None


def test_the_viewer_is_closed_while_it_runs(viewer, heads, qtbot):
    heads.run()
    job = heads.job
    with qtbot.waitSignal(job.advanced, timeout=60_000):
        pass
    viewer.close()
    assert not job.running
    over(qtbot)


def test_the_dock_is_closed_while_it_runs(viewer, heads, qtbot):
    heads.run()
    job = heads.job
    with qtbot.waitSignal(job.advanced, timeout=60_000):
        pass
    viewer.window.remove_dock_widget(heads)
    assert not job.running
    assert heads.job is None
    over(qtbot)
    assert [layer.name for layer in viewer.layers] == ["head"]
    assert not viewer.keymap


@pytest.mark.parametrize("what", ["deleted", "other data"])
def test_the_image_goes_while_its_own_space_is_on_show(viewer, heads, explanation, what):
    heads.show_explanation(explanation)
    heads.toggle_own_space()
    assert heads.scene.mode == "own"
    layer = viewer.layers["head"]
    if what == "deleted":
        viewer.layers.remove(layer)
    else:
        layer.data = layer.data[::-1].copy()
    QApplication.processEvents()
    assert heads.scene.mode == "grid"
    assert heads.visit.overlay is None
    assert heads.explanation is explanation
    assert all(cell.image.visible for cell in heads.scene.cells)
    # What is there no more is not offered, and asked for all the same, it is one sentence.
    assert not heads.answer.mode_buttons["own"].isEnabled()
    heads.toggle_own_space()
    assert "original image is not open" in heads.error.text()
    assert heads.answer.mode_buttons["grid"].isChecked()
    heads.clear()
    assert [one.name for one in viewer.layers] == ([] if what == "deleted" else ["head"])
    QApplication.processEvents()


def test_the_layer_is_given_other_data_while_it_runs(viewer, panel, qtbot):
    """The answer is about what the layer held then: nothing of it is laid over what it holds
    now."""
    layer = viewer.add_image(square(60), name="scan")
    with qtbot.waitSignal(panel.ended, timeout=60_000):
        panel.run()
        layer.data = square(20)
    assert panel.explanation is not None
    assert not panel.answer.mode_buttons["own"].isEnabled()


def test_a_model_that_was_chosen_answers_when_its_file_is_gone(
    viewer, panel, qtbot, tiny_model_file, tmp_path
):
    viewer.add_image(square(60), name="scan")
    run(panel, qtbot)
    before = panel.explanation
    gone = shutil.copy(tiny_model_file, tmp_path / "gone.safetensors")
    panel.choose_model(str(gone))
    gone.unlink()
    run(panel, qtbot)
    assert panel.explanation is not before
    assert panel.explanation.prediction == before.prediction
    with pytest.raises(ModelError, match=r"gone\.safetensors"):
        panel.choose_model(str(gone))
    assert panel.chooser.loaded.sha256 == before.model_sha256
    run(panel, qtbot)


@pytest.mark.parametrize("name", ["broken.safetensors", "broken.json"])
def test_a_damaged_file_dropped_on_a_result_changes_nothing(
    viewer, heads, explanation, tmp_path, name
):
    heads.show_explanation(explanation)
    heads.toggle_lines()
    heads.scene.set_focus(0, heads.scene.patches[2], pin=True)
    kept = (
        heads.scene,
        heads.scene.mode,
        heads.scene.focus,
        heads.model,
        [layer.name for layer in viewer.layers],
    )
    path = tmp_path / name
    if name.endswith(".json"):
        path = explanation.save(path)
        path.write_text(path.read_text()[:-2000])
    else:
        path.write_bytes(expert.load_model("phantom").path.read_bytes()[:100_000])
    viewer.open(str(path), plugin="napari-expert")
    assert (
        heads.scene,
        heads.scene.mode,
        heads.scene.focus,
        heads.model,
        [l.name for l in viewer.layers],  # noqa: E741
    ) == kept
