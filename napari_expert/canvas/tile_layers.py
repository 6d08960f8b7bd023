"""The layers of one tile of the canvas: image, highlight with crosshair, and boxes with texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Layer, Shapes, Vectors
from napari.utils.colormaps.standardize_color import transform_color

from expert.patches import DECREASE, INCREASE
from expert.planes import placement
from napari_expert.canvas.panes import tile_shape
from napari_expert.canvas.tile_marks import CLEAR, Color, Panes, unit
from napari_expert.layer_geometry import OURS

if TYPE_CHECKING:
    from expert.explanation import Explanation
    from napari_expert.side_by_side import Board

SPOT: Color = (1.0, 0.25, 0.85, 1.0)
"""Of a highlighted patch that has no number."""
NOTHING = 1e-3
"""Length of vectors that are not to be seen, pixels."""
PREFIX = "ExPeRT"
"""First word of the names of all layers of a result."""
LINE: Color = (0.55, 1.0, 0.55, 0.9)
"""Of the crosshair."""


# --- tiles ----------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Tile:
    """The layers of one tile."""

    image: Image
    highlight: Vectors
    boxes: Shapes

    @property
    def layers(self) -> tuple[Layer, ...]:
        """From bottom to top."""
        return (self.image, self.highlight, self.boxes)

    def rename(self, name: str) -> None:
        """Name the layers after what the tile shows."""
        self.image.name = f"{PREFIX} {name}"
        self.highlight.name = f"{PREFIX} {name}: match"
        self.boxes.name = f"{PREFIX} {name}: patches"


def tile_image(board: Board, number: int, panes: Panes) -> np.ndarray:
    """(rows, columns) image of a tile as it is drawn; black where it is not available."""
    out = np.zeros(tile_shape(panes), np.uint8)
    image = board.whole_image(number, panes[0].plane.view)
    for pane in panes:
        (top, left), (rows, columns) = pane.place, pane.shape
        out[top : top + rows, left : left + columns] = pane.pixels(image)
    return out


def make_tile(board: Board, panes: Panes, number: int, place: dict[str, Any]) -> Tile:
    """Make the layers of a tile, without boxes.

    Parameters
    ----------
    board, panes : Board, tuple of Pane
        What is shown.
    number : int
        Of the tile.
    place : dict
        Scale, translate, units and visibility of all its layers.

    Returns
    -------
    Tile
    """
    image = Image(
        tile_image(board, number, panes),
        colormap="gray",
        contrast_limits=(0, 255),
        interpolation2d="linear",
        **place,
    )
    vectors, width = highlight_vectors(panes, unit(board))
    highlight = Vectors(
        vectors,
        edge_width=width,
        edge_color=np.tile(CLEAR, (len(vectors), 1)),
        vector_style="line",
        opacity=1.0,
        blending="translucent_no_depth",
        **place,
    )
    boxes = Shapes(ndim=2, opacity=1.0, blending="translucent_no_depth", **place)
    boxes.editable = False
    tile = Tile(image, highlight, boxes)
    tile.rename(board.names[number])
    for layer in tile.layers:
        layer.metadata[OURS] = True
    return tile


def tile_scale(explanation: Explanation, panes: Panes) -> np.ndarray:
    """(2,) mm (pixels, where their size is unknown) per pixel of a tile."""
    plane = panes[0].plane
    head = explanation.registration is not None
    return np.asarray(np.abs(placement(explanation.views[plane.view], head, plane)[0]))


def tile_place(board: Board, panes: Panes, offset: float) -> dict[str, Any]:
    """Scale and translate of a tile's layers; `offset` to the right in world units."""
    plane, first = panes[0].plane, board.explanations[0]
    scale, translate = placement(first.views[plane.view], board.head, plane)
    if len(panes) > 1:
        translate = np.zeros(2)
    return {
        "scale": tuple(float(step) for step in scale),
        "translate": (float(translate[0]), float(translate[1]) + offset),
    }


