"""The lines layout: matched patches of the image and the prototype beside it, joined."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Vectors

from expert.patches import FAINT
from napari_expert.canvas.tile_layers import PREFIX
from napari_expert.canvas.tile_marks import CLEAR, Color
from napari_expert.layer_geometry import OURS

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_expert.side_by_side import Board

Start = tuple[int, int, Color]
"""Tile, patch and colour of the lines from one patch."""
Line = tuple[np.ndarray, Color]
"""(2, 2) start and direction in world units, and colour."""


def match_lines(
    board: Board,
    view: int,
    starts: Iterable[Start],
    tiles: Iterable[int],
    partner: int,
    visible: Iterable[int],
    center: Callable[[int, int], np.ndarray],
) -> Iterator[Line]:
    """Lines from patches to their matches; each has the prototype at one of its ends.

    Parameters
    ----------
    board : Board
        What is shown.
    view : int
        0-based.
    starts : iterable of Start
        Where lines begin.
    tiles : iterable of int
        Tiles on the canvas.
    partner : int
        Tile of the prototype.
    visible : iterable of int
        Patches in the plane: both ends of a line are among them.
    center : callable
        Takes tile and patch to the patch's (2,) world coordinates.

    Yields
    ------
    Line
        The opacity is the share.
    """
    inside, tiles = set(visible), list(tiles)

    def fan(tile: int, patch: int, other: int, shares: np.ndarray, color: Color) -> Iterator[Line]:
        if patch not in inside:
            return
        for target in np.flatnonzero(shares >= FAINT):
            if target in inside:
                start, end = center(tile, patch), center(other, int(target))
                ink = (*color[:3], 0.15 + 0.85 * float(shares[target]))
                yield np.array([start, end - start]), ink

    for tile, patch, color in starts:
        shares = board.partners(view, tile, patch)
        if tile == partner:
            for other in tiles:
                if other != partner:
                    yield from fan(partner, patch, other, shares[other], color)
            continue
        yield from fan(tile, patch, partner, shares[partner], color)
        # A – prototype – B: the second image is reached from the prototype's patch.
        middle = int(shares[partner].argmax())
        for other in tiles:
            if other not in (tile, partner):
                onward = board.partners(view, partner, middle)[other]
                yield from fan(partner, middle, other, onward, color)


class MatchLines:
    """The layer of the lines; it exists while lines are drawn.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Gets the layer, above all others.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self.layer: Vectors | None = None

    def draw(self, lines: Iterable[Line], width: float, units: tuple[str, str]) -> None:
        """Replace the lines; `width` in world units."""
        if self.layer is None:
            self.layer = Vectors(
                np.zeros((1, 2, 2)),
                name=f"{PREFIX} matches",
                edge_width=width,
                edge_color=[CLEAR],
                vector_style="line",
                opacity=1.0,
                blending="translucent_no_depth",
                units=units,
                metadata={OURS: True},
            )
            active = self._viewer.layers.selection.active
            ours = sum(OURS in layer.metadata for layer in self._viewer.layers)
            self._viewer.layers.insert(ours, self.layer)  # below the user's own
            self._viewer.layers.selection.active = active
        found = list(lines)
        self.layer.data = np.array([line for line, _ in found]) if found else np.zeros((1, 2, 2))
        if self.layer.edge_width != width:
            self.layer.edge_width = width
        colors = [color for _, color in found]
        self.layer.edge_color = np.array(colors or [CLEAR])

    def remove(self) -> None:
        """Remove the layer: outside of the lines layout it would shift the boxes of the grid."""
        if self.layer is not None and self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)
        self.layer = None
