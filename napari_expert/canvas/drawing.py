"""Boxes, numbers and titles of one cell, and the Shapes layer that carries them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from napari.utils.colormaps.standardize_color import transform_color

from expert.patches import COLORS

if TYPE_CHECKING:
    from napari.layers import Shapes

Color = tuple[float, ...]
INK: Color = (1.0, 1.0, 1.0, 1.0)
SPOT: Color = (1.0, 0.25, 0.85, 1.0)
"""What is pointed at and has no number of its own."""
CLEAR: Color = (0.0, 0.0, 0.0, 0.0)
CHIP: Color = (0.0, 0.0, 0.0, 0.85)
UP, DOWN = (0.902, 0.624, 0.0), (0.337, 0.706, 0.914)
"""Orange pulls up or speaks for, blue pulls down or speaks against (Okabe and Ito)."""


@dataclass
class Mark:
    """One shape: a box (`text` empty) or a text, whose corners are then an invisible anchor or a
    chip behind it."""

    corners: np.ndarray
    """(4, 2) row, column in pixels of the picture as drawn."""
    color: Color = CLEAR
    width: float = 0.0
    text: str = ""
    ink: Color = INK
    face: Color = CLEAR


def number_color(number: int) -> Color:
    """RGBA of a patch by its number (1-based); the colours come again after the last."""
    return tuple(float(value) for value in transform_color(COLORS[(number - 1) % len(COLORS)])[0])


def text(words: str, place: tuple[float, float], ink: Color = INK) -> Mark:
    """Words at (row, column)."""
    corners = np.array(place) + 0.05 * np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]])
    return Mark(corners, text=words, ink=ink)


def numeral(corners: np.ndarray, number: int, color: Color, rank: int) -> Mark:
    """A number on a dark chip in the upper left of a box; several stand side by side."""
    side = (corners[2, 0] - corners[0, 0]) / 30 * 8.0
    top, left = corners[0] + [0.0, rank * side]
    chip = np.array(
        [[top, left], [top, left + side], [top + side, left + side], [top + side, left]]
    )
    return Mark(chip, text=str(number), ink=color, face=CHIP)


def fill(layer: Shapes, marks: list[Mark], size: float) -> None:
    """Replace a layer's shapes; `size` of the texts in points."""
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


def signed_colors(values: np.ndarray, most: float) -> np.ndarray:
    """(N, 4) RGBA of signed values: orange up, blue down, clearer the stronger, `most` being the
    strongest."""
    out = np.zeros((len(values), 4), dtype=np.float32)
    out[:, :3] = np.where(values[:, None] >= 0, UP, DOWN)
    out[:, 3] = 0.65 * np.clip(np.abs(values) / max(most, 1e-12), 0, 1)
    return out
