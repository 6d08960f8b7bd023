"""One tile of the canvas: image, highlight, boxes, numbers, title and letters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Layer, Shapes, Vectors
from napari.utils.colormaps.standardize_color import transform_color

from expert.patches import (
    COLORS,
    DECREASE,
    FAINT,
    INCREASE,
    Plane,
    box,
    display,
    edge_letters,
    patches_in_plane,
)
from napari_expert.layer_geometry import OURS, placement

if TYPE_CHECKING:
    from napari_expert.side_by_side import Board

Color = tuple[float, ...]
INK: Color = (1.0, 1.0, 1.0, 1.0)
SPOT: Color = (1.0, 0.25, 0.85, 1.0)
"""Of a highlighted patch that has no number."""
AVERAGE: Color = (0.9, 0.62, 0.0, 1.0)
"""Of the text below an average head."""
CLEAR: Color = (0.0, 0.0, 0.0, 0.0)
CHIP: Color = (0.0, 0.0, 0.0, 0.85)
"""Background of a number."""
TITLE, MARGIN, GAP, LETTER = 0.073, 0.047, 0.125, 0.026
"""Space for the title, around and between tiles, and from the edge to its letter: fractions of a
tile's height, because a plain image may have a few mm or hundreds of pixels."""
BOX = 32
"""Insets and line widths are given for a patch of so many pixels, and scale with its size."""


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
        self.image.name = name
        self.highlight.name, self.boxes.name = f"{name}: match", f"{name}: patches"


def tile_image(board: Board, number: int, plane: Plane) -> np.ndarray:
    """(rows, columns) image of a tile as it is drawn; black where it is not available."""
    image = board.image(number, plane)
    if image is None:
        image = np.zeros(board.explanations[0].view_shape[-2:], np.uint8)
    return display(image, board.head)


def make_tile(board: Board, plane: Plane, number: int, place: dict[str, Any]) -> Tile:
    """Make the layers of a tile, without boxes.

    Parameters
    ----------
    board, plane : Board, Plane
        What is shown.
    number : int
        Of the tile.
    place : dict
        Scale, translate, units and visibility of all its layers.

    Returns
    -------
    Tile
    """
    name, explanation = board.names[number], board.explanations[0]
    image = Image(
        tile_image(board, number, plane),
        name=name,
        colormap="gray",
        contrast_limits=(0, 255),
        interpolation2d="linear",
        **place,
    )
    visible = patches_in_plane(explanation, plane).ravel()
    corners = np.array([box(explanation, int(patch), inset=unit(board)) for patch in visible])
    start = np.column_stack([corners.mean(axis=1)[:, 0], corners[:, 0, 1]])
    along = np.column_stack([np.zeros(len(start)), corners[:, 1, 1] - corners[:, 0, 1]])
    highlight = Vectors(
        np.stack([start, along], axis=1),
        edge_width=float(corners[0, 2, 0] - corners[0, 0, 0]),
        edge_color=np.tile(CLEAR, (len(start), 1)),
        vector_style="line",
        opacity=1.0,
        blending="translucent_no_depth",
        **place,
    )
    boxes = Shapes(ndim=2, opacity=1.0, blending="translucent_no_depth", **place)
    boxes.editable = False
    tile = Tile(image, highlight, boxes)
    tile.rename(name)
    for layer in tile.layers:
        layer.metadata[OURS] = True
    return tile


def tile_size(board: Board, plane: Plane) -> np.ndarray:
    """(2,) height and width of a tile's image in mm (pixels, where their size is unknown)."""
    e = board.explanations[0]
    place = placement(e.views[plane.view], board.head)
    return np.asarray(np.abs(np.array(place["scale"])) * np.array(e.view_shape[-2:]))


def tile_place(board: Board, plane: Plane, neurological: bool, offset: float) -> dict[str, Any]:
    """Scale and translate of a tile's layers; `offset` to the right in world units."""
    place = placement(board.explanations[0].views[plane.view], board.head)
    (rows, columns), (top, left) = place["scale"], place["translate"]
    mirror = -1 if neurological and board.head else 1
    return {"scale": (rows, mirror * columns), "translate": (top, mirror * left + offset)}


def below(board: Board) -> float:
    """Space below a tile's image, for one line or two; fraction of its height."""
    averages = any(board.average(number) for number in range(board.tiles))
    return 2.4 * MARGIN if averages else MARGIN


def unit(board: Board) -> float:
    """Image pixels that correspond to one pixel of a patch of `BOX` pixels."""
    e = board.explanations[0]
    return min(n / patches for n, patches in zip(e.view_shape[-2:], e.grid[-2:], strict=True)) / BOX


# --- boxes, numbers and texts ---------------------------------------------------------------------
@dataclass
class Mark:
    """One shape: a box (`text` empty) or a text.

    The corners of a text are an invisible anchor or the background of a number.
    """

    corners: np.ndarray
    """(4, 2) row, column in pixels of the image as drawn."""
    color: Color = CLEAR
    width: float = 0.0
    text: str = ""
    ink: Color = INK
    face: Color = CLEAR


def number_color(number: int) -> Color:
    """RGBA of a patch by its number (1-based); the colours repeat after the last."""
    return tuple(float(value) for value in transform_color(COLORS[(number - 1) % len(COLORS)])[0])


