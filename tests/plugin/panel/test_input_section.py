"""Tests of `napari_expert.panel.input_section`."""

from __future__ import annotations

import numpy as np
import pytest

import expert


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
