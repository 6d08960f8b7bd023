"""One picture of a scene: its three layers, and the boxes, numbers, title and letters on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Layer, Shapes, Vectors

from expert.patches import FAINT, Plane, box, display, edge_letters, patches_in_plane
from napari_expert.canvas.drawing import CLEAR, Mark, number_color, numeral, text
from napari_expert.layer_geometry import OURS

if TYPE_CHECKING:
    from napari_expert.side_by_side import Board

TITLE, MARGIN, GAP, LETTER = 0.073, 0.047, 0.125, 0.026
"""Room above, around and between pictures, and from the edge to its letter: parts of a picture's
height, since a plain image may be of a few mm, or of hundreds of pixels."""
BOX = 32
"""Insets and line widths are told for a patch of so many pixels, and shrink with smaller ones."""


@dataclass(frozen=True)
class Cell:
    """The layers of one picture."""

    image: Image
    wash: Vectors
    boxes: Shapes

    @property
    def layers(self) -> tuple[Layer, ...]:
        return (self.image, self.wash, self.boxes)


def blank_or(image: np.ndarray | None, board: Board) -> np.ndarray:
    """A picture as it is drawn; black where there is none."""
    return display(
        np.zeros(board.explanations[0].view_shape[-2:], np.uint8) if image is None else image,
        board.head,
    )


def make_cell(board: Board, plane: Plane, number: int, place: dict[str, Any]) -> Cell:
    """The layers of a cell, without boxes yet; `place`: scale, translate, units and visibility of
    them all."""
    name, explanation = board.names[number], board.explanations[0]
    image = Image(
        blank_or(board.image(number, plane), board),
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
    wash = Vectors(
        np.stack([start, along], axis=1),
        name=f"{name}: match",
        edge_width=float(corners[0, 2, 0] - corners[0, 0, 0]),
        edge_color=np.tile(CLEAR, (len(start), 1)),
        vector_style="line",
        opacity=1.0,
        blending="translucent_no_depth",
        **place,
    )
    boxes = Shapes(
        name=f"{name}: patches", ndim=2, opacity=1.0, blending="translucent_no_depth", **place
    )
    boxes.editable = False
    for layer in (image, wash, boxes):
        layer.metadata[OURS] = True
    return Cell(image, wash, boxes)


def unit(board: Board) -> float:
    """Pixels of the picture that are one of a patch of `BOX` pixels."""
    e = board.explanations[0]
    return min(n / cells for n, cells in zip(e.view_shape[-2:], e.grid[-2:], strict=True)) / BOX


def elsewhere(board: Board, plane: Plane, rows: list[np.ndarray]) -> list[Mark]:
    """Says which numbers have most of their mass in other slices of a volume; see `boxes`."""
    e = board.explanations[0]
    visible = set(patches_in_plane(e, plane).ravel().tolist())
    away = [
        str(number) for number, shares in enumerate(rows, 1) if int(shares.argmax()) not in visible
    ]
    height, columns = e.view_shape[-2:]
    return (
        [text(f"in other slices: {', '.join(away)}", ((1 + MARGIN / 2) * height, columns / 2))]
        if away
        else []
    )


def boxes(board: Board, plane: Plane, rows: list[np.ndarray]) -> list[Mark]:
    """Boxes and numbers of a cell.

    Parameters
    ----------
    board, plane : what is shown
    rows : for each numbered patch, in the order of the numbers, (M,) where its mass lies in this
        cell
    """
    e, one = board.explanations[0], unit(board)
    visible, crowd, marks = set(patches_in_plane(e, plane).ravel().tolist()), dict[int, int](), []
    for number, shares in enumerate(rows, 1):
        color, target = number_color(number), int(shares.argmax())
        for patch in (int(n) for n in np.flatnonzero(shares >= FAINT) if n in visible):
            # Several patches may go to one: their boxes nest, their numbers stand side by side.
            rank = crowd[patch] = crowd.get(patch, -1) + 1
            share = float(shares[patch])
            corners = box(e, patch, inset=one * (1 + 2 * min(rank, 4)))
            marks.append(
                Mark(corners, (*color[:3], 0.25 + 0.75 * share), one * (0.3 + 1.2 * share))
            )
            if patch == target:
                marks.append(numeral(box(e, patch, inset=one), number, color, rank))
    return marks


def captions(board: Board, plane: Plane, number: int) -> list[Mark]:
    """Title and letters of a cell."""
    rows, columns = board.explanations[0].view_shape[-2:]
    marks = [text(board.title(number, plane), (-0.55 * TITLE * rows, columns / 2))]
    if board.image(number, plane) is None:
        marks.append(text("image not at hand", (rows / 2, columns / 2)))
    edge, beside = LETTER * rows, MARGIN / 2 * rows
    places = {
        "left": (rows / 2, -beside),
        "right": (rows / 2, columns + beside),
        "top": (edge, columns / 2),
        "bottom": (rows - edge, columns / 2),
    }
    return marks + [text(letter, places[side]) for side, letter in edge_letters(board.head).items()]
