"""A result as layers: tiles side by side, their patches numbered and linked.

Every tile has three layers: its image, a highlight of patches with the crosshair, and the numbered
boxes. The layers are drawn in four modes: *grid* (every tile in a box of its own), *planes* (the
image and one prototype, each in three planes), *lines* (the image beside one prototype in one
canvas, matched patches joined) and *native* (hidden, the user's own layers shown). They are below
the user's own layers in the layer list, and it shows the image of the first tile only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_expert.canvas.grey_window import preset_limits
from napari_expert.canvas.layer_list import hide_rows
from napari_expert.canvas.match_lines import MatchLines
from napari_expert.canvas.tile_layers import Tile
from napari_expert.canvas.tile_set import Spot, TileSet, same_images
from napari_expert.canvas.viewer_state import (
    PlaneSlider,
    ViewerState,
    best_grid,
    common_units,
    draw_once,
    fitted_zoom,
    frame,
    remove_layers,
    show_flat,
)
from napari_expert.layer_geometry import OURS

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Vectors

    from napari_expert.canvas.panes import Pane
    from napari_expert.session import Mode, Session

STRIDE = 3
LINKED = ("contrast_limits", "gamma", "colormap", "interpolation2d")


class ResultLayers:
    """The tiles of a session's board in one viewer.

    Parameters
    ----------
    viewer, session : ViewerModel, Session
        The session has a board.
    heights : numpy.ndarray or None
        World coordinate of each plane along the viewer's first slider, if it has one.
    on_deleted : callable
        Called when the user deleted one of the layers.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        session: Session,
        heights: np.ndarray | None,
        on_deleted: Callable[[], None],
    ) -> None:
        self.viewer, self.session, self._on_deleted = viewer, session, on_deleted
        self._lines, self._state = MatchLines(viewer), ViewerState(viewer)
        self._native_view = self._state.view
        self.slider = PlaneSlider(viewer, heights, session.show_plane)
        with self._quiet():
            self._set = TileSet(session, common_units(viewer))
            self._arrange()
            self.draw()
            viewer.layers.events.inserted.connect(self._inserted)
            viewer.layers.events.removed.connect(self._removed)
            viewer.canvas.events.size.connect(self._resized)
        self.slider.go_to(session.plane_number)

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        """What happens to layers and slider within is our own doing."""
        before = getattr(self, "_busy", False), self.slider.paused
        self._busy = self.slider.paused = True
        yield
        self._busy, self.slider.paused = before

    @property
    def tiles(self) -> list[Tile]:
        """First the images, then the prototypes."""
        return self._set.tiles

    @property
    def panes(self) -> list[tuple[Pane, ...]]:
        """The planes of every tile."""
        return self._set.panes

    @property
    def lines(self) -> Vectors | None:
        """The layer of the lines, in the lines layout."""
        return self._lines.layer

    @property
    def mode(self) -> Mode:
        """What the layers show."""
        return self._set.mode

    # --- making and removing ----------------------------------------------------------------------
    def _arrange(self) -> None:
        v = self.viewer
        for layer in v.layers:
            layer.visible = False
        # The grid counts from the start of the list; the user's own layers follow.
        for place, layer in enumerate(self._set.layers):
            v.layers.insert(place, layer)
        hide_rows(layer for layer in self._set.layers if layer is not self.tiles[0].image)
        v.layers.link_layers([tile.image for tile in self.tiles], LINKED)
        v.layers.selection.active = self.tiles[0].image
        self._set_up()
        self.reset_camera()

    def change(self, heights: np.ndarray | None) -> bool:
        """Show the session's board in the existing layers; False if it does not fit."""
        # napari 0.9 keeps what it once made: new layers in every run would fill the memory.
        board = self.session.board
        assert board is not None
        if not self._set.fits(board) or common_units(self.viewer) != self._set.units:
            return False
        self.slider.heights = heights
        same = same_images(self._set.board, board) and self.mode == self.session.layout
        with self._quiet():
            self._leave_native()
            self._set.mode = self.session.mode
            self._state.add_new_layers()
            self._set.change(board)
            self._set_up()
            self.draw()
            self.show_window()
        self.slider.go_to(self.session.plane_number)
        self.viewer.layers.selection.active = self.tiles[0].image
        if not same:  # zoom and place stay where only the prototypes are others
            self.reset_camera()
        return True

    def remove(self) -> None:
        """Remove all layers and restore the user's own layers, grid and camera."""
        viewer = self.viewer
        with self._quiet():
            viewer.layers.events.inserted.disconnect(self._inserted)
            viewer.layers.events.removed.disconnect(self._removed)
            viewer.canvas.events.size.disconnect(self._resized)
            self.slider.disconnect()
            draw_once(viewer)
            self._lines.remove()
            viewer.layers.unlink_layers([tile.image for tile in self.tiles])
            remove_layers(viewer, self._set.layers)
            self._state.restore()

    # --- modes and places -------------------------------------------------------------------------
    def show_mode(self, mode: Mode) -> None:
        """Show grid, lines, or the user's own layers; relative zoom and selection stay."""
        if mode == self.mode:
            return
        zoom = 1.0
        if self.mode != "native":
            zoom = self.viewer.scene.camera.zoom / self.fitted_zoom
        self._leave_native()
        self._set.mode = mode
        with self._quiet():
            if mode == "native":
                self._lines.remove()
                for layer in self._set.layers:
                    layer.visible = False
                self._state.show_layers()
                self._state.restore_view(self._native_view)
            else:
                self._set_up()
        self.slider.go_to(self.session.plane_number)
        if mode != "native":
            self.reset_camera(zoom)
            self.draw()

    def _leave_native(self) -> None:
        if self.mode == "native":
            self._native_view = self._state.current_view()

    def _set_up(self) -> None:
        """Canvas, visibility and places of the tiles for grid or lines."""
        v = self.viewer
        self._state.hide_layers()
        show_flat(v)
        self._set.draw_images()
        self._set.place()
        if self.mode != "lines":
            self._lines.remove()
            v.canvas.grid.stride = STRIDE
            self._shape_grid()
            v.canvas.grid.enabled = True
        else:
            v.canvas.grid.enabled = False
            self._draw_lines()

    def _shape_grid(self) -> None:
        canvas, count = self.viewer.canvas, len(self._set.visible())
        canvas.grid.shape = best_grid(canvas.size, self._set.extent(), count)

    @property
    def fitted_zoom(self) -> float:
        """Camera zoom that shows every tile whole."""
        return fitted_zoom(self.viewer, self._set.extent())

    def reset_camera(self, zoom: float = 1.0) -> None:
        """Show every tile whole, or `zoom` times as large."""
        frame(self.viewer, self._set.extent(), zoom)

    def show_arrangement(self) -> None:
        """Draw another orientation or convention, or a part of the images: tiles change size."""
        if self.mode != "native":
            with self._quiet():
                self._set_up()
                self.reset_camera()
                self.draw()

    def show_partner(self) -> None:
        """Draw another prototype beside the image."""
        if self.mode in ("lines", "planes"):
            self.show_plane()

    # --- drawing ----------------------------------------------------------------------------------
    def draw(self) -> None:
        """Draw boxes, numbers, titles, highlights and lines."""
        self._set.draw(self._text_size(), 1 / self.fitted_zoom)
        self._draw_lines()

    def _draw_lines(self) -> None:
        if self.mode == "lines":
            with self._quiet():
                self._lines.draw(self._set.lines(), self._set.line_width, self._set.units)

    def show_plane(self) -> None:
        """Draw other planes and how they were matched, and the crosshair."""
        self._set.draw_images()
        self.draw()
        self.slider.go_to(self.session.plane_number)

    def show_cross(self) -> None:
        """Show or hide the crosshair."""
        self._set.draw_cross(1 / self.fitted_zoom)

    def show_focus(self) -> None:
        """Colour the patches, and draw the lines of the one pointed at."""
        if self.session.viewing.magnified and not self.session.viewing.points:
            self.show_arrangement()
        self._set.highlight()
        self._draw_lines()

    def show_window(self) -> None:
        """Set the grey-value window to the session's preset."""
        image = self._set.board.explanations[0].views[self.session.plane.view].image
        self.tiles[0].image.contrast_limits = preset_limits(image, self.session.viewing.window)

    def _text_size(self) -> float:
        """Points, so that a title fits over its tile."""
        columns = {"lines": len(self._set.slots()), "planes": 1.6}.get(self.mode, 1)
        width = self.viewer.canvas.viewbox_size(self.viewer.layers)[1]
        return float(np.clip(width / 32 / columns, 6, 12))

    # --- events -----------------------------------------------------------------------------------
    def spot_under(self, event: Any) -> Spot | None:
        """What is under a mouse event, or None beside the tiles."""
        return self._set.spot_under(self.viewer, event)

    def _resized(self) -> None:
        if self.mode != "native":
            if self.mode != "lines":
                self._shape_grid()
            self.reset_camera()
            self.draw()

    def _inserted(self, event: Any) -> None:
        # A layer the user adds goes above ours, and is hidden: it would cover a tile.
        if self._busy or OURS in event.value.metadata:
            return
        above = max(self.viewer.layers.index(layer) for layer in self._set.layers)
        if event.index < above:
            self.viewer.layers.move(event.index, above + 1)
        if self.mode != "native":
            self._state.add_new_layers()
            event.value.visible = False

    def _removed(self, event: Any) -> None:
        if not self._busy and any(
            event.value is own for own in (self._lines.layer, *self._set.layers)
        ):
            self._on_deleted()
