"""Mouse to patch: pointing at a patch in any cell lights up its partners in all of them, a click
holds it."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np

from expert.patches import patch_at

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_expert.canvas.result_layers import Scene


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
        for callbacks, own in (
            (viewer.mouse_move_callbacks, self._moved),
            (viewer.mouse_drag_callbacks, self._pressed),
        ):
            if own in callbacks:
                callbacks.remove(own)

    def under(self, event: Any) -> tuple[int, int] | None:
        """Cell and patch under a mouse event, or None beside the pictures."""
        scene, viewer = self.scene, self.scene.viewer
        if scene.mode == "own":
            own = None if scene.patch_under is None else scene.patch_under(event.position)
            return None if own is None else (0, own)
        candidates = [number for number, cell in enumerate(scene.cells) if cell.image.visible]
        if scene.mode == "grid":
            viewbox = getattr(event, "viewbox", None) or (0, 0)
            _, columns = viewer.canvas.grid.actual_shape(viewer.layers)
            place = int(viewbox[0] * columns + viewbox[1])
            candidates = candidates[place : place + 1]
        for number in candidates:
            index = np.array(scene.cells[number].image.world_to_data(np.array(event.position)[-2:]))
            patch = patch_at(scene.explanation, scene.plane, (float(index[0]), float(index[1])))
            if patch is not None:
                return number, patch
        return None

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
        same = (
            scene.pinned
            and scene.focus is not None
            and found == (scene.focus.cell, scene.focus.patch)
        )
        if found is None or same:
            scene.set_focus(None)
        else:
            scene.set_focus(*found, pin=True)
