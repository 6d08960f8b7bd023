"""Notices when the voxels of a layer, or their size, are changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.layers import Layer

WATCHED = ("data", "scale", "units", "affine", "shear")
"""Events after which `volume_from_layer` may return something else."""


class LayerWatch:
    """Follows one layer at a time.

    Parameters
    ----------
    call : callable
        Called with the name of what was changed, one of `WATCHED`.
    """

    def __init__(self, call: Callable[[str], object]) -> None:
        self._call = call
        self.layer: Layer | None = None

    def follow(self, layer: Layer | None) -> None:
        """Follow another layer, or none."""
        if layer is self.layer:
            return
        for name in WATCHED:
            if self.layer is not None:
                getattr(self.layer.events, name).disconnect(self._changed)
            if layer is not None:
                getattr(layer.events, name).connect(self._changed)
        self.layer = layer

    def _changed(self, event: Any) -> None:
        self._call(event.type)
