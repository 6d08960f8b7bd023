"""The grey-value window of the tiles: presets, and dragging with the right mouse button."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_expert.viewing import Window

PERCENTILES: dict[Window, tuple[float, float]] = {"brain": (1.0, 99.0), "tissue": (25.0, 99.0)}
"""Lower and upper limit of the presets, among the pixels that are not black."""
FULL = (0.0, 255.0)
SPEED = 0.5
"""Grey values per pixel of the mouse."""
NARROWEST = 4.0


def preset_limits(image: np.ndarray, window: Window) -> tuple[float, float]:
    """Contrast limits of a preset.

    Parameters
    ----------
    image : (*shape) uint8 ndarray
        Of the whole view.
    window : {"full", "brain", "tissue"}

    Returns
    -------
    (float, float)
    """
    lit = image[image > 0]
    if window not in PERCENTILES or not lit.size:
        return FULL
    low, high = np.percentile(lit, PERCENTILES[window])
    return float(low), float(max(high, low + NARROWEST))


def dragged_limits(limits: tuple[float, float], right: float, down: float) -> tuple[float, float]:
    """Contrast limits after dragging: to the right widens them, upwards makes the image brighter.

    Parameters
    ----------
    limits : (float, float)
        Before.
    right, down : float
        Pixels of the mouse since then.

    Returns
    -------
    (float, float)
        Within 0 to 255.
    """
    low, high = limits
    width = float(np.clip(high - low + SPEED * right, NARROWEST, FULL[1]))
    level = float(np.clip((low + high) / 2 + SPEED * down, *FULL))
    return max(level - width / 2, FULL[0]), min(level + width / 2, FULL[1])


class WindowDrag:
    """Sets the grey-value window with the right mouse button until `disconnect`.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        With the mouse.
    image : callable
        Returns the layer whose limits are set, or None where there is none.
    """

    def __init__(self, viewer: ViewerModel, image: Callable[[], Image | None]) -> None:
        self._viewer, self._image = viewer, image
        viewer.mouse_drag_callbacks.append(self._pressed)

    def disconnect(self) -> None:
        """Stop listening to the mouse."""
        if self._pressed in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._pressed)

    def _pressed(self, viewer: ViewerModel, event: Any) -> Generator[None, None, None]:
        image = self._image()
        if getattr(event, "button", 1) != 2 or image is None:
            return
        low, high = image.contrast_limits
        start = np.array(event.pos)
        event.handled = True  # napari would zoom
        yield
        while event.type == "mouse_move":
            right, down = np.array(event.pos) - start
            image.contrast_limits = dragged_limits((low, high), float(right), float(down))
            event.handled = True
            yield
