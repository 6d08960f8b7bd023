"""The state of one viewer's result: what is explained, what is shown of it, and how.

Panel, canvas, keys and export read the session and call its methods; it emits a psygnal signal for
every change and imports neither the panel nor the canvas. Signals carry no values: listeners read
the session.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from psygnal import Signal, SignalGroup

from expert import attribution
from expert.errors import InputError
from expert.planes import Plane, middle_plane, patches_in_plane
from napari_expert.navigation import show_place
from napari_expert.prototype_browser import PrototypeBrowser
from napari_expert.side_by_side import Board, check_comparable
from napari_expert.viewing import Viewing

if TYPE_CHECKING:
    from napari.layers import Image

    from expert.explanation import Explanation
    from expert.patches import Choice

Layout = Literal["grid", "lines", "planes"]
Mode = Literal["grid", "lines", "planes", "native"]
Voxel = np.ndarray | None
"""(3,) position in a view, in pixels."""
VOLUME = Plane(0, None, None, "volume")
"""Stands for all slices of a 3D view: its patches are numbered where three planes are shown."""


@dataclass(frozen=True)
class Focus:
    """The highlighted patch, and where its mass lies in every tile."""

    tile: int
    patch: int
    shares: tuple[np.ndarray, ...]
    """One (M,) array per tile."""


@dataclass(frozen=True)
class PatchMap:
    """What the colours of the patches show."""

    kind: Literal["contribution", "similarity", "difference"]
    """Contribution to the prediction, similarity to one prototype, or one prototype against
    another."""
    prototypes: tuple[int, ...] = ()
    """Indices among all prototypes of the model: none, one or two."""

    def values(self, explanation: Explanation) -> np.ndarray:
        """Compute the map.

        Parameters
        ----------
        explanation : Explanation
            The explained image.

        Returns
        -------
        numpy.ndarray
            (V, M) signed values per view and patch, label units.
        """
        compute: dict[str, Callable[..., np.ndarray]] = {
            "contribution": attribution.for_prediction,
            "similarity": attribution.for_prototype,
            "difference": attribution.between,
        }
        call, views = compute[self.kind], range(len(explanation.views))
        return np.stack([call(explanation, view, *self.prototypes) for view in views])


CONTRIBUTION = PatchMap("contribution")


class SessionEvents(SignalGroup):
    """One signal per part of the state."""

    result = Signal()
    """Another explanation, comparison or number of prototypes is shown, or nothing any more."""
    source = Signal()
    """The layer of the explained image was opened or closed."""
    plane = Signal()
    patches = Signal()
    """Other patches are numbered."""
    map = Signal()
    preview = Signal()
    """The map of the prototype under the mouse comes or goes."""
    mode = Signal()
    convention = Signal()
    partner = Signal()
    """Another prototype is beside the image in the lines layout."""
    focus = Signal()
    wanted = Signal()
    """Prototypes have to be matched before they can be shown: `PrototypeBrowser.request`."""
    failed = Signal(str)
    """Something could not be shown; one sentence."""


class Session:
    """What is shown in one viewer. All state is read from attributes and changed by methods."""

    def __init__(self) -> None:
        self.events = SessionEvents()
        self.viewing = Viewing()
        self.explanation: Explanation | None = None
        self.other: Explanation | None = None
        self.previous: Explanation | None = None
        self.board: Board | None = None
        self.source: Image | None = None
        self.top = 3
        self.layout: Layout = "grid"
        self.native = False
        self.neurological = False
        self.name_in_report = False
        self.browser = PrototypeBrowser(self)
        self._reset()

    def _reset(self) -> None:
        """State that belongs to one board."""
        board = self.board
        self.viewing.reset(board)
        self.native = self.pinned = False
        self.choice: Choice = "contribution"
        self.plane_number = 0 if board is None else middle_plane(board.explanations[0])
        self.partner = 1 if board is None else board.subjects
        self.map: PatchMap | None = None if board is None else CONTRIBUTION
        self.preview: PatchMap | None = None
        self.focus: Focus | None = None
        self.number_patches()

    # --- what is explained ------------------------------------------------------------------------
    def show(self, explanation: Explanation, source: Image | None = None) -> None:
        """Show an explanation in place of the one before.

        `source` is the layer with the explained image, if it is open.
        """
        board = Board(explanation, top=self.top)
        if self.explanation is not None and self.explanation is not explanation:
            self.previous = self.explanation
        self.explanation, self.other = explanation, None
        self.set_source(source)
        self.browser.restart((explanation,))
        self._set_board(board)

    def compare(self, other: Explanation | None) -> None:
        """Show the current explanation (A) beside another (B), with the prototypes they share.

        Where one of these was not matched in both runs, they are shown as soon as it is.

        Raises
        ------
        expert.errors.InputError
            Nothing is shown, or the two cannot be compared; what is shown stays.
        """
        if self.explanation is None:
            raise InputError("Nothing to compare with: explain an image first.")
        if other is None:
            raise InputError(
                "There is no previous result: run the model on another image, or choose a saved "
                "explanation."
            )
        check_comparable(self.explanation, other)
        self.browser.restart((self.explanation, other))
        self.browser.refresh()

    def show_top(self, top: int) -> None:
        """Show more or fewer prototypes, as far as the explanation has them."""
        before, self.top = self.top, top
        if top != before and self.board is not None:
            self.browser.refresh()

    def clear(self) -> None:
        """Show nothing; the explanation becomes the previous one."""
        self.previous = self.explanation or self.previous
        self.explanation = self.other = None
        self.set_source(None)
        self.browser.restart(())
        self._set_board(None)

    def _set_board(self, board: Board | None) -> None:
        self.put(board)
        self.events.result.emit()

    def put(self, board: Board | None, keep: bool = False) -> None:
        """Replace the tiles without an event; `keep` plane, numbered patches and colours."""
        self.board = board
        if not (keep and self.viewing.exchange(board)):
            self._reset()

    def set_source(self, layer: Image | None) -> None:
        """Set the layer with the explained image; None if it is not open any more."""
        before, self.source = self.source, layer
        if layer is not before:
            self.events.source.emit()

    def complete_explanation(self) -> Explanation:
        """Return the explanation with all prototypes it has, so that it opens again as it was.

        Raises
        ------
        expert.errors.InputError
            Nothing is shown.
        """
        if self.explanation is None:
            raise InputError("There is nothing to save yet: run the model on an image first.")
        return self.explanation

    def shown_explanation(self) -> Explanation:
        """Return the explanation with the prototypes shown only, as reports and tables have it.

        Raises
        ------
        expert.errors.InputError
            Nothing is shown.
        """
        complete, board = self.complete_explanation(), self.board
        assert board is not None
        matches = {match.index: match for match in complete.prototypes}
        shown = tuple(matches[index] for index in board.prototypes)
        return complete.model_copy(update={"prototypes": shown})

    # --- plane and patches ------------------------------------------------------------------------
    @property
    def plane(self) -> Plane:
        """The plane shown."""
        assert self.board is not None
        return self.viewing.planes[self.plane_number]

    def show_plane(self, number: int) -> None:
        """Show another plane; numbers beyond the ends mean the first or last."""
        last = 0 if self.board is None else len(self.viewing.planes) - 1
        number = int(np.clip(number, 0, last))
        if self.board is None or number == self.plane_number:
            return
        self.plane_number = number
        self.viewing.level(self.plane)
        self.number_patches()
        if self.plane.slice is None:
            self.set_focus(None)
        self.events.plane.emit()

    def choose_patches(self, choice: Choice) -> None:
        """Number other patches, see `expert.patches.chosen_patches`."""
        if self.board is not None and choice != self.choice:
            self.choice = choice
            self.number_patches()
            self.events.patches.emit()

    def number_patches(self) -> None:
        """Number the chosen patches of what is shown."""
        self.patches: list[int] = []
        if self.board is not None:
            plane = VOLUME if self.in_planes else self.plane
            self.patches = self.board.patches(plane, self.choice)

    def patches_in_plane(self) -> np.ndarray:
        """(N,) indices of the patches that the plane cuts."""
        assert self.board is not None
        return patches_in_plane(self.board.explanations[0], self.plane).ravel()

    def set_focus(
        self, tile: int | None, patch: int = 0, pin: bool = False, at: Voxel = None
    ) -> None:
        """Highlight a patch and its matches; with `pin`, until a click, and go there."""
        self.pinned = pin and tile is not None
        before = None if self.focus is None else (self.focus.tile, self.focus.patch)
        if self.board is None or tile is None:
            self.focus = None
        elif before != (tile, patch):
            self.focus = Focus(tile, patch, self.board.partners(self.plane.view, tile, patch))
        if before != (None if tile is None else (tile, patch)):
            self.events.focus.emit()
        show_place(self, at)

    # --- colours ----------------------------------------------------------------------------------
    def set_map(self, patch_map: PatchMap | None) -> None:
        """Choose what the colours of the patches show; None for no colours."""
        if patch_map != self.map:
            self.map = patch_map
            self.events.map.emit()

    def set_preview(self, patch_map: PatchMap | None) -> None:
        """Show another map on the canvas for a moment; None ends it."""
        if patch_map != self.preview:
            self.preview = patch_map
            self.events.preview.emit()

    def painted_values(self) -> np.ndarray | None:
        """(V, M) what the tiles are coloured by, label units; None for no colours."""
        painted = self.preview or self.map
        if painted is None or self.explanation is None:
            return None
        return painted.values(self.explanation)

    # --- how it is shown --------------------------------------------------------------------------
    @property
    def mode(self) -> Mode:
        """Tiles in a grid, two or three tiles joined by lines, or the image in native space."""
        three = self.in_planes or self.layout != "planes"
        return "native" if self.native else self.layout if three else "grid"

    @property
    def in_planes(self) -> bool:
        """Whether three planes of a volume are shown, apart from native space."""
        return self.layout == "planes" and self.board is not None and self.board.volume

    def show_mode(self, mode: Mode) -> None:
        """Show another mode.

        Raises
        ------
        expert.errors.InputError
            Native space is asked for, and the original image is not open.
        """
        if self.board is None or mode == self.mode:
            return
        if mode == "native":
            if self.source is None:
                raise InputError(
                    "The original image is not open, or was changed: open it, or run again."
                )
            if self.map is None:
                self.set_map(CONTRIBUTION)
            self.native = True
        elif mode == "planes" and not self.board.volume:
            raise InputError("Three planes need a model of volumes; this one explains 2D images.")
        else:
            self.native, self.layout = False, mode
        before = self.patches
        self.number_patches()
        self.events.mode.emit()
        if self.patches != before:
            self.events.patches.emit()

    def toggle_mode(self, mode: Mode) -> None:
        """Show a mode, or the grid if it is shown already."""
        self.show_mode("grid" if self.mode == mode else mode)

    def toggle_convention(self) -> None:
        """Change between radiological (patient's right on the left) and neurological."""
        self.neurological = not self.neurological
        self.events.convention.emit()

    def show_partner(self, tile: int) -> None:
        """Put another prototype beside the image in the lines layout."""
        if tile != self.partner:
            self.partner = tile
            self.events.partner.emit()


def native_values(session: Session) -> np.ndarray:
    """Values of a session's map, label units: (V, M), or (M,) where the views are averaged."""
    explanation = session.complete_explanation()
    values = (session.map or CONTRIBUTION).values(explanation)
    if explanation.together:
        return values
    # Contributions of the views sum to that of the place; similarities are averaged.
    sums = session.map is None or session.map.kind == "contribution"
    return np.asarray(values.sum(axis=0) if sums else values.mean(axis=0))
