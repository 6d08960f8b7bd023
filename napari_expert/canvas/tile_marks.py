"""What is drawn on a tile: boxes of patches, their numbers, title, letters and positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Shapes
from napari.utils.colormaps.standardize_color import transform_color

from expert.patches import COLORS, FAINT
from expert.planes import edge_letters
from napari_expert.canvas.panes import Pane, tile_shape

if TYPE_CHECKING:
    from napari_expert.side_by_side import Board

Panes = tuple[Pane, ...]
Color = tuple[float, ...]
INK: Color = (1.0, 1.0, 1.0, 1.0)
AVERAGE: Color = (0.9, 0.62, 0.0, 1.0)
"""Of the text below an average head."""
CLEAR: Color = (0.0, 0.0, 0.0, 0.0)
CHIP: Color = (0.0, 0.0, 0.0, 0.85)
"""Background of a number."""
TITLE, MARGIN, GAP, LETTER = 0.073, 0.047, 0.125, 0.026
"""Space for the title, around and between tiles, and from the edge to its letter: fractions of a
tile's height, because a plain image may have a few mm or hundreds of pixels."""
ROOM = 1.7
"""Factor of this space where a tile shows three planes: it is small beside its width."""
THIN, FEW = 1 / 14, 12
"""Smallest width of lines, as a fraction of a digit's height; and so many fine patches are
numbered."""
BOX = 32
"""Insets and line widths are given for a patch of so many pixels, and scale with its size."""


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


def unit(board: Board) -> float:
    """Image pixels that correspond to one pixel of a patch of `BOX` pixels."""
    e = board.explanations[0]
    return min(n / patches for n, patches in zip(e.view_shape[-2:], e.grid[-2:], strict=True)) / BOX


def margins(panes: Panes) -> tuple[float, float]:
    """Space for the title and around a tile, pixels of the tile."""
    rows = tile_shape(panes)[0] * (ROOM if len(panes) > 1 else 1.0)
    return TITLE * rows, MARGIN * rows


def below(board: Board, margin: float) -> float:
    """Space below a tile's image in pixels, for one line or two; `margin` is that of one."""
    averages = any(board.average(number) for number in range(board.tiles))
    return 2.4 * margin if averages else margin


def number_color(number: int) -> Color:
    """RGBA of a patch by its number (1-based); the colours repeat after the last."""
    return tuple(float(value) for value in transform_color(COLORS[(number - 1) % len(COLORS)])[0])


def text(words: str, place: tuple[float, float], ink: Color = INK) -> Mark:
    """Text at (row, column)."""
    corners = np.array(place) + 0.05 * np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]])
    return Mark(corners, text=words, ink=ink)


def numeral(corners: np.ndarray, number: int, color: Color, rank: int, digit: float) -> Mark:
    """A number on a dark background over the upper left corner of a box, several side by side.

    `digit` is the height of a digit, pixels of the tile: a fine patch must not be covered.
    """
    wide = 0.8 * digit * len(str(number))
    top, left = corners[0] + [-digit / 2, (rank - 0.5) * wide]
    chip = np.array(
        [[top, left], [top, left + wide], [top + digit, left + wide], [top + digit, left]]
    )
    return Mark(chip, text=str(number), ink=color, face=CHIP)


def tile_marks(
    board: Board,
    panes: Panes,
    number: int,
    shares: list[np.ndarray],
    main: Panes,
    digit: float,
) -> list[Mark]:
    """Everything that is drawn on a tile's image.

    Parameters
    ----------
    board, panes : Board, tuple of Pane
        What is shown.
    number : int
        Of the tile.
    shares : list of numpy.ndarray
        For each numbered patch, in the order of the numbers, (M,) where its mass lies in this tile.
    main : tuple of Pane
        Those of the first tile.
    digit : float
        Height of a digit, pixels of the tile.

    Returns
    -------
    list of Mark
    """
    return [
        *captions(board, panes, number, main),
        *elsewhere(panes, shares),
        *boxes(panes, unit(board), shares, digit),
    ]