def text(words: str, place: tuple[float, float], ink: Color = INK) -> Mark:
    """Text at (row, column)."""
    corners = np.array(place) + 0.05 * np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]])
    return Mark(corners, text=words, ink=ink)


def numeral(corners: np.ndarray, number: int, color: Color, rank: int) -> Mark:
    """A number on a dark background in the upper left of a box; several stand side by side."""
    side = (corners[2, 0] - corners[0, 0]) / 30 * 8.0
    top, left = corners[0] + [0.0, rank * side]
    chip = np.array(
        [[top, left], [top, left + side], [top + side, left + side], [top + side, left]]
    )
    return Mark(chip, text=str(number), ink=color, face=CHIP)


def tile_marks(board: Board, plane: Plane, number: int, shares: list[np.ndarray]) -> list[Mark]:
    """Everything that is drawn on a tile's image.

    Parameters
    ----------
    board, plane : Board, Plane
        What is shown.
    number : int
        Of the tile.
    shares : list of numpy.ndarray
        For each numbered patch, in the order of the numbers, (M,) where its mass lies in this tile.

    Returns
    -------
    list of Mark
    """
    return [
        *captions(board, plane, number),
        *elsewhere(board, plane, shares),
        *boxes(board, plane, shares),
    ]


def captions(board: Board, plane: Plane, number: int) -> list[Mark]:
    """Title and letters of a tile."""
    rows, columns = board.explanations[0].view_shape[-2:]
    marks = [text(board.title(number, plane), (-0.55 * TITLE * rows, columns / 2))]
    if board.image(number, plane) is None:
        marks.append(text("image not available", (rows / 2, columns / 2)))
    if average := board.average(number):
        marks.append(
            text(average, ((1 + below(board) - 0.75 * MARGIN) * rows, columns / 2), AVERAGE)
        )
    edge, beside = LETTER * rows, MARGIN / 2 * rows
    places = {
        "left": (rows / 2, -beside),
        "right": (rows / 2, columns + beside),
        "top": (edge, columns / 2),
        "bottom": (rows - edge, columns / 2),
    }
    return marks + [text(letter, places[side]) for side, letter in edge_letters(board.head).items()]


def elsewhere(board: Board, plane: Plane, shares: list[np.ndarray]) -> list[Mark]:
    """List the numbers with most of their mass in other slices of a volume.

    See `tile_marks`.
    """
    e = board.explanations[0]
    visible = set(patches_in_plane(e, plane).ravel().tolist())
    away = [str(n) for n, share in enumerate(shares, 1) if int(share.argmax()) not in visible]
    if not away:
        return []
    height, columns = e.view_shape[-2:]
    place = ((1 + MARGIN / 2) * height, columns / 2)
    return [text(f"in other slices: {', '.join(away)}", place)]


def boxes(board: Board, plane: Plane, shares: list[np.ndarray]) -> list[Mark]:
    """Boxes and numbers of the patches of a tile; see `tile_marks`."""
    e, one = board.explanations[0], unit(board)
    visible = set(patches_in_plane(e, plane).ravel().tolist())
    crowd: dict[int, int] = {}
    marks = []
    for number, mass in enumerate(shares, 1):
        color, target = number_color(number), int(mass.argmax())
        for patch in (int(n) for n in np.flatnonzero(mass >= FAINT) if n in visible):
            # Several patches may go to one: their boxes nest, their numbers stand side by side.
            rank = crowd[patch] = crowd.get(patch, -1) + 1
            share = float(mass[patch])
            corners = box(e, patch, inset=one * (1 + 2 * min(rank, 4)))
            ink = (*color[:3], 0.25 + 0.75 * share)
            marks.append(Mark(corners, ink, one * (0.3 + 1.2 * share)))
            if patch == target:
                marks.append(numeral(box(e, patch, inset=one), number, color, rank))
    return marks


def draw_marks(layer: Shapes, marks: list[Mark], size: float) -> None:
    """Replace the shapes of a layer.

    Parameters
    ----------
    layer : napari.layers.Shapes
        Of a tile.
    marks : list of Mark
        Boxes and texts.
    size : float
        Of the texts, in points.
    """
    layer.text.visible = False  # texts and shapes change one after the other
    layer.selected_data = set()
    layer.data = []
    layer.add_rectangles(
        [mark.corners for mark in marks],
        edge_width=[mark.width for mark in marks],
        edge_color=np.array([mark.color for mark in marks]),
        face_color=np.array([mark.face for mark in marks]),
    )
    layer.features = {"text": [mark.text for mark in marks]}
    layer.text = {
        "string": "{text}",
        "color": np.array([mark.ink for mark in marks]),
        "size": size,
        "anchor": "center",
    }
    layer.refresh()


def signed_colors(values: np.ndarray, largest: float) -> np.ndarray:
    """(N, 4) RGBA of signed values: orange positive, blue negative.

    Opacity is proportional to the value; `largest` is opaque.
    """
    out = np.zeros((len(values), 4), dtype=np.float32)
    increase, decrease = transform_color([INCREASE, DECREASE])[:, :3]
    out[:, :3] = np.where(values[:, None] >= 0, increase, decrease)
    out[:, 3] = 0.65 * np.clip(np.abs(values) / max(largest, 1e-12), 0, 1)
    return out
