"""All tiles of a result: where they are in the world, and what is drawn on them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from expert.planes import patch_center
from napari_expert.canvas.match_lines import Line, Start, match_lines
from napari_expert.canvas.panes import Pane, make_panes, pane_at, tile_shape
from napari_expert.canvas.tile_layers import (
    LINE,
    SPOT,
    cross_vectors,
    highlight_vectors,
    make_tile,
    signed_colors,
    tile_image,
    tile_place,
    tile_scale,
)
from napari_expert.canvas.tile_marks import (
    GAP,
    Color,
    Mark,
    below,
    draw_marks,
    margins,
    number_color,
    same_shapes,
    tile_marks,
    unit,
    write_marks,
)

FORCED = "expert_forced"
"""Key in the metadata of an image's layers: why it was refused, if its prediction was forced."""
CROSS = 1.3
"""Thickness of the crosshair, pixels of the screen."""
PIXELS = 1.3
"""Pixels of the screen per point of a text."""

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_expert.canvas.viewer_state import Extent
    from napari_expert.session import Focus, Mode, Session
    from napari_expert.side_by_side import Board


@dataclass(frozen=True)
class Spot:
    """What is under the mouse."""

    tile: int
    patch: int
    voxel: np.ndarray | None = None
    """(2,) or (3,) position in the view; None in native space."""
    axis: int = 0
    """That the plane is perpendicular to."""


def same_images(one: Board, other: Board) -> bool:
    """Whether two boards are of the same explained images."""
    images = [[e.input_sha256 for e in board.explanations] for board in (one, other)]
    return images[0] == images[1]


