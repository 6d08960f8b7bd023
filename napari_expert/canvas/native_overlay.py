"""Explanation in native space: patch outlines and a signed map over the original image.

Orientation letters (R, L, A, P, S, I) are shown at the edges.

Both layers have the original layer's voxels (`expert.imaging.native_space`) and its transform, so
that they are right wherever and however napari draws it. The original layer is never changed, nor
are the camera, the grid or the dims.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import Colormap, DirectLabelColormap
from napari.utils.colormaps.standardize_color import transform_color

from expert.imaging.native_space import patch_map, smooth_over
from expert.patches import COLORS, foreground, patch_location_text
from napari_expert.canvas.tile_layers import PREFIX
from napari_expert.canvas.tile_set import Spot
from napari_expert.layer_geometry import OURS, slice_letters, volume_from_layer
from napari_expert.viewing import OPACITY

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from expert.explanation import Explanation
    from expert.imaging.volume import Volume

DIVERGING = Colormap(
    [
        (0.13, 0.40, 1.0, 0.9),
        (0.13, 0.55, 1.0, 0.5),
        (0.6, 0.6, 0.6, 0.0),
        (1.0, 0.55, 0.0, 0.5),
        (1.0, 0.35, 0.0, 0.9),
    ],
    name="expert: decrease, increase",
    display_name="decrease – increase",
)
"""Blue below zero, orange above it (distinct for colour-blind readers), transparent at zero and for
NaN."""
NEUTRAL, CLEAR = (0.75, 0.75, 0.75, 0.5), (0.0, 0.0, 0.0, 0.0)
BEYOND_MM, FAINT_OPACITY = 30.0, 0.35
"""A tilted head's axial slices cut the planes at an angle and show a strip of each patch. Outlines
(not values) therefore continue this far above and below the planes, faintly: the model does not use
these voxels."""
STEPS = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
"""Ends of the colour bar, times a power of ten: close to the largest value, which stays visible."""
PLACED = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
"""What determines where a layer is in the world."""


class NativeOverlay:
    """Patch outlines and contribution map over the layer that was explained.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        With the layer.
    layer : napari.layers.Image
        The explained image.
    explanation : Explanation
        Of this layer.
    values : numpy.ndarray
        (V, M) signed, one per view and patch, label units (see `expert.attribution`); or (M,), the
        same in every view.
    numbered : sequence of int
        Patches (0-based) to outline in the colours of `expert.patches.COLORS`, in the order of
        their numbers.
    opacity : float
        Of the map, 0 to 1.
    on_removed : callable, optional
        Called when the overlay removed itself, because the original layer or one of its own was
        deleted or the original layer was given other data.

    Raises
    ------
    expert.errors.InputError
        The explanation cannot be of this layer.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        layer: Image,
        explanation: Explanation,
        values: np.ndarray,
        numbered: Sequence[int] = (),
        *,
        opacity: float = OPACITY,
        on_removed: Callable[[], None] | None = None,
    ) -> None:
        self.viewer, self.layer, self.explanation = viewer, layer, explanation
        self.volume = volume_from_layer(layer)
        self._count = len(explanation.views[0].mass)
        self._on_removed = on_removed
        self._gone = False
        unsure = " (orientation unknown)" if self.volume.space == "unknown" else ""
        shared = {**{name: _place(layer, name) for name in PLACED}, "metadata": {OURS: True}}
        self._values: np.ndarray | None = None
        self._painted = np.empty(self.volume.shape, dtype=np.float32)
        self._paint(values)
        self.map = Image(
            self._painted,
            name=f"{PREFIX} contribution, {explanation.unit} per patch{unsure}",
            opacity=opacity,
            colormap=DIVERGING,
            contrast_limits=_limits(values),
            blending="translucent_no_depth",
            interpolation2d="nearest",
            **shared,
        )
        self.outlines = Labels(
            self._numbers(),
            name=f"{PREFIX} patches{unsure}",
            opacity=1.0,
            blending="translucent_no_depth",
            **shared,
        )
        self.outlines.contour = 1
        self.map.colorbar.position, self.map.colorbar.visible = "bottom_right", True
        self._describe(values, numbered)
        self._add()
        self._hidden = False
        self._turned()
        self._connections = self._connect()

    @property
    def layers(self) -> tuple[Layer, Layer]:
        """The overlay's own layers, from below: map and outlines."""
        return (self.map, self.outlines)

    # --- what is shown ----------------------------------------------------------------------------
    def show(self, values: np.ndarray, numbered: Sequence[int] = ()) -> None:
        """Show other values and number other patches."""
        if self._paint(values):
            self.map.refresh()
            self.map.contrast_limits_range = self.map.contrast_limits = _limits(values)
        self._describe(values, numbered)
        self._lock()

    def patch_under(self, position: Sequence[float]) -> int | None:
        """The patch (0-based) at a position in napari's world, or None."""
        voxel = np.rint(self.layer.world_to_data(position)).astype(int)
        if (voxel < 0).any() or (voxel >= self.outlines.data.shape).any():
            return None
        number = int(self.outlines.data[tuple(voxel)])
        return (number - 1) % self._count if number else None

    def spot_under(self, position: Sequence[float]) -> Spot | None:
        """The patch at a position in napari's world, and its place in a model's volume."""
        patch = self.patch_under(position)
        if patch is None:
            return None
        e = self.explanation
        if e.registration is None or len(e.grid) != 3:
            return Spot(0, patch)
        index = np.append(self.layer.world_to_data(position), 1.0)
        template = np.linalg.solve(e.registration.template_to_subject, self.volume.affine @ index)
        return Spot(0, patch, np.linalg.solve(e.views[0].affine, template)[:3])

    def remove(self) -> None:
        """Remove both layers and disconnect from all events."""
        if self._gone:
            return
        self._gone = True
        for event, callback in self._connections:
            event.disconnect(callback)
        layers = self.viewer.layers
        chosen = [layer for layer in layers.selection if layer not in self.layers]
        for own in self.layers:
            if own in layers:
                layers.remove(own)
        layers.selection = [layer for layer in (chosen or [self.layer]) if layer in layers]

    # --- making -----------------------------------------------------------------------------------
    def _numbers(self) -> np.ndarray:
        """Patches (1 to M) in the planes, and their continuation above and below (M + 1 to 2 M)."""
        out = patch_map(self.explanation, self.volume, beyond_mm=BEYOND_MM)
        if 2 * self._count > np.iinfo(out.dtype).max:
            out = out.astype(np.int32)
        out[out > 0] += self._count
        exact = patch_map(self.explanation, self.volume)
        np.copyto(out, exact, where=exact > 0)
        return out

    def _paint(self, values: np.ndarray) -> bool:
        """Compute the map, in a head in the brain only; whether it is another one."""
        e = self.explanation
        every = np.array(np.broadcast_to(values, (len(e.views), self._count)))
        if self._values is not None and np.array_equal(every, self._values):
            return False
        self._values = every
        seen = e.registration is not None
        np.copyto(self._painted, smooth_over(e, self.volume, every, seen=seen))
        return True

    def _add(self) -> None:
        """Directly above the original layer, with the selection as it was."""
        layers = self.viewer.layers
        selected, active = set(layers.selection), layers.selection.active
        for step, own in enumerate(self.layers, 1):
            layers.insert(layers.index(self.layer) + step, own)
        layers.selection = selected
        layers.selection.active = active
        self._lock()

    def _lock(self) -> None:
        # napari makes labels editable again whenever they are given data.
        for own in self.layers:
            own.editable = False

    def _describe(self, values: np.ndarray, numbered: Sequence[int]) -> None:
        """Set the colours of the outlines, and the table for the patch under the mouse."""
        e = self.explanation
        # The map of a volume is smooth, and its patches would be a net over it.
        ink = np.tile(CLEAR if len(e.grid) == 3 else NEUTRAL, (self._count, 1))
        for place, patch in enumerate(numbered):
            ink[patch] = transform_color(COLORS[place % len(COLORS)])[0]
        colors: dict[int | None, Any] = {None: CLEAR, 0: CLEAR}
        for patch, color in enumerate(ink):
            colors[patch + 1], colors[self._count + patch + 1] = (
                color,
                color * (1, 1, 1, FAINT_OPACITY),
            )
        self.outlines.colormap = DirectLabelColormap(color_dict=colors)
        shown = np.flatnonzero(
            np.any([foreground(e, view) for view in range(len(e.views))], axis=0)
        )
        numbers = {int(patch): str(place) for place, patch in enumerate(numbered, 1)}
        middle, mean = (
            len(e.views) // 2,
            np.asarray(values, dtype=float).reshape(-1, self._count).mean(axis=0),
        )
        table = {
            "index": np.concatenate([shown + 1, self._count + shown + 1]),
            "number": 2 * [numbers.get(int(patch), "") for patch in shown],
            "where": 2 * [patch_location_text(e, middle, int(patch)) for patch in shown],
        }
        if not e.together:  # else the value differs between planes
            table["value"] = np.tile(np.round(mean[shown], 3), 2)
        self.outlines.features = table

    # --- events -----------------------------------------------------------------------------------
    def _connect(self) -> list[tuple[Any, Callable[..., None]]]:
        """Connect to events; `remove` disconnects them."""
        events = self.layer.events
        pairs: list[tuple[Any, Callable[..., None]]] = [
            (getattr(events, name), partial(self._follow, name)) for name in PLACED
        ]
        pairs += [(self.viewer.layers.events.removed, self._removed), (events.data, self._outdated)]
        pairs += [(self.viewer.dims.events.ndisplay, self._turned)]
        for event, callback in pairs:
            event.connect(callback)
        return pairs

    def _follow(self, name: str, event: Any = None) -> None:
        """The original layer was moved: move the overlay with it."""
        for own in self.layers:
            setattr(own, name, _place(self.layer, name))

    def _turned(self, event: Any = None) -> None:
        """Contours exist in slices only: in 3D napari would draw the patches as solid blocks."""
        flat = self.viewer.dims.ndisplay == 2
        if not flat and self.outlines.visible:
            self._hidden, self.outlines.visible = True, False
        elif flat and self._hidden:
            self._hidden, self.outlines.visible = False, True

    def _removed(self, event: Any) -> None:
        if event.value is self.layer or any(event.value is own for own in self.layers):
            self._outdated()

    def _outdated(self, event: Any = None) -> None:
        if self._gone:
            return
        self.remove()
        if self._on_removed is not None:
            self._on_removed()


