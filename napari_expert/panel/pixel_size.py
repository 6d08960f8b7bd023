"""The pixel size of a plain 2D image, which many files do not store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image, Layer
from qtpy.QtCore import QSignalBlocker
from qtpy.QtCore import Signal as QtSignal
from qtpy.QtWidgets import QDoubleSpinBox, QWidget

from expert.imaging.formats.plain import pixel_size_of
from napari_expert.layer_geometry import ASSUMED, volume_from_layer


class PixelSize(QDoubleSpinBox):
    """Shows and sets the pixel size of a plain 2D image; hidden for other layers.

    Parameters
    ----------
    parent : QWidget, optional
    """

    scaled = QtSignal()
    """The layer's scale or units were set, here or elsewhere."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.layer: Layer | None = None
        self.setRange(0.0, 10.0)
        self.setDecimals(4)
        self.setSingleStep(0.01)
        self.setPrefix("Pixel size: ")
        self.setSuffix(" mm")
        self.setSpecialValueText("Pixel size: unknown")
        self.setKeyboardTracking(False)  # not while a number is being typed
        self.setAccessibleName("Pixel size in mm")
        self.setToolTip("Pixel size of the image in mm, for files that do not store it.")
        self.valueChanged.connect(self._set)
        self.hide()

    def follow(self, layer: Layer | None) -> None:
        """Show the pixel size of a layer, and follow its changes."""
        if self.layer is not None:
            for event in (self.layer.events.scale, self.layer.events.units):
                event.disconnect(self._scaled)
        plain = isinstance(layer, Image) and layer.ndim == 2
        self.layer = layer if plain else None
        if self.layer is not None:
            for event in (self.layer.events.scale, self.layer.events.units):
                event.connect(self._scaled)
        self.setVisible(self.layer is not None)
        if self.layer is not None:
            _read_from_file(self.layer)
            volume = volume_from_layer(self.layer, pixels=False)
            with QSignalBlocker(self):
                self.setValue(volume.spacing[0] if volume.spacing_known else 0.0)

    def _set(self, size: float) -> None:
        if self.layer is not None and size > 0:
            said = self.layer.metadata.get(ASSUMED, [])
            self.layer.metadata[ASSUMED] = [text for text in said if "pixel size" not in text]
            self.layer.units = ("mm", "mm")
            self.layer.scale = np.array([size, size])

    def _scaled(self, event: Any = None) -> None:
        self.scaled.emit()


def _read_from_file(layer: Layer) -> None:
    """Give a layer the pixel size that its file states; napari's reader does not read it."""
    path, metadata = layer.source.path, layer.metadata
    if not path or ASSUMED in metadata or volume_from_layer(layer, pixels=False).spacing_known:
        return
    steps, metadata[ASSUMED] = pixel_size_of(Path(path))
    if steps is not None:
        layer.units, layer.scale = ("mm", "mm"), steps
