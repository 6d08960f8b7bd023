"""All tiles of a result: where they are in the world, and what is drawn on them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from expert.patches import box, foreground, patch_at
from napari_expert.canvas.match_lines import Line, Start, match_lines
from napari_expert.canvas.tile_layers import (
    GAP,
    MARGIN,
    SPOT,
    TITLE,
    Color,
    below,
    draw_marks,
    make_tile,
    number_color,
    signed_colors,
    tile_image,
    tile_marks,
    tile_place,
    tile_size,
)

FORCED = "expert_forced"
"""Key in the metadata of an image's layers: why it was refused, if its prediction was forced."""

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_expert.canvas.viewer_state import Extent
    from napari_expert.session import Focus, Mode, Session
    from napari_expert.side_by_side import Board


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
        self.tiles = [
            make_tile(self.board, session.plane, n, self._place_of(n) | {"units": units})
            for n in range(self.board.tiles)
        ]
        self._mark_forced()

    @property
    def layers(self) -> list[Layer]:
        """The layers of all tiles, tile by tile."""
        return [layer for tile in self.tiles for layer in tile.layers]

    def fits(self, board: Board) -> bool:
        """Whether another board can be drawn in these layers."""
        e, own = board.explanations[0], self.board.explanations[0]
        return (board.tiles, board.head, e.grid, e.view_shape) == (
            self.board.tiles,
            self.board.head,
            own.grid,
            own.view_shape,
        )

    def shows(self, board: Board) -> bool:
        """Whether another board is of the same explained images."""
        images = [[e.input_sha256 for e in one.explanations] for one in (board, self.board)]
        return images[0] == images[1]

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

    # --- places -----------------------------------------------------------------------------------
    def slots(self) -> dict[int, int]:
        """Tile to column of the canvas in the lines layout: A | prototype | B."""
        order = [0, self.session.partner, *range(1, self.board.subjects)]
        return {tile: slot for slot, tile in enumerate(order)}

    def pitch(self) -> float:
        """From one tile to the next in the lines layout, in world units."""
        height, width = tile_size(self.board, self.session.plane)
        return float(width + GAP * height)

    def place(self) -> None:
        """Move the tiles to where mode and convention say."""
        for number, tile in enumerate(self.tiles):
            for name, value in self._place_of(number).items():
                for layer in tile.layers:
                    # napari draws anew whatever is set
                    if not np.array_equal(getattr(layer, name), value):
                        setattr(layer, name, value)

    def _place_of(self, number: int) -> dict[str, Any]:
        """Where a tile is in the world, by mode and convention."""
        slots, lines = self.slots(), self.mode == "lines"
        offset = slots.get(number, 0) * self.pitch() if lines else 0.0
        place = tile_place(self.board, self.session.plane, self.session.neurological, offset)
        return {**place, "visible": self.mode == "grid" or (lines and number in slots)}

    def extent(self) -> Extent:
        """What has to fit into a box of the canvas, titles included."""
        image = self.tiles[0].image
        scale, first = np.array(image.scale[-2:]), np.array(image.translate[-2:])
        start, end = np.sort([first, first + scale * np.array(image.data.shape)], axis=0)
        height = float(tile_size(self.board, self.session.plane)[0])
        start -= height * np.array([TITLE, MARGIN])
        end += height * np.array([below(self.board), MARGIN])
        if self.mode == "lines":
            end[1] += (len(self.slots()) - 1) * self.pitch()
        return start, end

    # --- drawing ----------------------------------------------------------------------------------
    def draw_images(self) -> None:
        """Draw the images of the plane."""
        for number, tile in enumerate(self.tiles):
            tile.image.data = tile_image(self.board, number, self.session.plane)

    def draw(self, text_size: float) -> None:
        """Draw boxes, numbers, titles (in points) and highlights."""
        session, board, plane = self.session, self.board, self.session.plane
        rows = [board.partners(plane.view, 0, patch) for patch in session.patches]
        for number, tile in enumerate(self.tiles):
            marks = tile_marks(board, plane, number, [shares[number] for shares in rows])
            draw_marks(tile.boxes, marks, text_size)
        self.highlight()

    def highlight(self) -> None:
        """Colour the patches: those that match the one pointed at, or by the values of the map."""
        session, numbers = self.session, self.session.patches_in_plane()
        values = None if session.focus is not None else session.painted_values()
        for number, tile in enumerate(self.tiles):
            colors = np.zeros((len(numbers), 4), dtype=np.float32)
            if session.focus is not None:
                share = session.focus.shares[number][numbers]
                colors[:] = self._focus_color(session.focus)
                colors[:, 3] = np.where(share > 0.01, 0.1 + 0.55 * share, 0)
            elif number == 0 and values is not None:
                view = session.plane.view
                here = np.where(foreground(self.board.explanations[0], view), values[view], 0)
                colors = signed_colors(here[numbers], float(np.abs(values).max()))
            tile.highlight.edge_color = colors

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
        visible, view = session.patches_in_plane().tolist(), session.plane.view
        return match_lines(
            self.board, view, starts, self.slots(), session.partner, visible, self._center
        )

    @property
    def line_width(self) -> float:
        """In world units: 1 mm on a head."""
        return float(tile_size(self.board, self.session.plane)[0]) / 192

    def _center(self, tile: int, patch: int) -> np.ndarray:
        index = box(self.board.explanations[0], patch).mean(axis=0)
        return np.array(self.tiles[tile].image.data_to_world(index))[-2:]

    def patch_under(self, viewer: ViewerModel, event: Any) -> tuple[int, int] | None:
        """Tile and patch under a mouse event, or None beside the tiles."""
        candidates = [number for number, tile in enumerate(self.tiles) if tile.image.visible]
        if self.mode == "grid":
            row, column = getattr(event, "viewbox", None) or (0, 0)
            _, columns = viewer.canvas.grid.actual_shape(viewer.layers)
            box_number = int(row * columns + column)
            candidates = candidates[box_number : box_number + 1]
        for number in candidates:
            down, right = self.tiles[number].image.world_to_data(np.array(event.position)[-2:])
            e, plane = self.board.explanations[0], self.session.plane
            patch = patch_at(e, plane, (float(down), float(right)))
            if patch is not None:
                return number, patch
        return None
