"""Stored grey values (0 to 255) as the network's input (0 to 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

WHITE_MATTER = 200
"""White matter in an image of tissue values (uint8); fluid is 1, grey matter 100, and 0 is outside
the brain (`expert.imaging.tissue_values`)."""


def to_unit(values: np.ndarray) -> Tensor:
    """Grey values, or brain content, as a tensor between 0 and 1.

    Parameters
    ----------
    values : ndarray
        0 to 255, of any shape.

    Returns
    -------
    Tensor
        float32, of the same shape.
    """
    import torch

    return torch.from_numpy(np.ascontiguousarray(values)).float() / 255