def captions(board: Board, panes: Panes, number: int, main: Panes) -> list[Mark]:
    """Title, letters, and positions of a tile; see `tile_marks`."""
    rows, columns = tile_shape(panes)
    plane = panes[0].plane
    words = board.title(number, plane if len(panes) == 1 else None)
    if len(panes) == 1 and plane != main[0].plane and plane.slice is not None:
        words += f" · {plane.name}"
    title, margin = margins(panes)
    marks = [text(words, (-0.55 * title, columns / 2))]
    if board.whole_image(number, plane.view) is None:
        marks.append(text("image not available", (rows / 2, columns / 2)))
    if average := board.average(number):
        place = rows + below(board, margin) - 0.75 * margin
        marks.append(text(average, (place, columns / 2), AVERAGE))
    for pane in panes:
        marks += letters(pane, board.head, rows, beside=len(panes) == 1)
        if len(panes) > 1:
            place = rows + margin / 2
            marks.append(text(pane.plane.name, (place, pane.place[1] + pane.shape[1] / 2)))
    return marks


def letters(pane: Pane, head: bool, height: int, beside: bool) -> list[Mark]:
    """The sides of the patient, `beside` the pane or within it; none for plain images."""
    (top, left), (rows, columns), edge = pane.place, pane.shape, LETTER * height
    edge *= 1 if beside else 2
    out = -MARGIN / 2 * height if beside else edge
    places = {
        "left": (top + rows / 2, left + out),
        "right": (top + rows / 2, left + columns - out),
        "top": (top + edge, left + columns / 2),
        "bottom": (top + rows - edge, left + columns / 2),
    }
    words = edge_letters(head, pane.plane.axis)
    if pane.mirrored:
        words = {**words, "left": words["right"], "right": words["left"]}
    return [text(letter, places[side]) for side, letter in words.items()]


def elsewhere(panes: Panes, shares: list[np.ndarray]) -> list[Mark]:
    """List the numbers with most of their mass in other slices of a volume.

    See `tile_marks`. Three planes show few of all patches, and list none.
    """
    if len(panes) > 1:
        return []
    visible = set(panes[0].patches)
    away = [str(n) for n, share in enumerate(shares, 1) if int(share.argmax()) not in visible]
    if not away:
        return []
    height, columns = panes[0].shape
    place = ((1 + MARGIN / 2) * height, columns / 2)
    return [text(f"in other slices: {', '.join(away)}", place)]


def boxes(panes: Panes, one: float, shares: list[np.ndarray], digit: float) -> list[Mark]:
    """Boxes and numbers of the patches of a tile; see `tile_marks` and `unit`."""
    marks = []
    for pane in panes:
        visible = set(pane.patches)
        crowd: dict[int, int] = {}
        for number, mass in enumerate(shares, 1):
            color, target = number_color(number), int(mass.argmax())
            for patch in (int(n) for n in np.flatnonzero(mass >= FAINT) if n in visible):
                # Several patches may go to one: their boxes nest, their numbers stand side by side.
                rank = crowd.get(patch, -1) + 1
                share = float(mass[patch])
                corners = pane.corners(patch, inset=one * (1 + 2 * min(rank, 4)))
                outside = pane.corners(patch, inset=one)
                if corners is None or outside is None:
                    continue
                crowd[patch] = rank
                ink = (*color[:3], 0.25 + 0.75 * share)
                marks.append(Mark(corners, ink, max(one * (0.3 + 1.2 * share), THIN * digit)))
                # The numbers of many fine patches would cover each other.
                if patch == target and (len(shares) <= FEW or one * BOX > 2 * digit):
                    marks.append(numeral(outside, number, color, rank, digit))
    return marks


def same_shapes(one: list[Mark], other: list[Mark]) -> bool:
    """Whether two lists of marks differ by nothing but their texts."""
    return len(one) == len(other) and all(
        (a.color, a.width, a.ink, a.face) == (b.color, b.width, b.ink, b.face)
        and np.array_equal(a.corners, b.corners)
        for a, b in zip(one, other, strict=True)
    )


def write_marks(layer: Shapes, marks: list[Mark]) -> None:
    """Change the texts of a layer, in a fraction of the time that `draw_marks` takes."""
    layer.features = {"text": [mark.text for mark in marks]}
    layer.refresh(extent=False, thumbnail=False)


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
