"""State of the viewer around a result.

Its state before, so that it can be restored; the camera that shows all tiles; the slider that
follows the plane.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_expert.layer_geometry import OURS

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

Extent = tuple[np.ndarray, np.ndarray]
"""World coordinates (row, column) of an upper left and a lower right corner."""


def common_units(viewer: ViewerModel) -> tuple[str, str]:
    """Units for the layers of a result.

    If one layer is in pixels and others are in mm, napari drops the units of all of them.
    """
    own = [layer for layer in viewer.layers if OURS not in layer.metadata]
    plain = any(str(unit) == "pixel" for layer in own for unit in layer.units)
    return ("pixel", "pixel") if plain else ("mm", "mm")


class ViewerState:
    """Stores visibility, selection, grid, background, camera and sliders of a viewer.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Only its public members are used.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self.viewer = viewer
        grid = viewer.canvas.grid
        self.visible = [(layer, layer.visible) for layer in viewer.layers]
        self.selection = set(viewer.layers.selection)
        self.grid = (grid.enabled, grid.stride, grid.shape, grid.spacing)
        self.background = viewer.canvas.background_color_override
        self.view = self.current_view()

    def add_new_layers(self) -> None:
        """Include layers that the user opened since: visible before, hidden beside the result."""
        known = {layer for layer, _ in self.visible}
        for layer in self.viewer.layers:
            if layer not in known and OURS not in layer.metadata:
                self.visible.append((layer, layer.visible))

    def hide_layers(self) -> None:
        """Hide the user's own layers."""
        for layer, _ in self.visible:
            layer.visible = False

    def show_layers(self) -> None:
        """Show the user's own layers as they were, without grid."""
        for layer, visible in self.visible:
            layer.visible = visible
        self.viewer.canvas.grid.enabled = False
        self.viewer.canvas.background_color_override = self.background

    def current_view(self) -> dict[str, Any]:
        """Camera and sliders as they are now."""
        camera, dims = self.viewer.scene.camera, self.viewer.dims
        return {
            "camera": (camera.center, camera.zoom, camera.angles),
            "dims": (dims.ndisplay, dims.order, dims.point),
        }

    def restore_view(self, view: dict[str, Any] | None = None) -> None:
        """Set camera and sliders as they were (before the result, if no `view` is given)."""
        dims, camera = self.viewer.dims, self.viewer.scene.camera
        ndisplay, order, point = (view or self.view)["dims"]
        dims.ndisplay = ndisplay
        if len(order) == dims.ndim:
            dims.order, dims.point = order, point
        camera.center, camera.zoom, camera.angles = (view or self.view)["camera"]

    def restore(self) -> None:
        """Set everything as it was."""
        viewer = self.viewer
        grid = viewer.canvas.grid
        grid.enabled, grid.stride, grid.shape, grid.spacing = self.grid
        self.show_layers()
        grid.enabled = self.grid[0]
        viewer.layers.selection = {layer for layer in self.selection if layer in viewer.layers}
        self.restore_view()


# --- layers and canvas ----------------------------------------------------------------------------
def show_flat(viewer: ViewerModel) -> None:
    """Show the last two axes on black."""
    if viewer.dims.ndisplay != 2:
        viewer.dims.ndisplay = 2
    viewer.dims.order = tuple(range(viewer.dims.ndim))
    viewer.canvas.background_color_override = "black"


def draw_once(viewer: ViewerModel) -> None:
    """Draw the canvas now.

    napari 0.9 crashes (without a graphics card) where layers go that were never drawn.
    """
    if draw := getattr(viewer, "screenshot", None):
        draw(flash=False)


def remove_layers(viewer: ViewerModel, layers: Iterable[Layer]) -> None:
    """Remove layers, as far as they are there, and switch the grid off.

    The grid goes first: napari 0.9 makes its boxes anew with every layer that goes, and may then
    draw what is gone.
    """
    viewer.canvas.grid.enabled = False
    with viewer.layers.batched_update():  # else napari collects garbage after each of them
        for layer in layers:
            if layer in viewer.layers:
                viewer.layers.remove(layer)


# --- camera ---------------------------------------------------------------------------------------
def best_grid(canvas: tuple[int, ...], extent: Extent, count: int) -> tuple[int, int]:
    """Rows and columns that show tiles largest.

    Parameters
    ----------
    canvas : tuple of int
        Height and width in pixels.
    extent : Extent
        Of one tile with its title.
    count : int
        Number of tiles.

    Returns
    -------
    tuple of int
        Rows and columns.
    """
    height, width = canvas
    tall, wide = extent[1] - extent[0]

    def zoom(columns: int) -> float:
        return float(min(height / -(-count // columns) / tall, width / columns / wide))

    columns = max(range(1, count + 1), key=zoom)
    return -(-count // columns), columns


def fitted_zoom(viewer: ViewerModel, extent: Extent) -> float:
    """Camera zoom at which an extent just fits into a box of the canvas."""
    size = np.array(viewer.canvas.viewbox_size(viewer.layers))
    return float((size / (extent[1] - extent[0])).min())


def frame(viewer: ViewerModel, extent: Extent, zoom: float = 1.0) -> None:
    """Point the camera at an extent, `zoom` times as large as fits."""
    camera = viewer.scene.camera
    camera.angles = (0, 0, 90)
    camera.center = (0.0, *(extent[0] + extent[1]) / 2)
    camera.zoom = fitted_zoom(viewer, extent) * zoom


# --- slider ---------------------------------------------------------------------------------------
class PlaneSlider:
    """Keeps napari's first slider and the plane shown at the same height.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        With the slider.
    heights : numpy.ndarray or None
        World coordinate of each plane along the first axis; None where there is none.
    on_plane : callable
        Called with a plane's number when the slider moved.
    """

    def __init__(
        self, viewer: ViewerModel, heights: np.ndarray | None, on_plane: Callable[[int], None]
    ) -> None:
        self._viewer, self.heights, self._on_plane = viewer, heights, on_plane
        self.paused = False
        viewer.dims.events.point.connect(self._moved)

    def disconnect(self) -> None:
        """Stop listening to the slider."""
        self._viewer.dims.events.point.disconnect(self._moved)

    def _active(self) -> bool:
        return self.heights is not None and self._viewer.dims.ndim == 3 and not self.paused

    def go_to(self, number: int) -> None:
        """Move the slider to a plane."""
        if self._active() and self.heights is not None:
            self.paused = True
            self._viewer.dims.set_point(0, float(self.heights[number]))
            self.paused = False

    def _moved(self) -> None:
        if self._active() and self.heights is not None:
            self.paused = True
            self._on_plane(int(np.abs(self.heights - self._viewer.dims.point[0]).argmin()))
            self.paused = False
