"""How the images are looked at: orientation, crosshair, magnifier, grey-value window, opacity.

The *crosshair* is one place in every tile. Put in one of them, it is at the corresponding place of
all others: by the transport plan where the patch was matched, at the same place of the template
else. Scrolling puts it at the same level of the template in all tiles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from psygnal import Signal, SignalGroup

from expert.planes import Plane, middle_plane, patch_center, plane_at

if TYPE_CHECKING:
    from napari_expert.side_by_side import Board

Window = Literal["full", "brain", "tissue"]
WINDOWS: dict[Window, str] = {
    "full": "full range",
    "brain": "brain",
    "tissue": "grey and white matter",
}
"""Presets of the grey-value window."""
OPACITY = 0.7


class ViewingEvents(SignalGroup):
    """One signal per part of the state."""

    axis = Signal()
    """Slices of another orientation are shown."""
    position = Signal()
    """The crosshair is elsewhere, in the same plane."""
    magnifier = Signal()
    cross = Signal()
    """The lines of the crosshair are shown or hidden."""
    window = Signal()
    opacity = Signal()


class Viewing:
    """How a board is looked at; it is changed by methods, and listeners read it."""

    def __init__(self) -> None:
        self.events = ViewingEvents()
        self.magnified = False
        self.cross = True
        self.window: Window = "full"
        self.opacity = OPACITY
        self.reset(None)

    def reset(self, board: Board | None) -> None:
        """Look at another board: in a volume, at the level of the ventricles and the midline."""
        self.board = board
        self.axis = 0
        self.placed = self.magnified = False
        self.points: tuple[np.ndarray, ...] = ()
        """(3,) position of the crosshair in every tile, pixels of the view; none for 2D views."""
        if board is not None and board.volume:
            e = board.explanations[0]
            slices = [board.planes_along(axis)[middle_plane(e, axis)].slice for axis in range(3)]
            self.points = (np.array(slices, dtype=float),) * board.tiles

    def exchange(self, board: Board | None) -> bool:
        """Look at a board with other prototypes beside the same images; False if there is none."""
        self.board = board
        if board is None:
            return False
        if self.placed:
            self.put(0, self.points[0])
        elif self.points:
            self.points = (self.points[0],) * board.tiles
        return True

    # --- planes -----------------------------------------------------------------------------------
    @property
    def planes(self) -> tuple[Plane, ...]:
        """All planes of the orientation shown."""
        assert self.board is not None
        return self.board.planes_along(self.axis)

    @property
    def number(self) -> int:
        """Index into `planes` of the slice of the first image that is nearest to the crosshair."""
        places = np.array([plane.slice for plane in self.planes], dtype=float)
        return int(np.abs(places - round(float(self.points[0][self.axis]))).argmin())

    def slice_of(self, tile: int, axis: int) -> Plane:
        """The slice of a tile through the crosshair."""
        assert self.board is not None
        size = self.board.explanations[0].view_shape[axis]
        index = int(np.clip(round(float(self.points[tile][axis])), 0, size - 1))
        return plane_at(self.board.explanations[0], 0, index, axis)

    def show_axis(self, axis: int) -> None:
        """Look at slices of another orientation (see `expert.planes.ORIENTATIONS`)."""
        if self.points and axis != self.axis:
            self.axis = axis
            self.events.axis.emit()

    # --- crosshair --------------------------------------------------------------------------------
    def put(self, tile: int, voxel: np.ndarray) -> None:
        """Put the crosshair to a place in one tile, and to those that correspond to it."""
        assert self.board is not None
        self.points, self.placed = self.board.counterparts(0, tile, voxel), True

    def level(self, plane: Plane) -> None:
        """Put the crosshair of all tiles into a plane, at the same place of the template."""
        if self.points and plane.slice is not None:
            point = self.points[0].copy()
            point[plane.axis] = plane.slice
            self.points = (point,) * len(self.points)

    def way_to(self, tile: int, patch: int, all_axes: bool) -> np.ndarray:
        """The middle of a patch; in the slice of the tile that is shown, if it cuts the patch.

        With `all_axes`, it is the middle in any case.
        """
        assert self.board is not None
        e = self.board.explanations[0]
        point = patch_center(e, patch)
        start, stop = np.array(e.patch_box(patch)).T - 0.5
        here = self.points[tile][self.axis]
        if not all_axes and start[self.axis] <= here < stop[self.axis]:
            point[self.axis] = here
        return point

    def toggle_cross(self) -> None:
        """Show or hide the lines of the crosshair."""
        self.cross = not self.cross
        self.events.cross.emit()

    # --- magnifier, window and opacity ------------------------------------------------------------
    def toggle_magnifier(self) -> None:
        """Show the patch and its matches with their neighbours, or the whole images."""
        self.magnified = not self.magnified
        self.events.magnifier.emit()

    def show_window(self, window: Window) -> None:
        """Choose a preset of the grey-value window."""
        self.window = window
        self.events.window.emit()

    def next_window(self) -> None:
        """Choose the next preset of the grey-value window."""
        names = list(WINDOWS)
        self.show_window(names[(names.index(self.window) + 1) % len(names)])

    def show_opacity(self, opacity: float) -> None:
        """Set the opacity of the map in native space, 0 to 1."""
        self.opacity = float(np.clip(opacity, 0, 1))
        self.events.opacity.emit()
