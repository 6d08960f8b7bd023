"""What a reader returns, and the limits of what is read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from expert.errors import InputError

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
MAX_VOXELS = 256_000_000
"""About 630 voxels per axis, or a whole head at 0.4 mm."""


@dataclass(frozen=True, eq=False)
class StoredImage:
    """An image as it is in its file; `expert.imaging.volume.Volume` describes the fields."""

    data: np.ndarray
    affine: np.ndarray
    kind: str
    """The format: the first step of the history."""
    space: Literal["ras", "image", "unknown"] = "ras"
    spacing_known: bool = True
    assumed: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


def check_size(shape: Sequence[int], name: str) -> None:
    """Refuse an image that is empty or too large, before its voxels are read.

    Parameters
    ----------
    shape : sequence of int
        As the header states it.
    name : str
        Of the file.

    Raises
    ------
    InputError
        An axis has no voxels, or there are more than `MAX_VOXELS`.
    """
    size = "×".join(str(n) for n in shape)
    if any(n < 1 for n in shape):
        raise InputError(f"{name} has {size} voxels: it contains no image.")
    if math.prod(int(n) for n in shape) > MAX_VOXELS:
        raise InputError(
            f"{name} has {size} voxels, and at most {MAX_VOXELS // 1_000_000} million are read: "
            "resample it, 1 mm is enough."
        )


def printable(text: object, longest: int = 64) -> str:
    """Text of a file's header for the screen, without control characters.

    Parameters
    ----------
    text : object
    longest : int
        Number of characters; the rest is cut off.

    Returns
    -------
    str
    """
    shown = "".join(c if c.isprintable() else "�" for c in str(text).strip())
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"
