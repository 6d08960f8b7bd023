"""Fixtures of the plugin's tests: a viewer, and panels with different models and layers."""

from __future__ import annotations

from pathlib import Path

import pytest

from expert.model_file import SHIPPED


@pytest.fixture
def viewer(request, make_napari_viewer_proxy):
    """A napari viewer; its window is open where the test is marked `visible`."""
    visible = request.node.get_closest_marker("visible") is not None
    return make_napari_viewer_proxy(show=visible)


@pytest.fixture
def empty_panel(viewer, dock):
    """The panel with the embedded model, and no layer."""
    return dock(viewer)


@pytest.fixture
def panel(request, viewer, dock, head):
    """The panel with the embedded model and a head."""
    widget = dock(viewer, head)
    if request.node.get_closest_marker("visible") is not None:
        viewer.window.resize(1280, 720)
    return widget


@pytest.fixture
def image_panel(viewer, dock, tiny_model_file):
    """The panel with a model of plain 2D images, and no layer."""
    return dock(viewer, model=tiny_model_file)


@pytest.fixture
def volume_panel(viewer, dock, head, volume_model_file):
    """The panel with a model of whole 3D heads, and a head."""
    return dock(viewer, head, volume_model_file)


@pytest.fixture
def shown(panel, explanation):
    """The panel that shows the explanation of the embedded model."""
    from qtpy.QtWidgets import QApplication

    panel.show_explanation(explanation)
    QApplication.processEvents()
    return panel


@pytest.fixture
def volume_shown(volume_panel, volume_explanation):
    """The panel that shows the explanation of the model of whole 3D heads."""
    from qtpy.QtWidgets import QApplication

    volume_panel.show_explanation(volume_explanation)
    QApplication.processEvents()
    return volume_panel


@pytest.fixture
def saved(explanation, tmp_path) -> Path:
    return explanation.save(tmp_path / "e.json")


@pytest.fixture
def model_file(tmp_path) -> Path:
    """The embedded model under another name, as somebody would send it."""
    path = tmp_path / "theirs.safetensors"
    path.write_bytes((SHIPPED / "phantom.safetensors").read_bytes())
    return path