class TileSet:
    """The tiles of a session's board.

    Parameters
    ----------
    session : Session
        With a board; gives what is drawn.
    units : tuple of str
        Of the layers' two axes.
    """

    def __init__(self, session: Session, units: tuple[str, str]) -> None:
        assert session.board is not None
        self.session, self.units, self.board = session, units, session.board
        self.mode: Mode = "grid"
        self._marks: dict[int, tuple[list[Mark], float]] = {}
        self.panes = self._make_panes()
        self.tiles = [
            make_tile(self.board, self.panes[n], n, self._place_of(n) | {"units": units})
            for n in range(self.board.tiles)
        ]
        self._geometry = [[pane.geometry for pane in panes] for panes in self.panes]
        self._mark_forced()

    @property
    def layers(self) -> list[Layer]:
        """The layers of all tiles, tile by tile."""
        return [layer for tile in self.tiles for layer in tile.layers]

    def fits(self, board: Board) -> bool:
        """Whether another board can be drawn in these layers."""
        e, own = board.explanations[0], self.board.explanations[0]
        same = (board.tiles, board.head) == (self.board.tiles, self.board.head)
        return same and (e.grid, e.view_shape) == (own.grid, own.view_shape)

    def change(self, board: Board) -> None:
        """Draw the images of another board that fits."""
        self.board = board
        for number, tile in enumerate(self.tiles):
            tile.rename(f"tile {number}")  # napari adds a number to a name that another layer has
        for tile, name in zip(self.tiles, board.names, strict=True):
            tile.rename(name)
        self._mark_forced()
        self.draw_images()

    def _mark_forced(self) -> None:
        """State in the image layers why the image was refused; empty if it was not."""
        for tile, explanation in zip(self.tiles, self.board.explanations, strict=False):
            for layer in tile.layers:
                layer.metadata[FORCED] = explanation.forced

    # --- panes and places -------------------------------------------------------------------------
    def _make_panes(self) -> list[tuple[Pane, ...]]:
        """The planes of every tile: through the crosshair, in a volume."""
        session, viewing = self.session, self.session.viewing
        e, out = self.board.explanations[0], []
        for tile in range(self.board.tiles):
            axes = range(3) if self.mode == "planes" else (viewing.axis,)
            linked = viewing.points and self.mode != "lines"
            planes = [viewing.slice_of(tile, axis) for axis in axes] if linked else [session.plane]
            middle = self._middle(tile) if viewing.magnified and self.mode != "lines" else None
            out.append(make_panes(e, planes, session.neurological, middle))
        return out

    def _middle(self, tile: int) -> np.ndarray | None:
        """What the magnifier shows: the place of the crosshair, or the locked patch's match."""
        session = self.session
        if session.viewing.points:
            return session.viewing.points[tile]
        if session.focus is None or not session.focus.shares[tile].any():
            return None
        return patch_center(self.board.explanations[0], int(session.focus.shares[tile].argmax()))

    def slots(self) -> dict[int, int]:
        """Tile to column of the canvas in the lines layout: A | prototype | B."""
        order = [0, self.session.partner, *range(1, self.board.subjects)]
        return {tile: slot for slot, tile in enumerate(order)}

    def visible(self) -> list[int]:
        """Tiles that are shown."""
        if self.mode == "grid":
            return list(range(self.board.tiles))
        return sorted(self.slots()) if self.mode in ("lines", "planes") else []

    def size(self) -> np.ndarray:
        """(2,) height and width of a tile's image in world units."""
        scale = tile_scale(self.board.explanations[0], self.panes[0])
        return np.asarray(scale * tile_shape(self.panes[0]))

    def pitch(self) -> float:
        """From one tile to the next in the lines layout, in world units."""
        height, width = self.size()
        return float(width + GAP * height)

    def place(self) -> None:
        """Move the tiles to where the mode says."""
        for number, tile in enumerate(self.tiles):
            for name, value in self._place_of(number).items():
                for layer in tile.layers:
                    # napari draws anew whatever is set
                    if not np.array_equal(getattr(layer, name), value):
                        setattr(layer, name, value)

    def _place_of(self, number: int) -> dict[str, Any]:
        """Where a tile is in the world, by mode."""
        offset = self.slots().get(number, 0) * self.pitch() if self.mode == "lines" else 0.0
        place = tile_place(self.board, self.panes[0], offset)
        return {**place, "visible": number in self.visible()}

    def extent(self) -> Extent:
        """What has to fit into a box of the canvas, titles included."""
        place = tile_place(self.board, self.panes[0], 0.0)
        scale, first = np.abs(place["scale"]), np.array(place["translate"])
        start, end = first - scale / 2, first + self.size() - scale / 2
        title, margin = margins(self.panes[0])
        end += scale * [below(self.board, margin), margin]
        start -= scale * [title, margin]
        if self.mode == "lines":
            end[1] += (len(self.slots()) - 1) * self.pitch()
        return start, end

    # --- drawing ----------------------------------------------------------------------------------
    def draw_images(self) -> None:
        """Draw the images of the planes."""
        self.panes = self._make_panes()
        geometry = [[pane.geometry for pane in panes] for panes in self.panes]
        for number in self.visible():
            tile, panes = self.tiles[number], self.panes[number]
            pixels = tile_image(self.board, number, panes)
            if pixels.shape == tile.image.data.shape:
                tile.image.data[...] = pixels  # a tenth of the time that setting it takes
                tile.image.refresh(extent=False)
            else:
                tile.image.data = pixels
            if geometry[number] != self._geometry[number]:
                vectors, width = highlight_vectors(panes, unit(self.board))
                tile.highlight.data = vectors
                tile.highlight.edge_width = width
                self._geometry[number] = geometry[number]
        self.place()

    def draw_cross(self, pixel: float) -> None:
        """Draw the crosshair; `pixel` is the size of a pixel of the screen in world units."""
        viewing = self.session.viewing
        if not viewing.points:
            return
        shown = viewing.cross and (viewing.placed or self.mode == "planes") and self.mode != "lines"
        scale = tile_scale(self.board.explanations[0], self.panes[0])[1]
        for number in self.visible():
            layer, panes = self.tiles[number].highlight, self.panes[number]
            voxel = viewing.points[number] if shown else None
            vectors = cross_vectors(panes, voxel, layer.edge_width, CROSS * pixel / scale)
            layer.data[-len(vectors) :] = vectors
            layer.refresh(extent=False, thumbnail=False)

    def draw(self, text_size: float, pixel: float) -> None:
        """Draw boxes, numbers, titles, highlights and crosshair.

        Parameters
        ----------
        text_size : float
            Points.
        pixel : float
            Size of a pixel of the screen in world units.
        """
        session, board, view = self.session, self.board, self.session.plane.view
        rows = [board.partners(view, 0, patch) for patch in session.patches]
        scale = float(tile_scale(board.explanations[0], self.panes[0])[0])
        for number in self.visible():
            shares = [row[number] for row in rows]
            digit = text_size * PIXELS * pixel / scale
            marks = tile_marks(board, self.panes[number], number, shares, self.panes[0], digit)
            before = self._marks.get(number)
            layer = self.tiles[number].boxes
            if before is None or before[1] != text_size or not same_shapes(before[0], marks):
                draw_marks(layer, marks, text_size)
            elif [mark.text for mark in marks] != [mark.text for mark in before[0]]:
                write_marks(layer, marks)
            self._marks[number] = (marks, text_size)
        self.draw_cross(pixel)
        self.highlight()

    def highlight(self) -> None:
        """Colour the patches: those that match the one pointed at, or by the values of the map."""
        session = self.session
        values = None if session.focus is not None else session.painted_values()
        for number in self.visible():
            panes, layer = self.panes[number], self.tiles[number].highlight
            numbers = np.concatenate([np.array(pane.patches) for pane in panes])
            colors = np.zeros((len(layer.data), 4), dtype=np.float32)
            here = colors[: len(numbers)]
            if session.focus is not None:
                share = session.focus.shares[number][numbers]
                here[:] = self._focus_color(session.focus)
                # What is locked is looked at: it must not be covered.
                most, least = (0.15, 0.05) if session.pinned else (0.55, 0.1)
                here[:, 3] = np.where(share > 0.01, least + most * share, 0)
            elif number == 0 and values is not None:
                view = session.plane.view
                shown = np.where(self.board.foreground(view), values[view], 0)
                here[:] = signed_colors(shown[numbers], float(np.abs(values).max()))
            colors[len(numbers) :] = LINE
            layer.edge_color = colors

    def _focus_color(self, focus: Focus) -> Color:
        """The colour of the highlighted patch, or of the image's patch that it matches most."""
        patch, patches = focus.patch, self.session.patches
        if focus.tile != 0:
            patch = int(focus.shares[0].argmax())
        return number_color(patches.index(patch) + 1) if patch in patches else SPOT

    def lines(self) -> Iterator[Line]:
        """Lines of the patch pointed at, else of all numbered patches."""
        session = self.session
        starts: list[Start] = [(0, p, number_color(n)) for n, p in enumerate(session.patches, 1)]
        if focus := session.focus:
            starts = [(focus.tile, focus.patch, self._focus_color(focus))]
        visible, view = self.panes[0][0].patches, session.plane.view
        return match_lines(
            self.board, view, starts, self.slots(), session.partner, visible, self._center
        )

    @property
    def line_width(self) -> float:
        """In world units: 1 mm on a head."""
        return float(self.size()[0]) / 192

    def _center(self, tile: int, patch: int) -> np.ndarray:
        corners = self.panes[tile][0].corners(patch)
        assert corners is not None
        return np.array(self.tiles[tile].image.data_to_world(corners.mean(axis=0)))[-2:]

    def spot_under(self, viewer: ViewerModel, event: Any) -> Spot | None:
        """What is under a mouse event, or None beside the tiles."""
        candidates = self.visible()
        if self.mode in ("grid", "planes"):
            row, column = getattr(event, "viewbox", None) or (0, 0)
            _, columns = viewer.canvas.grid.actual_shape(viewer.layers)
            box_number = int(row * columns + column)
            candidates = candidates[box_number : box_number + 1]
        for number in candidates:
            point = np.array(self.tiles[number].image.world_to_data(event.position[-2:]))[-2:]
            pane = pane_at(self.panes[number], point)
            patch = None if pane is None else pane.patch(point)
            if pane is not None and patch is not None:
                return Spot(number, patch, pane.voxel(point), pane.plane.axis)
        return None
