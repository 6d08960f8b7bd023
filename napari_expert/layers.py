"""An `Explanation` as layers: the subject and its prototypes side by side, their patches numbered and linked.

Every cell of the grid holds three layers: the picture, a wash over the patches that belong to what the mouse points at, and
the numbered boxes. `Scene` owns them, and puts the viewer back as it was when it is removed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Layer, Shapes, Vectors
from napari.utils.colormaps.standardize_color import transform_color

from expert.matches import (
    COLORS,
    FAINT,
    Choice,
    Pair,
    box,
    chosen_patches,
    display,
    edge_letters,
    is_head,
    pairs,
    partners,
    planes,
)
from napari_expert.linking import Linking
from napari_expert.orientation import placement

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from expert.explanation import Explanation

STRIDE = 3
LINKED = ("contrast_limits", "gamma", "colormap", "interpolation2d")
INK = (1.0, 1.0, 1.0, 1.0)
CLEAR = (0.0, 0.0, 0.0, 0.0)
TITLE_MM, MARGIN_MM = 14.0, 6.0


@dataclass(frozen=True)
class Focus:
    """What is pointed at: a patch of one cell, and where its mass lies in all of them."""

    cell: int
    patch: int
    shares: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Cell:
    """The layers of one picture."""

    image: Image
    wash: Vectors
    boxes: Shapes

    @property
    def layers(self) -> tuple[Layer, ...]:
        return (self.image, self.wash, self.boxes)


@dataclass
class _Mark:
    """One shape: a box (`text` empty) or a text, whose corners are then an invisible anchor."""

    corners: np.ndarray
    color: tuple[float, ...] = CLEAR
    width: float = 0.0
    text: str = ""
    ink: tuple[float, ...] = INK
    face: tuple[float, ...] = CLEAR


class Scene:
    """The side-by-side view of one explanation in one viewer.

    Parameters
    ----------
    viewer : napari's viewer (its public members are used only)
    explanation : what to show
    on_focus : called with a `Focus` or None whenever another patch is pointed at or chosen
    on_gone : called when the user deleted one of the scene's layers, and the scene therefore removed itself
    """

    def __init__(
        self,
        viewer: ViewerModel,
        explanation: Explanation,
        *,
        on_focus: Callable[[Focus | None], None] | None = None,
        on_gone: Callable[[], None] | None = None,
    ) -> None:
        self.viewer, self.explanation = viewer, explanation
        self.view = len(explanation.views) // 2
        self.choice: Choice = "closest"
        self.focus: Focus | None = None
        self.pinned = False
        self._on_focus, self._on_gone = on_focus, on_gone
        self.head = is_head(explanation)
        self._before = self._take_state()
        self._busy = True
        self.cells = [self._make_cell(number) for number in range(len(explanation.prototypes) + 1)]
        self._arrange()
        self._draw()
        self._linking = Linking(self)
        viewer.layers.events.inserted.connect(self._inserted)
        viewer.layers.events.removed.connect(self._removed)
        viewer.canvas.events.size.connect(self._resized)
        self._busy = False

    # --- what is shown -------------------------------------------------------------------------------------------------
    @property
    def patches(self) -> list[int]:
        """The subject's numbered patches, in the order of their numbers."""
        return chosen_patches(self.explanation, planes(self.explanation)[self.view], self.choice)

    def pairs(self, prototype: int) -> list[Pair]:
        """The numbered pairs with the prototype (0-based among those shown)."""
        return pairs(self.explanation, self.view, prototype, self.patches)

    def show_view(self, view: int) -> None:
        """Show another view (plane) of the subject and how *it* was matched."""
        self.view = view
        self.set_focus(None)
        shown = self.explanation.views[view]
        self.cells[0].image.data = display(shown.image, self.head)
        self._draw()

    def show_choice(self, choice: Choice) -> None:
        """Number other patches: "closest", "different" or "all"."""
        self.choice = choice
        self._draw()

    def set_focus(self, cell: int | None, patch: int = 0, *, pin: bool = False) -> None:
        """Light up a patch and its partners in every cell; None puts the light out."""
        self.pinned = pin and cell is not None
        if cell is None:
            if self.focus is None:
                return
            self.focus = None
        else:
            if self.focus is not None and (self.focus.cell, self.focus.patch) == (cell, patch):
                return
            self.focus = Focus(cell, patch, tuple(partners(self.explanation, self.view, cell, patch)))
        self._wash()
        if self._on_focus is not None:
            self._on_focus(self.focus)

    def remove(self) -> None:
        """Take everything away and put the user's own layers, grid and camera back."""
        viewer = self.viewer
        self._busy = True
        self._linking.disconnect()
        viewer.layers.events.inserted.disconnect(self._inserted)
        viewer.layers.events.removed.disconnect(self._removed)
        viewer.canvas.events.size.disconnect(self._resized)
        viewer.layers.unlink_layers([cell.image for cell in self.cells])
        for cell in self.cells:
            for layer in cell.layers:
                if layer in viewer.layers:
                    viewer.layers.remove(layer)
        self._put_back()

    # --- the viewer as it was ------------------------------------------------------------------------------------------
    def _take_state(self) -> dict[str, Any]:
        v, camera, grid = self.viewer, self.viewer.scene.camera, self.viewer.canvas.grid
        return {
            "visible": [(layer, layer.visible) for layer in v.layers],
            "selection": set(v.layers.selection),
            "grid": (grid.enabled, grid.stride, grid.shape, grid.spacing),
            "background": v.canvas.background_color_override,
            "camera": (camera.center, camera.zoom, camera.angles),
            "dims": (v.dims.ndisplay, v.dims.order, v.dims.point),
        }

    def _put_back(self) -> None:
        v, before = self.viewer, self._before
        grid = v.canvas.grid
        grid.enabled, grid.stride, grid.shape, grid.spacing = before["grid"]
        v.canvas.background_color_override = before["background"]
        for layer, visible in before["visible"]:
            layer.visible = visible
        v.layers.selection = {layer for layer in before["selection"] if layer in v.layers}
        ndisplay, order, point = before["dims"]
        v.dims.ndisplay = ndisplay
        if len(order) == v.dims.ndim:
            v.dims.order, v.dims.point = order, point
        v.scene.camera.center, v.scene.camera.zoom, v.scene.camera.angles = before["camera"]

    # --- making --------------------------------------------------------------------------------------------------------
    def _make_cell(self, number: int) -> Cell:
        shown = self.explanation.views[self.view]
        place = placement(shown, self.head)
        if number == 0:
            data, name = shown.image, "subject"
        else:
            match = self.explanation.prototypes[number - 1]
            data = np.zeros_like(shown.image) if match.image is None else match.image
            name = f"prototype {match.rank}"
        image = Image(
            display(data, self.head),
            name=name,
            colormap="gray",
            contrast_limits=(0, 255),
            interpolation2d="linear",
            metadata={"expert_scene": True},
            **place,
        )
        corners = np.array([box(self.explanation, patch, inset=1.0) for patch in range(len(shown.mass))])
        middle = corners.mean(axis=1)
        start = np.column_stack([middle[:, 0], corners[:, 0, 1]])
        along = np.column_stack([np.zeros(len(start)), corners[:, 1, 1] - corners[:, 0, 1]])
        wash = Vectors(
            np.stack([start, along], axis=1),
            name=f"{name}: match",
            edge_width=float(corners[0, 2, 0] - corners[0, 0, 0]),
            edge_color=np.tile(CLEAR, (len(start), 1)),
            vector_style="line",
            opacity=1.0,
            blending="translucent_no_depth",
            **place,
        )
        boxes = Shapes(name=f"{name}: patches", ndim=2, opacity=1.0, blending="translucent_no_depth", **place)
        boxes.editable = False
        return Cell(image, wash, boxes)

    def _arrange(self) -> None:
        v = self.viewer
        for layer in v.layers:
            layer.visible = False
        # A negative stride groups from the end of the list: the user's own layers, below, stay outside of the cells.
        for cell in reversed(self.cells):
            v.layers.extend(cell.layers)
        if v.dims.ndisplay != 2:
            v.dims.ndisplay = 2
        v.dims.order = tuple(range(v.dims.ndim))
        v.canvas.background_color_override = "black"
        v.canvas.grid.stride = -STRIDE
        self._fit()
        v.canvas.grid.enabled = True
        v.layers.link_layers([cell.image for cell in self.cells], LINKED)
        v.layers.selection.active = self.cells[0].image
        self.reset_camera()

    def _extent(self) -> tuple[np.ndarray, np.ndarray]:
        """World mm (row, column) of a cell's upper left and lower right, the title included."""
        image = self.cells[0].image
        start = np.array(image.translate[-2:]) - [TITLE_MM, MARGIN_MM]
        end = np.array(image.translate[-2:]) + np.array(image.scale[-2:]) * image.data.shape + MARGIN_MM
        return start, end

    def _fit(self) -> None:
        """The number of rows and columns that shows the cells largest."""
        count, (height, width) = len(self.cells), self.viewer.canvas.size
        start, end = self._extent()
        tall, wide = end - start

        def zoom(columns: int) -> float:
            return min(height / -(-count // columns) / tall, width / columns / wide)

        columns = max(range(1, count + 1), key=zoom)
        self.viewer.canvas.grid.shape = (-(-count // columns), columns)

    def reset_camera(self) -> None:
        """Show every cell whole."""
        v = self.viewer
        start, end = self._extent()
        size = np.array(v.canvas.viewbox_size(v.layers))
        v.scene.camera.angles = (0, 0, 90)
        v.scene.camera.center = (0.0, *((start + end) / 2))
        v.scene.camera.zoom = float((size / (end - start)).min())

    # --- drawing -------------------------------------------------------------------------------------------------------
    def _ink(self, patch: int) -> tuple[float, ...]:
        patches = self.patches
        if patch not in patches:
            return INK
        return _rgba(COLORS[patches.index(patch) % len(COLORS)])

    def _draw(self) -> None:
        patches = self.patches
        marks = self._captions(0)
        for number, patch in enumerate(patches, 1):
            color = _rgba(COLORS[(number - 1) % len(COLORS)])
            corners = box(self.explanation, patch, inset=1.0)
            marks += [_Mark(corners, color, 1.0), self._numeral(corners, number, color, 0)]
        _fill(self.cells[0].boxes, marks, self._text_size())
        for cell in range(1, len(self.cells)):
            match = self.explanation.prototypes[cell - 1]
            marks, crowd = self._captions(cell), {}
            for pair in self.pairs(cell - 1):
                color = _rgba(COLORS[(pair.number - 1) % len(COLORS)])
                shares = match.views[self.view].matches(pair.source)
                for target in np.flatnonzero(shares >= FAINT):
                    # Several patches may go to one: their boxes nest, their numbers stand side by side.
                    rank = crowd[target] = crowd.get(target, -1) + 1
                    corners = box(self.explanation, int(target), inset=1.0 + 2.0 * min(rank, 4))
                    share = float(shares[target])
                    marks.append(_Mark(corners, (*color[:3], 0.25 + 0.75 * share), 0.3 + 1.2 * share))
                    if target == pair.target:
                        outer = box(self.explanation, int(target), inset=1.0)
                        marks.append(self._numeral(outer, pair.number, color, rank))
            _fill(self.cells[cell].boxes, marks, self._text_size())
        self._wash()

    def _wash(self) -> None:
        for number, cell in enumerate(self.cells):
            colors = np.zeros((len(cell.wash.data), 4), dtype=np.float32)
            if self.focus is not None:
                share = self.focus.shares[number]
                ink = self._ink(self.focus.patch) if self.focus.cell == 0 else INK
                colors[:] = ink
                colors[:, 3] = np.where(share > 0.01, 0.08 + 0.5 * share, 0)
            cell.wash.edge_color = colors

    def _captions(self, cell: int) -> list[_Mark]:
        e, shown = self.explanation, self.explanation.views[self.view]
        rows, columns = shown.image.shape
        step = placement(shown, self.head)["scale"][0]
        if cell == 0:
            title = f"{shown.name}: {shown.prediction:.1f} {e.unit}" if len(e.views) > 1 else f"{e.prediction:.1f} {e.unit}"
            title = f"this image · {title}" if len(e.views) == 1 else title
        else:
            match = e.prototypes[cell - 1]
            differs = abs(match.label - match.source_label) >= 0.5
            label = f"{match.label:.0f} (image: {match.source_label:.0f})" if differs else f"{match.label:.0f}"
            title = f"#{match.rank} · {label} {e.unit} · {100 * match.share:.0f} %"
        marks = [_text(title, (-0.55 * TITLE_MM / step, columns / 2))]
        if cell and e.prototypes[cell - 1].image is None:
            marks.append(_text("image not at hand", (rows / 2, columns / 2)))
        edge, beside = 5 / step, MARGIN_MM / 2 / step
        places = {
            "left": (rows / 2, -beside), "right": (rows / 2, columns + beside), "top": (edge, columns / 2),
            "bottom": (rows - edge, columns / 2),
        }  # fmt: skip
        return marks + [_text(letter, places[side]) for side, letter in edge_letters(self.head).items()]

    def _numeral(self, corners: np.ndarray, number: int, color: tuple[float, ...], rank: int) -> _Mark:
        """A number on a dark chip in the upper left of a box; several stand side by side."""
        side = (corners[2, 0] - corners[0, 0]) / 30 * 8.0
        top, left = corners[0] + [0.0, rank * side]
        chip = np.array([[top, left], [top, left + side], [top + side, left + side], [top + side, left]])
        return _Mark(chip, text=str(number), ink=color, face=(0.0, 0.0, 0.0, 0.85))

    # --- events --------------------------------------------------------------------------------------------------------
    def _text_size(self) -> float:
        """Points, so that a title fits over its picture."""
        return float(np.clip(self.viewer.canvas.viewbox_size(self.viewer.layers)[1] / 32, 6, 12))

    def _resized(self) -> None:
        self._fit()
        self.reset_camera()
        for cell in self.cells:
            cell.boxes.text.size = self._text_size()

    def _inserted(self, event: Any) -> None:
        # A layer the user adds goes below ours: the cells are counted from the end of the list.
        if not self._busy and not self._is_own(event.value):
            below = min(self.viewer.layers.index(layer) for cell in self.cells for layer in cell.layers)
            if event.index > below:
                self.viewer.layers.move(event.index, below)

    def _removed(self, event: Any) -> None:
        if not self._busy and self._is_own(event.value):
            self.remove()
            if self._on_gone is not None:
                self._on_gone()

    def _is_own(self, layer: Layer) -> bool:
        return any(layer is own for cell in self.cells for own in cell.layers)


def _rgba(name: str) -> tuple[float, ...]:
    return tuple(float(value) for value in transform_color(name)[0])


def _text(text: str, place: tuple[float, float], ink: tuple[float, ...] = INK) -> _Mark:
    row, column = place
    corners = np.array([row, column]) + 0.05 * np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]])
    return _Mark(corners, text=text, ink=ink)


def _fill(layer: Shapes, marks: list[_Mark], size: float) -> None:
    """Replace a layer's shapes."""
    layer.text.visible = False  # texts and shapes change one after the other
    layer.selected_data = set()
    layer.data = []
    layer.add_rectangles(
        [mark.corners for mark in marks],
        edge_width=[mark.width for mark in marks],
        edge_color=np.array([mark.color for mark in marks]),
        face_color=np.array([mark.face for mark in marks]),
    )
    layer.features = {"text": [mark.text for mark in marks]}
    layer.text = {"string": "{text}", "color": np.array([mark.ink for mark in marks]), "size": size, "anchor": "center"}
    layer.refresh()
