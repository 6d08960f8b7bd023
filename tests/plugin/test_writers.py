"""Tests of `napari_expert.writers`."""

from __future__ import annotations

import numpy as np
import pytest

import expert
from expert.errors import InputError
from napari_expert import writers


@pytest.mark.parametrize("ending", [".json", ".html"])
def test_the_layers_of_a_result_are_saved_as_what_they_show(
    viewer, empty_panel, explanation, tmp_path, ending
):
    empty_panel.show_explanation(explanation)
    path = tmp_path / f"r{ending}"
    assert viewer.layers.save(str(path)) == [str(path)]
    if ending == ".json":
        assert expert.Explanation.load(path).prediction == explanation.prediction
    else:
        assert expert.schema.RESEARCH_USE in path.read_text()


def test_other_layers_are_not_saved_as_an_explanation(viewer, tmp_path):
    viewer.add_image(np.zeros((8, 8)))
    viewer.add_shapes([[[0, 0], [4, 4]]], shape_type="line")
    viewer.add_vectors(np.zeros((1, 2, 2)))
    with pytest.raises(InputError, match="show no explanation"):
        viewer.layers.save(str(tmp_path / "x.json"))
    assert not (tmp_path / "x.json").exists()


def test_the_scene_is_recognised_by_its_layers(viewer, empty_panel, explanation):
    empty_panel.show_explanation(explanation)
    assert any(writers.OURS in layer.metadata for layer in viewer.layers)
    kinds = {layer.as_layer_data_tuple()[2] for layer in viewer.layers}
    assert {"image", "shapes", "vectors"} <= kinds


def test_with_two_windows_each_saves_its_own_result(
    make_napari_viewer_proxy, dock, explanation, tmp_path
):
    viewers = [make_napari_viewer_proxy(show=False) for _ in range(2)]
    predictions = (40.0, 50.0)
    for viewer, prediction in zip(viewers, predictions, strict=True):
        dock(viewer).show_explanation(explanation.model_copy(update={"prediction": prediction}))
    for number, (viewer, prediction) in enumerate(zip(viewers, predictions, strict=True)):
        path = tmp_path / f"{number}.json"
        assert viewer.layers.save(str(path)) == [str(path)]
        assert expert.Explanation.load(path).prediction == prediction
