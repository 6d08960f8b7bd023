"""Tests of `napari_expert.panel.input_section`."""

from __future__ import annotations

import re

import numpy as np
import pytest
from fuzzing.guard import Guard
from helpers.bad_models import bad_model, small_model
from helpers.hostile import HOSTILE, hostile_model
from helpers.window import wait_for_run
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication, QFileDialog, QLabel, QWidget

import expert
from expert.untrusted.text import UNSAFE


@pytest.mark.parametrize(
    ("shape", "rgb", "reason"),
    [
        ((30, 40), False, "3D head"),
        ((20, 30, 3), True, "3D head"),
        ((2, 9, 9, 9), False, "4 axes"),
        ((9, 9, 9, 3), True, "colour"),
        ((9, 9, 9), False, "voxel size"),
    ],
)
def test_a_layer_that_does_not_fit_is_told_at_once(viewer, panel, shape, rgb, reason):
    viewer.add_image(np.random.default_rng(0).random(shape), rgb=rgb, name="odd")
    panel.input.layer_box.setCurrentIndex(panel.input.layer_box.findText("odd"))
    assert reason in panel.input.fit.text()
    assert not panel.runs.button.isEnabled()


def test_a_file_that_is_no_model_changes_nothing(panel, tmp_path):
    path = tmp_path / "text.safetensors"
    path.write_text("no model")
    with pytest.raises(expert.ModelError):
        panel.input.choose_model(str(path))
    assert panel.input.model == "phantom"


def test_layers_come_and_go_in_the_list(viewer, panel):
    viewer.add_image(np.zeros((9, 9)), name="a")
    viewer.layers["a"].name = "b"
    names = [panel.input.layer_box.itemText(n) for n in range(panel.input.layer_box.count())]
    assert names == ["head", "b"]
    viewer.layers.clear()
    assert panel.input.layer_box.count() == 0
    assert "Open an image" in panel.input.fit.text()
    assert not panel.runs.button.isEnabled()


@pytest.mark.visible
def test_2_the_panel_says_at_once_whether_the_layer_fits(viewer, panel):
    assert "will be registered" in panel.input.fit.text()
    card = panel.input.card.text()
    for part in ("age in years", "trained on 180 subjects", "mean error", "needs a T1 volume"):
        assert part in card
    viewer.add_image(np.random.default_rng(0).random((30, 40)), name="flat")
    assert panel.input.layer.name == "flat"
    assert "3D head" in panel.input.fit.text()
    assert not panel.runs.button.isEnabled()


def test_the_panel_opens_no_connection(viewer, dock, tmp_path, qtbot):
    guard, pixels = Guard(), np.random.default_rng(3).integers(20, 220, (32, 32)).astype(np.uint8)
    with guard.watching(tmp_path) as events:
        panel = dock(viewer, model=small_model(tmp_path))
        viewer.add_image(pixels, name="square")
        panel.input.pixel_size.setValue(1.0)
        wait_for_run(panel, qtbot)
    assert panel.explanation is not None
    network = ("socket.connect", "socket.getaddrinfo", "socket.sendto", "urllib.", "webbrowser.")
    assert not [one for one in events if one.startswith(network)]


def test_texts_of_models_and_files_are_never_formatted(viewer, dock, tmp_path, qtbot):
    """Qt would load images that an HTML text names, also from a server."""
    panel = dock(viewer, model=hostile_model(tmp_path))
    pixels = np.random.default_rng(3).integers(20, 220, (32, 32)).astype(np.uint8)
    viewer.add_image(pixels, name=HOSTILE, metadata={})
    panel.input.pixel_size.setValue(1.0)
    wait_for_run(panel, qtbot)
    panel.runs.show_error(HOSTILE)
    labels, texts = panel.findChildren(QLabel), []
    for label in labels:
        texts += [label.text(), label.toolTip()]
        if label.textFormat() != Qt.TextFormat.PlainText:
            assert not re.search("<(img|script)", label.text())
    assert any("<img" in text for text in texts)
    for widget in panel.findChildren(QWidget):
        tip = widget.toolTip()
        assert not (Qt.mightBeRichText(tip) and "img" in tip), tip
    for text in texts:
        assert not UNSAFE.search(text.replace("\n", "")), text


@pytest.mark.parametrize("name", ["no convolution", "network of 150 GB"])
def test_weights_that_do_not_fit_are_one_sentence(viewer, dock, tmp_path, qtbot, name):
    panel = dock(viewer, model=bad_model(tmp_path, small_model(tmp_path), name))
    viewer.add_image(np.random.default_rng(3).random((32, 32)), name="square")
    panel.input.pixel_size.setValue(1.0)
    with qtbot.waitSignal(panel.runs.ended, timeout=60_000):
        panel.runs.button.click()
    assert "its weights do not fit the architecture" in panel.runs.error.text()
    assert panel.explanation is None


def test_a_damaged_explanation_is_one_sentence(panel, tmp_path):
    path = tmp_path / "e.json"
    path.write_text('{"schema_version": 1, "views": []}')
    panel.runs.attempt(lambda: panel.open_explanation(path))
    assert "e.json is not an explanation saved by napari-expert" in panel.runs.error.text()
    assert panel.explanation is None


@pytest.mark.visible
def test_the_window_is_closed_while_a_model_file_is_chosen(viewer, panel, qtbot):
    from napari_expert.panel.input_section import OPEN

    closed = []

    def close():
        closed.append(QApplication.activeModalWidget())
        viewer.close()

    QTimer.singleShot(500, close)
    panel.input.model_box.setCurrentText(OPEN)
    with qtbot.captureExceptions() as raised:
        panel.input.model_box.activated.emit(panel.input.model_box.currentIndex())
    assert not raised
    assert isinstance(closed[0], QFileDialog)
