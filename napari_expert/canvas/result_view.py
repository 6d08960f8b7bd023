"""Shows a session in a viewer: listens to it, and makes, updates and removes the layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from expert.errors import ExpertError
from napari_expert.canvas.grey_window import WindowDrag
from napari_expert.canvas.mouse import PatchPointer
from napari_expert.canvas.native_overlay import NativeOverlay, OrientationLetters
from napari_expert.canvas.result_layers import ResultLayers
from napari_expert.canvas.tile_set import Spot
from napari_expert.layer_geometry import same_geometry, volume_from_layer
from napari_expert.layer_watch import LayerWatch
from napari_expert.navigation import show_axis
from napari_expert.session import native_values

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

    from expert.imaging.volume import Volume
    from napari_expert.session import Session

CENTER_MM = (0.0, -18.0)
"""R and A of the middle of the template's brain: where a plane's height is converted to a position
of napari's slider."""


class ResultView:
    """The canvas side of a session.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Gets the layers.
    session : Session
        What is shown.
    """

    def __init__(self, viewer: ViewerModel, session: Session) -> None:
        self.viewer, self.session = viewer, session
        self.layers: ResultLayers | None = None
        self.overlay: NativeOverlay | None = None
        self._letters: OrientationLetters | None = None
        self._pointer: PatchPointer | None = None
        self._drag: WindowDrag | None = None
        self._watch = LayerWatch(self._source_changed)
        self._explained: Volume | None = None
        events, viewing = session.events, session.viewing.events
        viewing.axis.connect(self._set_heights)
        viewing.opacity.connect(self._show_opacity)
        events.result.connect(self._show_result)
        events.source.connect(self._watch_source)
        events.mode.connect(self._show_mode)
        for signal, draw in (
            (events.plane, ResultLayers.show_plane),
            (events.patches, ResultLayers.draw),
            (events.focus, ResultLayers.show_focus),
            (events.partner, ResultLayers.show_partner),
            (events.map, ResultLayers.show_focus),
            (events.preview, ResultLayers.show_focus),
            (events.convention, ResultLayers.show_arrangement),
            (viewing.axis, ResultLayers.show_arrangement),
            (viewing.magnifier, ResultLayers.show_arrangement),
            (viewing.position, ResultLayers.show_plane),
            (viewing.cross, ResultLayers.show_cross),
            (viewing.window, ResultLayers.show_window),
        ):
            signal.connect(lambda draw=draw: self._draw(draw))
        for signal in (events.plane, events.patches, events.map):
            signal.connect(self._update_overlay)

    def _draw(self, draw: Any) -> None:
        if self.layers is not None:
            draw(self.layers)

    # --- result -----------------------------------------------------------------------------------
    def _show_result(self) -> None:
        """In the layers that are there, if it fits; else in new ones."""
        self._remove_overlay()
        heights = self._heights()
        if self.session.board is None:
            self._remove_layers()
        elif self.layers is None or not self.layers.change(heights):
            self._remove_layers()
            self.layers = ResultLayers(self.viewer, self.session, heights, self.session.clear)
            self._pointer = PatchPointer(self.viewer, self.session, self._spot_under)
            self._drag = WindowDrag(self.viewer, self._tile_image)
            self.layers.show_mode(self.session.mode)

    def _remove_layers(self) -> None:
        for own in (self._pointer, self._drag):
            if own is not None:
                own.disconnect()
        if self.layers is not None:
            layers, self.layers = self.layers, None
            layers.remove()

    def _spot_under(self, event: Any) -> Spot | None:
        if self.overlay is not None:
            return self.overlay.spot_under(event.position)
        return None if self.layers is None else self.layers.spot_under(event)

    def _tile_image(self) -> Image | None:
        """The layer whose grey-value window is set by dragging: none in native space."""
        if self.layers is None or self.layers.mode == "native":
            return None
        return self.layers.tiles[0].image

    def _set_heights(self) -> None:
        if self.layers is not None:
            self.layers.slider.heights = self._heights()

    def _heights(self) -> np.ndarray | None:
        """World coordinate of every plane along the viewer's first slider."""
        board, source = self.session.board, self.session.source
        if board is None or source is None or source.ndim != 3:
            return None
        registration = board.explanations[0].registration
        if registration is None:
            return None
        if self.session.viewing.axis:
            # The slider is along the head's first axis: coronal and sagittal slices are spread
            # over its whole way.
            way = self.viewer.dims.range[0]
            return np.linspace(way.start, way.stop, len(self.session.viewing.planes))
        to_index = (
            np.linalg.inv(volume_from_layer(source, pixels=False).affine)
            @ registration.template_to_subject
        )
        heights = [plane.position_mm for plane in board.planes]
        return np.array(
            [source.data_to_world((to_index @ [*CENTER_MM, z, 1.0])[:3])[0] for z in heights]
        )

    # --- native space -----------------------------------------------------------------------------
    def _show_mode(self) -> None:
        session, layers = self.session, self.layers
        if layers is None:
            return
        if session.native:
            show_axis(session, 0)  # the slider goes through axial slices
            try:
                self._make_overlay()
            except ExpertError as error:
                session.show_mode(session.layout)
                session.events.failed.emit(str(error))
                return
        else:
            self._remove_overlay()
        layers.show_mode(session.mode)

    def _make_overlay(self) -> None:
        session = self.session
        source, explanation = session.source, session.explanation
        assert source is not None
        assert explanation is not None
        self.overlay = NativeOverlay(
            self.viewer,
            source,
            explanation,
            native_values(session),
            session.patches,
            opacity=session.viewing.opacity,
            on_removed=self._overlay_removed,
        )
        note = f"colours: {explanation.unit} per patch"
        self._letters = OrientationLetters(self.viewer, source, self.overlay.volume, note)
        self.viewer.layers.selection.active = source

    def _update_overlay(self) -> None:
        if self.overlay is not None:
            self.overlay.show(native_values(self.session), self.session.patches)

    def _show_opacity(self) -> None:
        if self.overlay is not None:
            self.overlay.map.opacity = self.session.viewing.opacity

    def _remove_overlay(self) -> None:
        if self.overlay is not None:
            overlay, self.overlay = self.overlay, None
            overlay.remove()
        if self._letters is not None:
            self._letters.remove()
            self._letters = None

    def _overlay_removed(self) -> None:
        self.overlay = None
        self._remove_overlay()
        if self.session.native:
            self.session.show_mode("grid")

    # --- the original image -----------------------------------------------------------------------
    def _watch_source(self) -> None:
        """The session holds the explained layer as long as it is open and has the same voxels."""
        if self._watch.layer is not None:
            self.viewer.layers.events.removed.disconnect(self._layer_removed)
        source = self.session.source
        self._watch.follow(source)
        self._explained = None if source is None else volume_from_layer(source, pixels=False)
        if source is not None:
            self.viewer.layers.events.removed.connect(self._layer_removed)

    def _source_changed(self, what: str) -> None:
        """Forget a layer that has other voxels, or another voxel size, than were explained."""
        source, explained = self.session.source, self._explained
        if source is None or explained is None:
            return
        if what == "data" or not same_geometry(source, explained):
            if self.session.native:
                self.session.show_mode(self.session.layout)
            self.session.set_source(None)

    def _layer_removed(self, event: Any) -> None:
        if event.value == self._watch.layer:  # not "is": napari hands plugins a proxy
            self.session.set_source(None)
