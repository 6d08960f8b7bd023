"""Tests of `napari_expert.canvas.result_view`: the canvas follows the session."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from expert.errors import InputError
from expert.patches import display
from napari_expert.canvas.result_view import ResultView
from napari_expert.layer_geometry import layer_arguments
from napari_expert.session import Session


@pytest.fixture
def viewer_model(head):
    """A viewer without a window, with the head."""
    viewer = ViewerModel()
    data, arguments = layer_arguments(head)
    viewer.add_image(data, **arguments, name="head")
    return viewer


@pytest.fixture
def view(viewer_model):
    return ResultView(viewer_model, Session())


def test_a_result_comes_and_goes(view, viewer_model, explanation):
    view.session.show(explanation, viewer_model.layers["head"])
    assert len(viewer_model.layers) == 1 + 3 * 4
    assert not viewer_model.layers["head"].visible
    view.session.clear()
    assert [layer.name for layer in viewer_model.layers] == ["head"]
    assert viewer_model.layers["head"].visible
    assert view.layers is None


def test_an_explanation_that_fits_is_shown_in_the_layers_that_are_there(view, explanation):
    view.session.show(explanation)
    layers = list(view.viewer.layers)
    view.session.show(explanation.model_copy(update={"prediction": 50.0}))
    assert list(view.viewer.layers) == layers
    view.session.show_top(2)
    assert len(view.viewer.layers) == 1 + 3 * 3


def test_the_plane_of_the_session_is_drawn(view, explanation):
    view.session.show(explanation)
    for number in (0, 4):
        view.session.show_plane(number)
        np.testing.assert_array_equal(
            view.layers.tiles[0].image.data,
            display(view.session.board.image(0, view.session.plane), True),
        )


def test_native_space_needs_the_original_image(view, viewer_model, explanation):
    view.session.show(explanation)
    with pytest.raises(InputError, match="not open"):
        view.session.show_mode("native")
    view.session.set_source(viewer_model.layers["head"])
    view.session.show_mode("native")
    assert view.overlay is not None
    assert viewer_model.layers["head"].visible
    assert not view.layers.tiles[0].image.visible
    view.session.show_mode("grid")
    assert view.overlay is None
    assert view.layers.tiles[0].image.visible


@pytest.mark.parametrize("what", ["removed", "other data"])
def test_native_space_ends_with_the_original_image(view, viewer_model, explanation, what):
    head = viewer_model.layers["head"]
    view.session.show(explanation, head)
    view.session.show_mode("native")
    if what == "removed":
        viewer_model.layers.remove(head)
    else:
        head.data = np.zeros_like(np.asarray(head.data))
    assert view.session.source is None
    assert view.session.mode == "grid"
    assert view.overlay is None
    assert view.layers is not None


def test_a_deleted_layer_clears_the_result(view, viewer_model, explanation):
    view.session.show(explanation, viewer_model.layers["head"])
    viewer_model.layers.remove(view.layers.tiles[1].boxes)
    assert view.session.board is None
    assert [layer.name for layer in viewer_model.layers] == ["head"]
