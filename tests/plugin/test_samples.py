"""Tests of `napari_expert.samples`."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.window import notifications

import expert
from expert.datasets.prototype_images import SAMPLE, SAMPLE_AGE, find_reference
from expert.errors import InputError
from expert.model_file import load_model, shipped_models
from napari_expert.layer_geometry import MODEL
from napari_expert.panel.main_widget import ExpertWidget
from napari_expert.panel.settings import Settings


def test_the_real_head_opens_from_the_data_folder(viewer, ixi, monkeypatch):
    monkeypatch.setenv("EXPERT_DATA_DIR", str(ixi.parent))
    if find_reference(SAMPLE)[0] is None:
        pytest.skip("the sample head is not among the IXI heads at hand")
    (layer,) = viewer.open_sample("napari-expert", "ixi")
    assert layer.data.ndim == 3
    assert layer.metadata["age_years"] == SAMPLE_AGE
    assert "CC BY-SA 3.0" in layer.metadata["licence"]
    assert layer.metadata["source"].startswith("https://")
    assert "CC BY-SA 3.0" in notifications()[-1]
    panel = ExpertWidget(viewer)
    assert "will be registered" in panel.input.fit.text()
    panel.close_down()


def test_offline_the_real_head_is_one_clear_sentence(viewer, empty_cache):
    with pytest.raises(InputError) as caught:
        viewer.open_sample("napari-expert", "ixi")
    message = str(caught.value)
    assert "could not be downloaded" in message
    assert "network" in message
    assert "EXPERT_DATA_DIR" in message
    assert message.count(". ") == 0
    assert len(viewer.layers) == 0
    assert {path.suffix for path in empty_cache.rglob("*") if path.is_file()} == {".lock"}


def test_the_real_head_is_not_its_own_prototype():
    for name in shipped_models():
        shown = {
            prototype.reference.sha256
            for prototype in load_model(name).info.prototypes
            if prototype.reference
        }
        assert SAMPLE.sha256 not in shown


def test_sample_data_open(viewer):
    viewer.open_sample("napari-expert", "phantom-55")
    assert "55" in viewer.layers[0].name


def test_a_synthetic_sample_is_shown_with_its_own_model(viewer, dock):
    panel = dock(viewer, model=expert.DEFAULT_MODEL)
    viewer.open_sample("napari-expert", "phantom-55")
    assert panel.input.model == "phantom"
    assert panel.input.preferred == Settings.load().model == expert.DEFAULT_MODEL
    viewer.add_image(np.zeros((20, 20, 20)), name="own")
    assert panel.input.layer.name == "own"
    assert panel.input.model == expert.DEFAULT_MODEL
    viewer.layers.selection.active = viewer.layers[0]
    assert panel.input.model == "phantom"
    panel.input.choose_model("ixi-axial")  # the user's choice holds
    viewer.layers.selection.active = viewer.layers["own"]
    assert panel.input.model == "ixi-axial"
    unknown = viewer.add_image(np.zeros((20, 20, 20)), metadata={MODEL: "nobody's"})
    assert panel.input.layer == unknown
    assert panel.input.model == "ixi-axial"
