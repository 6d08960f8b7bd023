"""Limits of what a model file or a recipe can ask for: no network or image of any size."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from expert.schema import Architecture, InputSettings

MOST = 1 << 16
"""Largest number of channels, prototypes, planes and the like."""
MOST_PIXELS = 1 << 28
"""Pixels of an input."""
MOST_PLANES = 1000
LARGEST_SCALE = 1e9
"""Of a radius and the like: their squares are numbers."""
RESIDUAL_STAGES, HIDDEN_LAYERS = 4, 8


def input_excess(settings: InputSettings) -> str:
    """Why an input is too large.

    Parameters
    ----------
    settings : InputSettings

    Returns
    -------
    str
        A part of a sentence; empty if it is not.
    """
    if math.prod(settings.shape) > MOST_PIXELS:
        return f"input shape must have at most {MOST_PIXELS >> 20} million pixels"
    if max(len(settings.positions_mm), len(settings.training_positions_mm)) > MOST_PLANES:
        return f"an input has at most {MOST_PLANES} planes"
    return ""


def architecture_excess(settings: Architecture) -> str:
    """Why a network is too large, or has a part without channels.

    Parameters
    ----------
    settings : Architecture

    Returns
    -------
    str
        A part of a sentence; empty if it is not.
    """
    sizes = (*settings.widths, *settings.places, settings.shrink, settings.pool, settings.channels)
    sizes += (settings.planes, settings.members, settings.prototypes, settings.bins)
    if min(sizes) < 1 or max(*sizes, settings.guide) > MOST:
        return f"numbers of an architecture must be from 1 to {MOST}"
    scales = (settings.radius, settings.regularization)
    if not all(1 / LARGEST_SCALE <= scale <= LARGEST_SCALE for scale in scales):
        return f"radius and regularization must be from {1 / LARGEST_SCALE:g} to {LARGEST_SCALE:g}"
    if max(settings.prior, settings.reach, settings.relaxation) > LARGEST_SCALE:
        return f"prior, reach and relaxation must be at most {LARGEST_SCALE:g}"
    most = RESIDUAL_STAGES if settings.backbone == "residual" else HIDDEN_LAYERS
    if len(settings.widths) > most:
        return f"{settings.backbone} networks have at most {most} widths"
    return ""
