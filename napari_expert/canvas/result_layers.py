"""A `Board` as layers: pictures side by side, their patches numbered and linked.

Every cell holds three layers: the picture, a wash over the patches that belong to what is pointed
at (or that speak), and the numbered boxes. `Scene` owns them, and puts the viewer back as it was
when it is removed. It has three modes: *grid* (every cell in a box of its own), *lines* (the
subject beside one prototype in one canvas, matched patches joined), and *own* (the user's original
layer, in its own space).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from napari.layers import Layer, Vectors

from expert.patches import Choice, Plane, foreground, middle_plane, patches_in_plane
from napari_expert.canvas.drawing import SPOT, Color, fill, number_color, signed_colors
from napari_expert.canvas.framing import Framing
from napari_expert.canvas.match_lines import MatchLines
from napari_expert.canvas.mouse import Linking
from napari_expert.canvas.picture_layers import GAP, blank_or, boxes, captions, elsewhere, make_cell
from napari_expert.canvas.stage import Stage
from napari_expert.layer_geometry import OURS, placement

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_expert.side_by_side import Board

STRIDE = 3
LINKED = ("contrast_limits", "gamma", "colormap", "interpolation2d")
Mode = Literal["grid", "lines", "own"]


@dataclass(frozen=True)
class Focus:
    """What is pointed at: a patch of one cell, and where its mass lies in all of them."""

    cell: int
    patch: int
    shares: tuple[np.ndarray, ...]


class Scene:
    """The side-by-side view of one board in one viewer.

    Parameters
    ----------
    viewer : napari's viewer (its public members are used only)
    board : what to show
    heights : world coordinate of each of the board's planes along the viewer's first slider, where
        there is one: the slider and the plane then move together
    neurological : draw the patient's right on the right
    on_focus : called with a `Focus` or None whenever another patch is pointed at or chosen
    on_plane : called when the slider or a key chose another plane
    on_gone : called when the user deleted one of the scene's layers, and the scene therefore
        removed itself
    """

    def __init__(
        self,
        viewer: ViewerModel,
        board: Board,
        *,
        heights: np.ndarray | None = None,
        neurological: bool = False,
        on_focus: Callable[[Focus | None], None] | None = None,
        on_plane: Callable[[], None] | None = None,
        on_gone: Callable[[], None] | None = None,
    ) -> None:
        self.viewer, self.board, self.explanation = viewer, board, board.explanations[0]
        self.plane_number = middle_plane(self.explanation)
        self.choice: Choice = "closest"
        self.mode: Mode = "grid"
        self.partner = board.subjects
        self.focus: Focus | None = None
        self.pinned = False
        self.speaking: np.ndarray | None = None
        self.neurological = neurological
        self.lines: Vectors | None = None
        self._lines: MatchLines | None = None
        self.patch_under: Callable[[Any], int | None] | None = (
            None  # in the own space: set by whoever draws there
        )
        self._heights = heights
        self._on_focus, self._on_plane, self._on_gone = on_focus, on_plane, on_gone
        self._stage, self._framing = Stage(viewer), Framing(self)
        self.units = self._units()
        self._own_view = self._stage.view
        self._busy = True
        self.cells = [
            make_cell(board, self.plane, n, self._place_of(n) | {"units": self.units})
            for n in range(board.cells)
        ]
        self._arrange()
        self._draw()
        self._linking = Linking(self)
        viewer.layers.events.inserted.connect(self._inserted)
        viewer.layers.events.removed.connect(self._removed)
        viewer.canvas.events.size.connect(self._resized)
        viewer.dims.events.point.connect(self._slid)
        self._busy = False
        self._slide()

    def _units(self) -> tuple[str, str]:
        """One layer in pixels among layers in mm, and napari forgets the units of all of them."""
        own = [layer for layer in self.viewer.layers if OURS not in layer.metadata]
        plain = any(str(unit) == "pixel" for layer in own for unit in layer.units)
        return ("pixel", "pixel") if plain else ("mm", "mm")

    # --- what is shown ----------------------------------------------------------------------------
    @property
    def plane(self) -> Plane:
        """What of the subject is drawn."""
        return self.board.planes[self.plane_number]

    @property
    def patches(self) -> list[int]:
        """The subject's numbered patches, in the order of their numbers."""
        return self._patches

    def change(self, board: Board, heights: np.ndarray | None) -> bool:
        """Show another board in the layers that are there; False, and nothing changes, where it
        does not fit into them.

        napari 0.9 keeps what it once made for a layer or a grid cell: ten runs in ten scenes would
        cost ten times the memory.
        """
        if board.cells != self.board.cells or board.explanations[0].grid != self.explanation.grid:
            return False
        if (
            board.explanations[0].view_shape != self.explanation.view_shape
            or board.head != self.board.head
        ):
            return False
        if self._units() != self.units:
            return False
        self.board, self.explanation, self._heights = board, board.explanations[0], heights
        self.plane_number = middle_plane(self.explanation)
        self.partner, self.choice, self.speaking, self.focus, self.pinned = (
            board.subjects,
            "closest",
            None,
            None,
            False,
        )
        self._busy = True
        self._stage.add_new(OURS)
        for number, (cell, name) in enumerate(zip(self.cells, board.names, strict=True)):
            cell.image.name, cell.wash.name, cell.boxes.name = (
                name,
                f"{name}: match",
                f"{name}: patches",
            )
            self._show_image(number)
        self._set_up()
        self._draw()
        self._busy = False
        self._slide()
        self.viewer.layers.selection.active = self.cells[0].image
        self.reset_camera()
        return True

    def _show_image(self, number: int) -> None:
        self.cells[number].image.data = blank_or(self.board.image(number, self.plane), self.board)

    def show_plane(self, number: int) -> None:
        """Show another plane and how *it* was matched."""
        number = int(np.clip(number, 0, len(self.board.planes) - 1))
        if number == self.plane_number:
            return
        self.plane_number = number
        if self.plane.slice is None:
            self.set_focus(None)
        for cell in range(len(self.cells)):
            self._show_image(cell)
        self._draw()
        self._slide()
        if self._on_plane is not None:
            self._on_plane()

    def show_choice(self, choice: Choice) -> None:
        """Number other patches: "closest", "different" or "all"."""
        self.choice = choice
        self._draw()

    def show_speaking(self, values: np.ndarray | None) -> None:
        """Colour the subject's patches by signed values (V, M); None: leave them plain."""
        self.speaking = values
        self._wash()

    def show_partner(self, cell: int) -> None:
        """The prototype that stands beside the subject in the lines mode."""
        self.partner = cell
        if self.mode == "lines":
            self._place()
            self._draw_lines()

    def show_convention(self, neurological: bool) -> None:
        """Patient's right on the left (radiological) or on the right (neurological)."""
        if self.board.head and neurological != self.neurological:
            self.neurological = neurological
            self._place()
            self._draw_lines()
            if self.mode != "own":
                self.reset_camera()

    def show_mode(self, mode: Mode) -> None:
        """Grid, lines, or the user's own layers in their own space; plane, relative zoom and
        selection stay."""
        if mode == self.mode:
            return
        zoom = (
            1.0 if self.mode == "own" else self.viewer.scene.camera.zoom / self._framing.fitted()[1]
        )
        if self.mode == "own":
            self._own_view = self._stage.take_view()
        self.mode = mode
        self._busy = True
        if mode == "own":
            self._drop_lines()
            for layer in self._own_layers():
                layer.visible = False
            self._stage.show_own()
            self._stage.put_view(self._own_view)
        else:
            self._set_up()
        self._busy = False
        self._slide()
        if mode != "own":
            self.reset_camera(zoom)
            self._size_texts()

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
            self.focus = Focus(cell, patch, self.board.partners(self.plane.view, cell, patch))
        self._wash()
        self._draw_lines()
        if self._on_focus is not None:
            self._on_focus(self.focus)

    def step_focus(self, step: int) -> None:
        """Hold the next (1) or previous (-1) numbered patch of the subject."""
        at = -1 if step > 0 else 0
        if self.focus is not None and self.focus.cell == 0 and self.focus.patch in self._patches:
            at = self._patches.index(self.focus.patch)
        if self._patches:
            self.set_focus(0, self._patches[(at + step) % len(self._patches)], pin=True)

    def remove(self) -> None:
        """Take everything away and put the user's own layers, grid and camera back."""
        viewer = self.viewer
        self._busy = True
        if draw := getattr(viewer, "screenshot", None):
            # napari 0.9 crashes (without a graphics card) where layers go that were never drawn.
            draw(flash=False)
        self._linking.disconnect()
        viewer.layers.events.inserted.disconnect(self._inserted)
        viewer.layers.events.removed.disconnect(self._removed)
        viewer.canvas.events.size.disconnect(self._resized)
        viewer.dims.events.point.disconnect(self._slid)
        self._drop_lines()
        # Before the layers: napari 0.9 makes the grid's boxes anew with every layer that goes, and
        # may then draw what is gone.
        viewer.canvas.grid.enabled = False
        viewer.layers.unlink_layers([cell.image for cell in self.cells])
        for layer in self._own_layers():
            if layer in viewer.layers:
                viewer.layers.remove(layer)
        self._stage.put_back()

    # --- making -----------------------------------------------------------------------------------
    def _own_layers(self) -> list[Layer]:
        return [layer for cell in self.cells for layer in cell.layers]

    def _arrange(self) -> None:
        v = self.viewer
        for layer in v.layers:
            layer.visible = False
        # A negative stride groups from the end of the list: the user's own layers, below, stay
        # outside of the cells.
        for cell in reversed(self.cells):
            v.layers.extend(cell.layers)
        v.layers.link_layers([cell.image for cell in self.cells], LINKED)
        v.layers.selection.active = self.cells[0].image
        self._set_up()
        self.reset_camera()

    def _set_up(self) -> None:
        """Canvas, visibility and places of the cells for the grid or lines mode."""
        v = self.viewer
        for layer, _ in self._stage.visible:
            layer.visible = False
        if v.dims.ndisplay != 2:
            v.dims.ndisplay = 2
        v.dims.order = tuple(range(v.dims.ndim))
        v.canvas.background_color_override = "black"
        self._place()
        if self.mode == "grid":
            self._drop_lines()
            v.canvas.grid.stride = -STRIDE
            self._framing.shape_grid()
            v.canvas.grid.enabled = True
        else:
            v.canvas.grid.enabled = False
            self._draw_lines()

    @property
    def line_width(self) -> float:
        """Of the lines mode, in the world's unit: 1 mm on a head."""
        return float(self.size()[0]) / 192

    def slots(self) -> dict[int, int]:
        """Cell to column of the canvas in the lines mode: A | prototype | B."""
        order = [0, self.partner, *range(1, self.board.subjects)]
        return {cell: slot for slot, cell in enumerate(order)}

    def _place(self) -> None:
        """Where each cell lies in the world, by mode and convention."""
        for number, cell in enumerate(self.cells):
            for name, value in self._place_of(number).items():
                for layer in cell.layers:
                    if not np.array_equal(
                        getattr(layer, name), value
                    ):  # napari draws anew whatever is set
                        setattr(layer, name, value)

    def _place_of(self, number: int) -> dict[str, Any]:
        slots, place = (
            self.slots(),
            placement(self.explanation.views[self.plane.view], self.board.head),
        )
        (rows, columns), (top, left) = place["scale"], place["translate"]
        mirror = -1 if self.neurological and self.board.head else 1
        offset = slots.get(number, 0) * self.pitch() if self.mode == "lines" else 0.0
        return {
            "scale": (rows, mirror * columns),
            "translate": (top, mirror * left + offset),
            "visible": self.mode == "grid" or (self.mode == "lines" and number in slots),
        }

    def pitch(self) -> float:
        """From one picture to the next in the lines mode, in the world's unit."""
        return float(self.size()[1]) + GAP * float(self.size()[0])

    def size(self) -> np.ndarray:
        """Height and width of a picture in mm (pixels, where their size is unknown)."""
        place = placement(self.explanation.views[self.plane.view], self.board.head)
        return np.abs(np.array(place["scale"])) * np.array(self.explanation.view_shape[-2:])

    def reset_camera(self, zoom: float = 1.0) -> None:
        """Show every cell whole, or `zoom` times as large."""
        self._framing.reset(zoom)

    # --- drawing ----------------------------------------------------------------------------------
    def _ink(self, patch: int) -> Color:
        return number_color(self._patches.index(patch) + 1) if patch in self._patches else SPOT

    def focus_ink(self, focus: Focus) -> Color:
        """The colour of the subject's patch that is pointed at, or that most of what is pointed at
        belongs to."""
        return self._ink(focus.patch if focus.cell == 0 else int(focus.shares[0].argmax()))

    def _draw(self) -> None:
        plane, board = self.plane, self.board
        self._patches = board.patches(plane, self.choice)
        self.numbers = patches_in_plane(self.explanation, plane).ravel()
        rows = [board.partners(plane.view, 0, patch) for patch in self._patches]
        for number, cell in enumerate(self.cells):
            here = [shares[number] for shares in rows]
            marks = [
                *captions(board, plane, number),
                *elsewhere(board, plane, here),
                *boxes(board, plane, here),
            ]
            fill(cell.boxes, marks, self._text_size())
        self._wash()
        self._draw_lines()

    def _wash(self) -> None:
        for number, cell in enumerate(self.cells):
            colors = np.zeros((len(self.numbers), 4), dtype=np.float32)
            if self.focus is not None:
                share = self.focus.shares[number][self.numbers]
                colors[:] = self.focus_ink(self.focus)
                colors[:, 3] = np.where(share > 0.01, 0.1 + 0.55 * share, 0)
            elif number == 0 and self.speaking is not None:
                values = np.where(
                    foreground(self.explanation, self.plane.view), self.speaking[self.plane.view], 0
                )
                colors = signed_colors(values[self.numbers], float(np.abs(self.speaking).max()))
            cell.wash.edge_color = colors

    # --- lines ------------------------------------------------------------------------------------
    def _draw_lines(self) -> None:
        """Lines are there in the lines mode only: elsewhere a layer more would shift the cells of
        the grid."""
        if self.mode != "lines":
            return
        if self._lines is None:
            self._lines = MatchLines(self)
            busy, self._busy = self._busy, True
            active = self.viewer.layers.selection.active
            self.viewer.layers.append(self._lines.layer)
            self.viewer.layers.selection.active = active
            self._busy = busy
        self._lines.draw()

    def _drop_lines(self) -> None:
        if self.lines is not None and self.lines in self.viewer.layers:
            busy, self._busy = self._busy, True
            self.viewer.layers.remove(self.lines)
            self._busy = busy
        self.lines = self._lines = None

    # --- events -----------------------------------------------------------------------------------
    def _text_size(self) -> float:
        """Points, so that a title fits over its picture."""
        columns = len(self.slots()) if self.mode == "lines" else 1
        return float(
            np.clip(self.viewer.canvas.viewbox_size(self.viewer.layers)[1] / 32 / columns, 6, 12)
        )

    def _resized(self) -> None:
        if self.mode == "own":
            return
        if self.mode == "grid":
            self._framing.shape_grid()
        self.reset_camera()
        self._size_texts()

    def _size_texts(self) -> None:
        for cell in self.cells:
            cell.boxes.text.size = self._text_size()

    def _slide(self) -> None:
        """Napari's slider to the plane."""
        dims = self.viewer.dims
        if self._heights is not None and dims.ndim == 3 and not self._busy:
            self._busy = True
            dims.set_point(0, float(self._heights[self.plane_number]))
            self._busy = False

    def _slid(self) -> None:
        """The plane to napari's slider."""
        dims = self.viewer.dims
        if self._heights is not None and dims.ndim == 3 and not self._busy:
            self._busy = True
            self.show_plane(int(np.abs(self._heights - dims.point[0]).argmin()))
            self._busy = False

    def _inserted(self, event: Any) -> None:
        # A layer the user adds goes below ours: the cells are counted from the end of the list.
        if not self._busy and OURS not in event.value.metadata:
            below = min(self.viewer.layers.index(layer) for layer in self._own_layers())
            if event.index > below:
                self.viewer.layers.move(event.index, below)

    def _removed(self, event: Any) -> None:
        if not self._busy and (
            event.value is self.lines or any(event.value is own for own in self._own_layers())
        ):
            self.remove()
            if self._on_gone is not None:
                self._on_gone()