def _place(layer: Layer, name: str) -> Any:
    value = getattr(layer, name)
    return (
        value.affine_matrix.copy() if name == "affine" else value
    )  # two layers must not share one


def _limits(values: np.ndarray) -> tuple[float, float]:
    """Symmetric about zero."""
    finite = np.abs(np.asarray(values, dtype=float))
    most = float(finite[np.isfinite(finite)].max(initial=0.0)) or 1.0
    # Rounded up, so that the colour bar has its ends labelled.
    power = 10.0 ** np.floor(np.log10(most))
    most = next(step * power for step in STEPS if step * power >= most * (1 - 1e-9))
    return -most, most


# --- letters --------------------------------------------------------------------------------------
UNKNOWN = "orientation unknown"


class OrientationLetters:
    """Text on the canvas with the side of the patient at each edge of the slice.

    The text that was there before is restored.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        With the canvas.
    layer : napari.layers.Image
        The image shown.
    volume : Volume
        Its `volume_from_layer`.
    note : str
        A line below the sides.
    """

    def __init__(self, viewer: ViewerModel, layer: Image, volume: Volume, note: str = "") -> None:
        self._viewer, self._layer, self._volume, self._note = viewer, layer, volume, note
        overlay = viewer.canvas.overlays.text
        self._before = (overlay.text, overlay.position, overlay.font_size, overlay.visible)
        viewer.dims.events.order.connect(self._update)
        viewer.dims.events.ndisplay.connect(self._update)
        self._update()

    @property
    def text(self) -> str:
        """For example "left R · right L · top A · bottom P"."""
        dims = self._viewer.dims
        if dims.ndisplay != 2:
            return ""
        if self._volume.ndim != 3:
            return ""
        order = (dims.order[-2], dims.order[-1])
        letters = slice_letters(
            self._layer, self._volume, order, self._viewer.scene.camera.orientation2d
        )
        sides = " · ".join(f"{side} {letter}" for side, letter in letters.items()) or UNKNOWN
        return f"{sides}\n{self._note}" if self._note else sides

    def _update(self, event: Any = None) -> None:
        overlay, words = self._viewer.canvas.overlays.text, self.text
        if words:
            overlay.text, overlay.position, overlay.font_size, overlay.visible = (
                words,
                "top_center",
                12,
                True,
            )
        else:
            self._restore()

    def remove(self) -> None:
        """Restore the canvas."""
        self._viewer.dims.events.order.disconnect(self._update)
        self._viewer.dims.events.ndisplay.disconnect(self._update)
        self._restore()

    def _restore(self) -> None:
        overlay = self._viewer.canvas.overlays.text
        overlay.text, overlay.position, overlay.font_size, overlay.visible = self._before
