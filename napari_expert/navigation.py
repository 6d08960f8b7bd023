"""Moving through a volume: to a place, to a patch, through slices, to another orientation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_expert.session import Session


def point_at(session: Session, tile: int, voxel: np.ndarray) -> None:
    """Put the crosshair to a place in a tile; all planes and tiles follow.

    Parameters
    ----------
    session : Session
        Shows a volume; nothing happens else.
    tile : int
        With the place.
    voxel : (3,) numpy.ndarray
        Position in the view, in pixels.
    """
    viewing = session.viewing
    if viewing.points:
        viewing.put(tile, voxel)
        moved = _follow(session)
        (session.events.plane if moved else viewing.events.position).emit()


def show_place(session: Session, voxel: np.ndarray | None = None) -> None:
    """Put the crosshair of a volume into the locked patch: to `voxel`, or to its middle."""
    focus = session.focus
    if session.pinned and focus is not None and session.viewing.points:
        middle = session.viewing.way_to(focus.tile, focus.patch, session.in_planes)
        point_at(session, focus.tile, middle if voxel is None else voxel)


def show_axis(session: Session, axis: int) -> None:
    """Show slices of a volume in another orientation (`expert.planes.ORIENTATIONS`)."""
    if session.viewing.points and axis != session.viewing.axis:
        session.viewing.show_axis(axis)
        _follow(session)
        session.events.plane.emit()


def step_plane(session: Session, step: int, axis: int | None = None) -> None:
    """Show the next (1) or previous (-1) plane; of a volume, along an axis."""
    if axis is not None:
        show_axis(session, axis)
    session.show_plane(session.plane_number + step)


def step_patch(session: Session, step: int) -> None:
    """Lock the next (1) or previous (-1) numbered patch of the image."""
    at, focus = -1 if step > 0 else 0, session.focus
    if focus is not None and focus.tile == 0 and focus.patch in session.patches:
        at = session.patches.index(focus.patch)
    if session.patches:
        session.set_focus(0, session.patches[(at + step) % len(session.patches)], pin=True)


def _follow(session: Session) -> bool:
    """Show the slice through the crosshair; whether it is another one."""
    before, session.plane_number = session.plane_number, session.viewing.number
    session.number_patches()
    return before != session.plane_number