# --- highlight and crosshair ----------------------------------------------------------------------
def highlight_vectors(panes: Panes, inset: float) -> tuple[np.ndarray, float]:
    """One thick line over every patch of the panes, and places for the crosshair.

    Vectors of a layer have one width, and changing their colours takes napari a millisecond. The
    crosshair is therefore made of the same vectors (`cross_vectors`).

    Parameters
    ----------
    panes : tuple of Pane
        Of the tile.
    inset : float
        Distance from the edges of the patches, pixels.

    Returns
    -------
    vectors : (N, 2, 2) numpy.ndarray
        First those of `Pane.patches` of every pane, then those of the crosshair of a volume, which
        are empty.
    width : float
        Of all vectors, pixels.
    """
    corners = [pane.corners(patch, inset) for pane in panes for patch in pane.patches]
    out = np.tile([[0.0, 0.0], [0.0, NOTHING]], (len(corners), 1, 1))
    for row, found in zip(out, corners, strict=True):
        if found is not None:
            row[0] = (found[0, 0] + found[2, 0]) / 2, found[0, 1]
            row[1, 1] = found[1, 1] - found[0, 1]
    width = min(float(found[2, 0] - found[0, 0]) for found in corners if found is not None)
    if panes[0].plane.slice is None:
        return out, width
    return np.concatenate([out, cross_vectors(panes, None, width, 0.0)]), width


def cross_vectors(
    panes: Panes, voxel: np.ndarray | None, width: float, thickness: float
) -> np.ndarray:
    """The crosshair of a tile, as short vectors that lie side by side.

    Parameters
    ----------
    panes : tuple of Pane
        Of the tile.
    voxel : (3,) numpy.ndarray, optional
        Where the lines cross; None for no lines.
    width : float
        Of all vectors, pixels.
    thickness : float
        Of the lines, pixels.

    Returns
    -------
    (N, 2, 2) numpy.ndarray
        Always as many for the same panes; those that are not needed are empty.
    """
    out = []
    for pane in panes:
        most = sum(int(np.ceil(size / width)) + 1 for size in pane.shape)
        own = np.tile([[0.0, 0.0], [0.0, NOTHING]], (most, 1, 1))
        if voxel is not None and pane.holds(point := pane.point(voxel)):
            pieces = [
                (axis, middle)
                for axis in (0, 1)
                for middle in _pieces(pane.place[axis], pane.shape[axis], point[axis], width)
            ]
            for row, (axis, middle) in zip(own, pieces, strict=False):
                # A vector's width is across it: the line down is made of vectors to the right.
                other = 1 - axis
                row[0, axis], row[0, other] = middle, point[other] - thickness / 2
                row[1] = 0.0
                row[1, other] = thickness
        out.append(own)
    return np.concatenate(out)


def _pieces(start: int, size: int, at: float, width: float) -> list[float]:
    """Middles of pieces of a width that make a line with a gap at `at`."""
    out: list[float] = []
    gap = width / 4
    for low, high in ((start - 0.5, at - gap), (at + gap, start + size - 0.5)):
        count = int((high - low) // width)
        out += [low + (n + 0.5) * width for n in range(count)]
        if high - low > (count + 0.05) * width and high - low >= width:
            out.append(high - width / 2)
    return out


def signed_colors(values: np.ndarray, largest: float) -> np.ndarray:
    """(N, 4) RGBA of signed values: orange positive, blue negative.

    Opacity is proportional to the value; `largest` is opaque.
    """
    out = np.zeros((len(values), 4), dtype=np.float32)
    increase, decrease = transform_color([INCREASE, DECREASE])[:, :3]
    out[:, :3] = np.where(values[:, None] >= 0, increase, decrease)
    out[:, 3] = 0.65 * np.clip(np.abs(values) / max(largest, 1e-12), 0, 1)
    return out
