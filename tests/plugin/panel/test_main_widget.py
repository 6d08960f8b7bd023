"""The plugin in a real window: reading, running, looking, cancelling, and leaving nothing
behind."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from helpers.refusals import REASON
from helpers.window import over, run_without_error, square, state, wait_for_run, words_of
from napari.layers import Image, Shapes, Vectors
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QDockWidget

from expert.errors import ModelError
from expert.schema import RESEARCH_USE
from napari_expert.layer_geometry import layer_arguments
from napari_expert.panel.main_widget import ExpertWidget


def test_run_shows_the_answer_and_its_reasons(viewer, panel, qtbot):
    assert panel.runs.button.isEnabled()
    assert "will be registered" in panel.input.fit.text()
    wait_for_run(panel, qtbot)
    result = panel.explanation
    assert f"{result.prediction:.1f} years" in panel.result.headline.text()
    assert abs(result.prediction - 72) < 8
    ours = [layer for layer in viewer.layers if layer.name != "head"]
    assert [type(layer) for layer in ours[-3:]] == [Image, Vectors, Shapes]
    assert len(viewer.layers) == 1 + 3 * 4
    assert viewer.canvas.grid.enabled
    assert not viewer.layers["head"].visible
    assert panel.result.table.rowCount() >= 20
    assert panel.result.summary.text() == result.summary != ""
    assert panel.result.color_bar.limit > 0
    boxes = panel.result_layers.tiles[-1].boxes
    assert {"1", "2", "6", "R", "L"} <= set(boxes.features["text"])
    statement = [label.text() for label in panel.findChildren(type(panel.runs.error))]
    assert RESEARCH_USE in statement


def test_a_refused_head_leaves_no_result_and_can_be_forced(
    viewer, panel, explanation, heads_refused, qtbot
):
    panel.show_explanation(explanation)
    assert panel.result.isVisibleTo(panel)
    wait_for_run(panel, qtbot)
    assert panel.runs.error.text() == REASON
    assert panel.explanation is None
    assert not panel.result.isVisibleTo(panel)
    assert [layer.name for layer in viewer.layers] == ["head"]
    assert viewer.layers["head"].visible
    assert panel.runs.force_button.isVisibleTo(panel)
    with qtbot.waitSignal(panel.ended, timeout=120_000):
        panel.runs.force_button.click()
    assert panel.explanation.forced == REASON
    assert not panel.runs.error.text()
    assert not panel.runs.force_button.isVisibleTo(panel)
    result = panel.result
    assert result.forced.isVisibleTo(panel)
    assert REASON in result.forced.text()
    column = result.layout()
    assert column.indexOf(result.forced) < column.indexOf(result.headline)
    assert "forced" in "".join(map(str, panel.result_layers.tiles[0].boxes.features["text"]))
    panel.show_explanation(explanation)
    assert not result.forced.isVisibleTo(panel)
    wait_for_run(panel, qtbot)
    assert panel.explanation is None, "the next run is not forced"
    viewer.add_image(np.zeros((5, 5, 5)), name="other")
    panel.input.layer_box.setCurrentIndex(panel.input.layer_box.findText("other"))
    assert not panel.runs.force_button.isVisibleTo(panel)


def test_the_chosen_image_stays_chosen_when_the_result_is_removed(viewer, panel, explanation):
    panel.show_explanation(explanation)
    viewer.add_image(np.zeros((5, 5, 5)), name="other")
    assert panel.input.layer.name == "other"
    panel.clear()
    assert [layer.name for layer in viewer.layers] == ["head", "other"]
    assert panel.input.layer.name == "other"


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


def test_a_model_of_plain_images(viewer, tiny_model_file, qtbot):
    image = np.zeros((32, 32), dtype=np.uint8)
    image[6:26, 6:26] = 120
    image[0, :2] = 255
    viewer.add_image(image, name="square")
    widget = ExpertWidget(viewer)
    viewer.window.add_dock_widget(widget, name="ExPeRT")
    widget.input.choose_model(str(tiny_model_file))
    wait_for_run(widget, qtbot)
    assert widget.explanation.unit == "points"
    assert len(viewer.layers) == 1 + 3 * 4
    assert "this image" in "".join(map(str, widget.result_layers.tiles[0].boxes.features["text"]))
    widget.close_down()


@pytest.mark.visible
def test_every_control_has_a_name_for_screen_readers_and_the_tab_key_goes_down(shown):
    from qtpy.QtWidgets import QAbstractButton, QAbstractSpinBox, QComboBox, QTableWidget

    controls = [
        w
        for kind in (QComboBox, QTableWidget, QAbstractSpinBox, QAbstractButton)
        for w in shown.findChildren(kind)
        if w.isVisibleTo(shown)
        and w.focusPolicy() & Qt.FocusPolicy.TabFocus
        and not w.objectName().startswith("qt_")
    ]
    assert len(controls) > 8
    for control in controls:
        assert control.accessibleName() or getattr(control, "text", str)(), control
    order, widget = [], shown.input.model_box
    while widget not in order:
        order.append(widget)
        widget = widget.nextInFocusChain()
    wanted = [
        shown.input.model_box,
        shown.input.layer_box,
        shown.input.prototypes.native,
        shown.runs.button,
        shown.result.view_box,
        shown.result.table,
    ]
    places = [order.index(w) for w in wanted]
    assert places == sorted(places)


@pytest.mark.visible
def test_the_panel_scrolls_at_1280_by_720(viewer, shown):
    QApplication.processEvents()
    assert viewer.window._qt_window.height() <= 720
    assert viewer.canvas.size[1] >= 500
    assert shown.scroll_area.verticalScrollBar().maximum() > 0
    assert shown.scroll_area.horizontalScrollBar().maximum() == 0


@pytest.mark.visible
@pytest.mark.parametrize(
    ("scale", "units", "size", "fit"),
    [
        ((1, 1), ("pixel", "pixel"), 32, "pixel size unknown"),
        ((1, 1), ("pixel", "pixel"), 1024, "pixel size unknown"),
        ((0.5, 0.5), ("mm", "mm"), 64, "64×64, 0.5 mm"),
    ],
)
def test_an_image_is_explained_without_letters_and_millimetres(
    viewer, image_panel, qtbot, scale, units, size, fit
):
    viewer.add_image(square(60, size), name="scan", scale=scale, units=units)
    assert fit in image_panel.input.fit.text()
    run_without_error(image_panel, qtbot)
    e, drawn = image_panel.explanation, image_panel.result_layers
    assert f"{e.prediction:.1f} points" in image_panel.result.headline.text()
    assert any(notice.code == "spacing_unknown" for notice in e.warnings) == ("unknown" in fit)
    assert len(viewer.layers) == 1 + 3 * 4
    words = words_of(image_panel)
    assert "\n1, 2\n" in words or "\n2, 2\n" in words
    assert not image_panel.result.summary.text()
    for wrong in (" mm", "left", "radiological", "brain", "commissure"):
        assert wrong not in words.replace("top left", "")
    assert not {"R", "L", "A", "P"} & {str(word) for word in drawn.tiles[0].boxes.features["text"]}
    assert not image_panel.result.form.isRowVisible(image_panel.result.view_box)
    # The title is above the image, and the image fills its tile, whatever a pixel's size
    # is.
    rows = drawn.tiles[0].image.data.shape[0]
    title = next(
        c
        for c, w in zip(
            drawn.tiles[0].boxes.data, drawn.tiles[0].boxes.features["text"], strict=True
        )
        if "·" in w
    )
    height = viewer.canvas.viewbox_size(viewer.layers)[0]
    pixels = rows * drawn.tiles[0].image.scale[0] * viewer.scene.camera.zoom
    assert -0.1 * rows < title.mean(axis=0)[0] < -0.03 * rows
    assert pixels > 0.6 * min(height, viewer.canvas.viewbox_size(viewer.layers)[1])


@pytest.mark.visible
def test_the_viewer_is_closed_while_it_runs(viewer, panel, qtbot):
    panel.run()
    job = panel.job
    with qtbot.waitSignal(job.advanced, timeout=60_000):
        pass
    viewer.close()
    assert not job.running
    over(qtbot)


@pytest.mark.visible
def test_the_dock_is_closed_while_it_runs(viewer, panel, qtbot):
    panel.run()
    job = panel.job
    with qtbot.waitSignal(job.advanced, timeout=60_000):
        pass
    viewer.window.remove_dock_widget(panel)
    assert not job.running
    assert panel.job is None
    over(qtbot)
    assert [layer.name for layer in viewer.layers] == ["head"]
    assert not viewer.keymap


@pytest.mark.visible
def test_a_model_that_was_chosen_answers_when_its_file_is_gone(
    viewer, image_panel, qtbot, tiny_model_file, tmp_path
):
    viewer.add_image(square(60), name="scan")
    run_without_error(image_panel, qtbot)
    before = image_panel.explanation
    gone = shutil.copy(tiny_model_file, tmp_path / "gone.safetensors")
    image_panel.input.choose_model(str(gone))
    gone.unlink()
    run_without_error(image_panel, qtbot)
    assert image_panel.explanation is not before
    assert image_panel.explanation.prediction == before.prediction
    with pytest.raises(ModelError, match=r"gone\.safetensors"):
        image_panel.input.choose_model(str(gone))
    assert image_panel.input.loaded.sha256 == before.model_sha256
    run_without_error(image_panel, qtbot)


@pytest.mark.visible
def test_a_run_shows_slices_of_the_head_and_of_its_prototypes(volume_panel, viewer, qtbot):
    assert "will be registered" in volume_panel.input.fit.text()
    with qtbot.waitSignal(volume_panel.ended, timeout=120_000):
        volume_panel.run()
    e, session = volume_panel.explanation, volume_panel.session
    assert (len(e.view_shape), len(e.views)) == (3, 1)
    assert f"{e.prediction:.1f} years" in volume_panel.result.headline.text()
    assert len(viewer.layers) == 1 + 3 * 4
    box_ = volume_panel.result.view_box
    assert (
        box_.count()
        == len(session.board.planes)
        == np.count_nonzero(e.views[0].image.any(axis=(1, 2)))
    )
    assert {box_.itemText(n) for n in range(box_.count())} == {
        plane.name for plane in session.board.planes
    }


def test_a_result_says_what_it_is_of_and_when_it_is_outdated(viewer, shown, qtbot):
    result, label = shown.result, shown.result.subject
    assert label.text() == "head · phantom 1"
    assert result.headline.isEnabled()

    shown.input.choose_model("ixi-axial")
    assert label.text() == ("This is the result of the model phantom, not of the one chosen above.")
    assert not result.headline.isEnabled()
    shown.input.choose_model("phantom")
    assert label.text() == "head · phantom 1"

    viewer.add_image(np.zeros((20, 20, 20)), name="another")
    assert "the result of head, not of the image chosen above" in label.text()
    viewer.layers.remove("another")
    assert result.headline.isEnabled()

    shown.run()
    assert "A new run is in progress" in label.text()
    with qtbot.waitSignal(shown.ended, timeout=60_000):
        shown.run_or_cancel()
    assert label.text() == "head · phantom 1"


@pytest.mark.visible
def test_the_panel_is_never_too_narrow_to_be_read(viewer, empty_panel):
    dock = empty_panel.parentWidget()
    while not isinstance(dock, QDockWidget):
        dock = dock.parentWidget()
    dock.parentWidget().resizeDocks([dock], [60], Qt.Orientation.Horizontal)
    QApplication.processEvents()
    assert empty_panel.width() >= 330


def test_a_result_whose_image_is_removed_is_outdated(viewer, shown):
    viewer.layers.remove("head")
    assert shown.result.subject.text() == (
        "The image of this result is not open, or was changed after the run."
    )
    assert not shown.result.headline.isEnabled()


def test_a_result_whose_image_gets_another_voxel_size_is_outdated(viewer, shown, tmp_path):
    head = viewer.layers["head"]
    head.translate = (5, 5, 5)
    shown.session.show_mode("native")
    assert shown.result.headline.isEnabled()
    head.scale = (2, 2, 5)
    assert "was changed after the run" in shown.result.subject.text()
    assert not shown.result.headline.isEnabled()
    assert shown.session.mode == "grid"
    assert "2×2×5 mm" in shown.input.fit.text()
    shown.save("layers", tmp_path / "wrong.nii.gz")
    assert "not open" in shown.runs.error.text()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("what", ["scale", "pixel size"])
def test_an_image_that_changes_during_the_run_is_not_the_explained_one(
    viewer, image_panel, qtbot, what
):
    layer = viewer.add_image(square(60), name="scan", scale=(0.5, 0.5), units=("mm", "mm"))
    with qtbot.waitSignal(image_panel.ended, timeout=120_000):
        image_panel.run()
        if what == "scale":
            layer.scale = (0.7, 0.7)
        else:
            image_panel.input.pixel_size.setValue(0.7)
    assert image_panel.explanation is not None
    assert image_panel.session.source is None
    assert "was changed after the run" in image_panel.result.subject.text()
    run_without_error(image_panel, qtbot)
    assert image_panel.session.source == layer


class Gone:
    """An array whose file was on a network share that is gone: its pixels cannot be read."""

    shape, dtype, ndim = (20, 20, 20), np.dtype(np.float32), 3

    def __init__(self):
        self.there = True

    def __getitem__(self, place):
        if not self.there:
            raise OSError(5, "Input/output error")
        return np.random.default_rng(0).random(self.shape, np.float32)[place]

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self[...], dtype)


def test_pixels_that_cannot_be_read_any_more_are_one_sentence(viewer, shown, explanation, qtbot):
    import dask.array

    share = Gone()
    lazy = dask.array.from_array(share, chunks=(20, 20, 20))
    viewer.add_image(lazy, name="far <b>away</b>", contrast_limits=(0, 1))
    share.there = False
    shown.run()
    text = shown.runs.error.text()
    assert "could not be read" in text
    assert "Input/output error" in text
    assert "Traceback" not in text
    assert "OSError" not in text
    assert shown.explanation is explanation
    assert (shown.job, shown.runs.button.text()) == (None, "Run")
    shown.input.choose_layer(viewer.layers["head"])
    run_without_error(shown, qtbot)
