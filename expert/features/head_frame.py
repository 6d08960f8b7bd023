"""A fetal head in the frame of its ellipse: size in the outermost pixels, and names of places.

In this frame (`expert.imaging.head_outline`) every head has the same size. The first and last row
of an image hold the head's circumference in whole grey values, the first and last column what is
left of it, so that every copy of an image carries it. It is a channel of every patch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

FILL = 0.8
"""Fraction of the frame's columns that the major axis fills."""
LARGEST_MM = 450.0
"""Circumference that has grey value 255."""
MIDDLE_MM, STEP_MM = 175.0, 25.0
"""Circumference that is 0 for the network, and that is 1 more."""
SIZE_CHANNELS = 2
"""The circumference and its square."""
MIRRORS: tuple[tuple[int, ...], ...] = ((), (-1,), (-2,), (-2, -1))
"""Axes that are mirrored in the four copies of an image whose ends and sides are not known."""
ROWS = ((-0.55, "upper skull"), (-0.2, "upper half"), (0.2, "midline"), (0.55, "lower half"))
COLUMNS = (
    (-0.9, "left end"),
    (-0.55, "left"),
    (-0.2, "left of centre"),
    (0.2, "centre"),
    (0.55, "right of centre"),
    (0.9, "right"),
)
"""Places by the largest distance below (right of) the centre, in semi-major axes."""


def place_name(row: float, column: float, shape: tuple[int, ...]) -> str:
    """The place of a pixel of the frame, as it is drawn: front and left are not known.

    Parameters
    ----------
    row, column : float
    shape : tuple[int, ...]
        Rows and columns of the frame.

    Returns
    -------
    str
        As "midline, left end".
    """
    semi = FILL * shape[1] / 2
    down, right = (row - (shape[0] - 1) / 2) / semi, (column - (shape[1] - 1) / 2) / semi
    names = (
        next((name for limit, name in ROWS if down <= limit), "lower skull"),
        next((name for limit, name in COLUMNS if right <= limit), "right end"),
    )
    return ", ".join(names)


def with_rim(image: np.ndarray, circumference_mm: float) -> np.ndarray:
    """An image with the circumference in its outermost pixels.

    Parameters
    ----------
    image : (rows, columns) uint8 ndarray
    circumference_mm : float

    Returns
    -------
    (rows, columns) uint8 ndarray
    """
    value = np.clip(circumference_mm / LARGEST_MM, 0, 1) * 255
    whole = min(int(value), 254)
    out = image.copy()
    out[:, [0, -1]] = round(255 * (value - whole))
    out[[0, -1]] = whole
    return out


def without_rim(image: np.ndarray) -> np.ndarray:
    """An image (…, rows, columns) whose outermost pixels are black, for looking at."""
    out = image.copy()
    out[..., [0, -1], :] = 0
    out[..., [0, -1]] = 0
    return out


def circumference_of(image: np.ndarray) -> float:
    """The circumference in the rim of an image (rows, columns), mm."""
    whole = max(float(image[row, 1:-1].mean()) for row in (0, -1))
    part = max(float(image[1:-1, column].mean()) for column in (0, -1))
    return (whole + part / 255) / 255 * LARGEST_MM


def read_rim(images: Tensor) -> tuple[Tensor, Tensor]:
    """Images without their rim, and what a network gets of the sizes in it.

    Parameters
    ----------
    images : (B, 1, rows, columns) Tensor
        0 to 1.

    Returns
    -------
    inner : (B, 1, rows, columns) Tensor
    size : (B, SIZE_CHANNELS) Tensor
        The circumference, scaled with `MIDDLE_MM` and `STEP_MM`, and a third of its square.
    """
    import torch

    whole = images[:, 0, [0, -1], 1:-1].mean(2).amax(1)
    part = images[:, 0, 1:-1][..., [0, -1]].mean(1).amax(1)
    circumference = (whole + part / 255) * LARGEST_MM
    size = (circumference - MIDDLE_MM) / STEP_MM
    inner = torch.zeros_like(images)
    inner[..., 1:-1, 1:-1] = images[..., 1:-1, 1:-1]
    return inner, torch.stack([size, size.square() / 3], 1)


def keep_rim(changed: Tensor, images: Tensor) -> Tensor:
    """Changed images (B, 1, rows, columns) with the rim of the images they were made from."""
    out = images.clone()
    out[..., 1:-1, 1:-1] = changed[..., 1:-1, 1:-1]
    return out
