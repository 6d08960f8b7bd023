"""The viewer before a scene came, so that it can be given back as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.components import ViewerModel


class Stage:
    """Remembers visibility, selection, grid, background, camera and sliders of a viewer.

    Parameters
    ----------
    viewer : only its public members are used
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self.viewer = viewer
        grid = viewer.canvas.grid
        self.visible = [(layer, layer.visible) for layer in viewer.layers]
        self.selection = set(viewer.layers.selection)
        self.grid = (grid.enabled, grid.stride, grid.shape, grid.spacing)
        self.background = viewer.canvas.background_color_override
        self.view = self.take_view()

    def add_new(self, ours: str) -> None:
        """Layers the user opened since: shown before, hidden while the scene is on show. `ours`
        marks those that are not."""
        known = {layer for layer, _ in self.visible}
        fresh = [
            layer
            for layer in self.viewer.layers
            if layer not in known and ours not in layer.metadata
        ]
        self.visible += [(layer, layer.visible) for layer in fresh]

    def take_view(self) -> dict[str, Any]:
        """Camera and sliders as they are now."""
        camera, dims = self.viewer.scene.camera, self.viewer.dims
        return {
            "camera": (camera.center, camera.zoom, camera.angles),
            "dims": (dims.ndisplay, dims.order, dims.point),
        }

    def show_own(self) -> None:
        """The user's own layers as they were, without grid; the scene's layers are the scene's
        business."""
        for layer, visible in self.visible:
            layer.visible = visible
        self.viewer.canvas.grid.enabled = False
        self.viewer.canvas.background_color_override = self.background

    def put_view(self, view: dict[str, Any] | None = None) -> None:
        """Camera and sliders as they were."""
        dims, camera = self.viewer.dims, self.viewer.scene.camera
        ndisplay, order, point = (view or self.view)["dims"]
        dims.ndisplay = ndisplay
        if len(order) == dims.ndim:
            dims.order, dims.point = order, point
        camera.center, camera.zoom, camera.angles = (view or self.view)["camera"]

    def put_back(self) -> None:
        """Everything as it was."""
        viewer = self.viewer
        grid = viewer.canvas.grid
        grid.enabled, grid.stride, grid.shape, grid.spacing = self.grid
        self.show_own()
        grid.enabled = self.grid[0]
        viewer.layers.selection = {layer for layer in self.selection if layer in viewer.layers}
        self.put_view()
