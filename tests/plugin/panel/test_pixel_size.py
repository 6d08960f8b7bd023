"""Tests of `napari_expert.panel.pixel_size`."""

from __future__ import annotations

import numpy as np
import pytest

from napari_expert.layer_geometry import volume_from_layer


@pytest.mark.visible
def test_the_pixel_size_of_a_plain_image_is_set_in_the_panel(viewer, image_panel):
    field, fit = image_panel.input.pixel_size, image_panel.input.fit
    layer = viewer.add_image(np.random.default_rng(0).random((64, 64)), name="flat")
    assert field.isVisible()
    assert field.text() == "Pixel size: unknown"
    assert "pixel size unknown" in fit.text()
    zoom = viewer.camera.zoom
    field.setValue(0.25)
    assert viewer.camera.zoom > 2 * zoom  # the smaller image fills the canvas as before
    assert layer.scale.tolist() == [0.25, 0.25]
    assert "0.25 mm" in fit.text()
    volume = volume_from_layer(layer)
    assert volume.spacing_known
    assert volume.spacing == pytest.approx((0.25, 0.25))


@pytest.mark.visible
def test_a_scale_that_is_set_elsewhere_is_noticed(viewer, image_panel):
    layer = viewer.add_image(
        np.random.default_rng(0).random((64, 64)), metadata={"expert_spacing_known": False}
    )
    layer.scale = (0.5, 0.5)
    assert image_panel.input.pixel_size.value() == 0.5
    assert "0.5 mm" in image_panel.input.fit.text()


@pytest.mark.visible
def test_a_volume_has_no_such_field(viewer, panel):
    assert not panel.input.pixel_size.isVisible()
    viewer.add_image(np.zeros((9, 9)), name="flat")
    assert panel.input.pixel_size.isVisible()
    viewer.layers.remove("flat")
    assert not panel.input.pixel_size.isVisible()


def test_the_pixel_size_in_the_file_is_used_and_said(viewer, image_panel, tmp_path):
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 255, (200, 300)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png", dpi=(169, 169))
    Image.fromarray(np.dstack([pixels] * 3)).save(tmp_path / "b.png", dpi=(72, 72))
    (layer,) = viewer.open(str(tmp_path / "a.png"), plugin="napari")
    assert image_panel.input.pixel_size.value() == pytest.approx(0.15, abs=1e-3)
    assert "was read from the PNG file's resolution" in image_panel.input.fit.text()
    assert volume_from_layer(layer).assumed
    (layer,) = viewer.open(str(tmp_path / "b.png"), plugin="napari")
    assert image_panel.input.pixel_size.value() == 0
    assert "72 dpi" in image_panel.input.fit.text()
    image_panel.input.pixel_size.setValue(0.2)
    assert "dpi" not in image_panel.input.fit.text()
    assert volume_from_layer(layer).spacing == pytest.approx((0.2, 0.2))


def test_a_closed_panel_no_longer_follows_the_layer(viewer, image_panel):
    layer = viewer.add_image(np.zeros((9, 9)), name="flat")
    before = len(layer.events.scale.callbacks)
    image_panel.close_down()
    assert len(layer.events.scale.callbacks) == before - 2  # also the line under the image
    layer.scale = (2, 2)
