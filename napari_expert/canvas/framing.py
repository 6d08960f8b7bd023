"""How large the pictures of a scene are shown: the grid's shape and the camera."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_expert.canvas.picture_layers import MARGIN, TITLE

if TYPE_CHECKING:
    from napari_expert.canvas.result_layers import Scene


class Framing:
    """Fits the pictures of a scene, with their titles, into the canvas.

    Parameters
    ----------
    scene : what is to be seen whole
    """

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def _extent(self) -> tuple[np.ndarray, np.ndarray]:
        """World mm (row, column) of what has to fit into a viewbox: upper left and lower right, the
        title included."""
        scene = self._scene
        image = scene.cells[0].image
        scale = np.array(image.scale[-2:])
        first = np.array(image.translate[-2:])
        corners = np.sort([first, first + scale * np.array(image.data.shape)], axis=0)
        height = float(scene.size()[0])
        start, end = corners[0] - height * np.array([TITLE, MARGIN]), corners[1] + height * MARGIN
        if scene.mode == "lines":
            end[1] += (len(scene.slots()) - 1) * scene.pitch()
        return start, end

    def shape_grid(self) -> None:
        """The number of rows and columns that shows the cells largest."""
        canvas, count = self._scene.viewer.canvas, len(self._scene.cells)
        height, width = canvas.size
        start, end = self._extent()
        tall, wide = end - start

        def zoom(columns: int) -> float:
            return min(height / -(-count // columns) / tall, width / columns / wide)

        columns = max(range(1, count + 1), key=zoom)
        canvas.grid.shape = (-(-count // columns), columns)

    def fitted(self) -> tuple[np.ndarray, float]:
        """Center and zoom that show everything."""
        start, end = self._extent()
        viewer = self._scene.viewer
        size = np.array(viewer.canvas.viewbox_size(viewer.layers))
        return (start + end) / 2, float((size / (end - start)).min())

    def reset(self, zoom: float = 1.0) -> None:
        """Show every cell whole, or `zoom` times as large."""
        camera = self._scene.viewer.scene.camera
        center, fitted = self.fitted()
        camera.angles = (0, 0, 90)
        camera.center = (0.0, *center)
        camera.zoom = fitted * zoom
