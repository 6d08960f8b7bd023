"""Mouse to patch: pointing at a patch highlights its matches in all tiles, a click locks it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_expert.session import Session


class PatchPointer:
    """Sets the session's focus from the mouse until `disconnect`.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        With the mouse.
    session : Session
        Gets the focus.
    patch_under : callable
        Takes a mouse event to tile and patch, or to None beside the images.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        session: Session,
        patch_under: Callable[[Any], tuple[int, int] | None],
    ) -> None:
        self._viewer, self._session, self._patch_under = viewer, session, patch_under
        viewer.mouse_move_callbacks.append(self._moved)
        viewer.mouse_drag_callbacks.append(self._pressed)

    def disconnect(self) -> None:
        """Stop listening to the mouse."""
        for callbacks, own in (
            (self._viewer.mouse_move_callbacks, self._moved),
            (self._viewer.mouse_drag_callbacks, self._pressed),
        ):
            if own in callbacks:
                callbacks.remove(own)

    def _moved(self, viewer: ViewerModel, event: Any) -> None:
        if not self._session.pinned:
            self._session.set_focus(*(self._patch_under(event) or (None,)))

    def _pressed(self, viewer: ViewerModel, event: Any) -> Generator[None, None, None]:
        yield
        dragged = False
        while event.type == "mouse_move":
            dragged = True
            yield
        if dragged:
            return
        session, found = self._session, self._patch_under(event)
        focus = session.focus
        locked = session.pinned and focus is not None and found == (focus.tile, focus.patch)
        if found is None or locked:
            session.set_focus(None)
        else:
            session.set_focus(*found, pin=True)
