"""R, L, A, P, S, I over the original image: where the edges of the slice on show lie in the
patient."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_expert.layer_geometry import slice_letters

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

    from expert.imaging.volume import Volume

UNKNOWN = "orientation unknown"


class Letters:
    """Words on the canvas while the original image is on show; what stood there before comes back.

    Parameters
    ----------
    viewer : napari's viewer
    layer, volume : the image and its `volume_from_layer`
    """

    def __init__(self, viewer: ViewerModel, layer: Image, volume: Volume) -> None:
        self._viewer, self._layer, self._volume = viewer, layer, volume
        overlay = viewer.canvas.overlays.text
        self._before = (overlay.text, overlay.position, overlay.font_size, overlay.visible)
        viewer.dims.events.order.connect(self._tell)
        viewer.dims.events.ndisplay.connect(self._tell)
        self._tell()

    @property
    def text(self) -> str:
        """What is said: "left R · right L · top A · bottom P"."""
        dims = self._viewer.dims
        if dims.ndisplay != 2:
            return ""
        if self._volume.ndim != 3:
            return ""
        order = (dims.order[-2], dims.order[-1])
        letters = slice_letters(
            self._layer, self._volume, order, self._viewer.scene.camera.orientation2d
        )
        return " · ".join(f"{side} {letter}" for side, letter in letters.items()) or UNKNOWN

    def _tell(self, event: Any = None) -> None:
        overlay, words = self._viewer.canvas.overlays.text, self.text
        if words:
            overlay.text, overlay.position, overlay.font_size, overlay.visible = (
                words,
                "top_center",
                12,
                True,
            )
        else:
            self._give_back()

    def remove(self) -> None:
        """Give the canvas back."""
        self._viewer.dims.events.order.disconnect(self._tell)
        self._viewer.dims.events.ndisplay.disconnect(self._tell)
        self._give_back()

    def _give_back(self) -> None:
        overlay = self._viewer.canvas.overlays.text
        overlay.text, overlay.position, overlay.font_size, overlay.visible = self._before
