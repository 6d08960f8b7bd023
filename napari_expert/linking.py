"""Mouse to patch: pointing at a patch in any cell lights up its partners in all of them, a click holds it."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np

from expert.matches import patch_at, planes

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_expert.layers import Scene


class Linking:
    """Connects a scene to its viewer's mouse until `disconnect`.

    Parameters
    ----------
    scene : what is pointed at
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        scene.viewer.mouse_move_callbacks.append(self._moved)
        scene.viewer.mouse_drag_callbacks.append(self._pressed)

    def disconnect(self) -> None:
        """Let go of the mouse."""
        viewer = self.scene.viewer
        for callbacks, own in ((viewer.mouse_move_callbacks, self._moved), (viewer.mouse_drag_callbacks, self._pressed)):
            if own in callbacks:
                callbacks.remove(own)

    def under(self, event: Any) -> tuple[int, int] | None:
        """Cell and patch under a mouse event, or None beside the pictures."""
        scene, viewer = self.scene, self.scene.viewer
        viewbox = getattr(event, "viewbox", None) or (0, 0)
        _, columns = viewer.canvas.grid.actual_shape(viewer.layers)
        cell = int(viewbox[0] * columns + viewbox[1])
        if not viewer.canvas.grid.enabled or not 0 <= cell < len(scene.cells):
            return None
        image = scene.cells[0].image
        row, column = (np.array(event.position[-2:]) - image.translate[-2:]) / image.scale[-2:]
        patch = patch_at(scene.explanation, planes(scene.explanation)[scene.view], (row, column))
        return None if patch is None else (cell, patch)

    def _moved(self, viewer: ViewerModel, event: Any) -> None:
        if not self.scene.pinned:
            found = self.under(event)
            self.scene.set_focus(*(found or (None,)))

    def _pressed(self, viewer: ViewerModel, event: Any) -> Generator[None, None, None]:
        yield
        dragged = False
        while event.type == "mouse_move":
            dragged = True
            yield
        if dragged:
            return
        scene, found = self.scene, self.under(event)
        same = scene.pinned and scene.focus is not None and found == (scene.focus.cell, scene.focus.patch)
        if found is None or same:
            scene.set_focus(None)
        else:
            scene.set_focus(*found, pin=True)
