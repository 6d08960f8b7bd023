"""Mouse to patch and place.

Pointing at a patch highlights its matches in all tiles, a click locks it and puts the crosshair
there; pointing with Shift moves the crosshair alone, and the wheel with Shift goes through slices.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_expert.canvas.tile_set import Spot
from napari_expert.navigation import point_at, show_axis, step_plane

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_expert.session import Session


class PatchPointer:
    """Sets the session's focus and crosshair from the mouse until `disconnect`.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        With the mouse.
    session : Session
        Gets focus and crosshair.
    spot_under : callable
        Takes a mouse event to a `Spot`, or to None beside the images.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        session: Session,
        spot_under: Callable[[Any], Spot | None],
    ) -> None:
        self._viewer, self._session, self._spot_under = viewer, session, spot_under
        self._connections = (
            (viewer.mouse_move_callbacks, self._moved),
            (viewer.mouse_drag_callbacks, self._pressed),
            (viewer.mouse_wheel_callbacks, self._wheeled),
        )
        for callbacks, own in self._connections:
            callbacks.append(own)

    def disconnect(self) -> None:
        """Stop listening to the mouse."""
        for callbacks, own in self._connections:
            if own in callbacks:
                callbacks.remove(own)

    def _moved(self, viewer: ViewerModel, event: Any) -> None:
        session, spot = self._session, self._spot_under(event)
        if not session.pinned:
            session.set_focus(*((spot.tile, spot.patch) if spot else (None,)))
        if spot is not None and spot.voxel is not None and _shift(event):
            point_at(session, spot.tile, spot.voxel)

    def _wheeled(self, viewer: ViewerModel, event: Any) -> None:
        spot, session = self._spot_under(event), self._session
        if spot is None or not _shift(event):
            return
        step = int(np.sign(np.sum(event.delta)))  # of either axis: some systems turn it with Shift
        step_plane(session, step, spot.axis if session.mode == "planes" else None)
        event.handled = True

    def _pressed(self, viewer: ViewerModel, event: Any) -> Generator[None, None, None]:
        if getattr(event, "button", 1) != 1:
            return
        yield
        dragged = False
        while event.type == "mouse_move":
            dragged = True
            yield
        if dragged:
            return
        session, spot = self._session, self._spot_under(event)
        focus = session.focus
        if spot is None:
            session.set_focus(None)
            return
        if session.mode == "planes":
            show_axis(session, spot.axis)
        here = (spot.tile, spot.patch)
        if session.pinned and focus is not None and here == (focus.tile, focus.patch):
            session.set_focus(None)
            if spot.voxel is not None:
                point_at(session, spot.tile, spot.voxel)
        else:
            session.set_focus(*here, pin=True, at=spot.voxel)


def _shift(event: Any) -> bool:
    return "Shift" in getattr(event, "modifiers", ())
