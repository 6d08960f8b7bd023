"""One visit: an explanation on show with everything that can be done to it; the panel's buttons and
keys all lead here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from expert.errors import ExpertError, InputError

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer

    from expert.explanation import Explanation
    from expert.imaging.volume import Volume
    from napari_expert.canvas.letters import Letters
    from napari_expert.canvas.native_overlay import Overlay
    from napari_expert.canvas.result_layers import Mode, Scene
    from napari_expert.panel.result_section import AnswerPanel
    from napari_expert.side_by_side import Board

CENTER_MM = (0.0, -18.0)
"""R and A of the middle of the template's brain: where a plane's height is told to napari's
slider."""


class Visit:
    """What is on show in one viewer.

    Parameters
    ----------
    viewer : napari's viewer
    answer : the panel's lower half, which tells it in words
    on_change : called whenever something else, or nothing, is on show
    """

    def __init__(
        self, viewer: ViewerModel, answer: AnswerPanel, on_change: Callable[[], None]
    ) -> None:
        self.viewer, self.answer = viewer, answer
        self.explanation: Explanation | None = None
        self.other: Explanation | None = None
        self.previous: Explanation | None = None
        self.scene: Scene | None = None
        self.overlay: Overlay | None = None
        self._letters: Letters | None = None
        self.neurological = False
        self.mode: Mode = "grid"
        self.top = 3
        self._source: Image | None = None
        self._on_change = on_change
        answer.changed.connect(self._update_overlay)

    # --- showing ----------------------------------------------------------------------------------
    def show(self, explanation: Explanation, source: Image | None = None) -> None:
        """Show an explanation in place of the one before.

        Parameters
        ----------
        explanation : what to show
        source : the layer it is about, where that is at hand
        """
        from napari_expert.side_by_side import Board

        before = self.explanation
        if before is not None and before is not explanation:
            self.previous = before
        board = Board(explanation, top=self.top)
        self.explanation, self.other = explanation, None
        # The layer may have been given other data while the answer was on its way.
        self._set_source(None if source is None else layer_of(explanation, [source]))
        self._show_board(board)

    def compare(self, other: Explanation) -> None:
        """Show the explanation on show (A) and another one (B) side by side, with the prototypes
        they share.

        Raises
        ------
        expert.errors.InputError
            Nothing is on show, or the two cannot be compared; what is on show stays.
        """
        from napari_expert.side_by_side import Board

        if self.explanation is None:
            raise InputError("Nothing to compare with: explain an image first.")
        board = Board(self.explanation, other, top=self.top)
        self.other = other
        self._show_board(board)

    def show_top(self, top: int) -> None:
        """Show more or fewer prototypes, as far as the explanation holds them."""
        from napari_expert.side_by_side import Board

        if top == self.top:
            return
        self.top = top
        if self.explanation is not None:
            subjects = (self.explanation,) if self.other is None else (self.explanation, self.other)
            self._show_board(Board(*subjects, top=top))

    def _show_board(self, board: Board) -> None:
        """In the scene that is there, if it fits; else in a new one."""
        from napari_expert.canvas.result_layers import Scene

        if self.scene is not None and self.scene.mode == "own":
            self.show_mode(self.mode)
        source = self.source
        heights = None if source is None else self._heights(board, source)
        if self.scene is None or not self.scene.change(board, heights):
            self._end_scene()
            self.scene = Scene(
                self.viewer,
                board,
                heights=heights,
                neurological=self.neurological,
                on_focus=self.answer.show_focus,
                on_plane=self.answer.show_plane,
                on_gone=self._gone,
            )
        self.answer.show_scene(self.scene, source is not None)
        if self.mode == "lines":
            self.show_mode("lines")
        self._on_change()

    def _set_source(self, layer: Image | None) -> None:
        """Hold the layer that is explained, for as long as it is there and holds what was
        explained."""
        if self._source is not None:
            self._source.events.data.disconnect(self._forget_source)
            self.viewer.layers.events.removed.disconnect(self._removed)
        self._source = layer
        if layer is not None:
            layer.events.data.connect(self._forget_source)
            self.viewer.layers.events.removed.connect(self._removed)

    def _forget_source(self, event: Any = None) -> None:
        self._set_source(None)
        self.answer.offer_own_space(False)

    def _removed(self, event: Any) -> None:
        if event.value is self._source:
            self._forget_source()

    def _end_scene(self) -> None:
        self._drop_overlay()
        if self.scene is not None:
            self.scene.remove()
            self.scene = None

    def clear(self) -> None:
        """Take everything away and put the viewer back as it was."""
        self._end_scene()
        self._gone()

    def _gone(self) -> None:
        self._drop_overlay()
        self.previous = self.explanation or self.previous
        self._set_source(None)
        self.scene = self.explanation = self.other = None
        self.answer.forget()
        self._on_change()

    # --- what is said of it -----------------------------------------------------------------------
    @property
    def source(self) -> Image | None:
        """The layer that what is on show is about, where it is open."""
        return (
            self._source
            if self._source is not None and self._source in self.viewer.layers
            else None
        )

    def whole(self) -> Explanation:
        """The explanation with all it holds: it opens again as it was.

        Raises
        ------
        expert.errors.InputError
            Nothing is on show.
        """
        if self.explanation is None:
            raise InputError("There is nothing to save yet: run the model on an image first.")
        return self.explanation

    def exported(self) -> Explanation:
        """The explanation with the prototypes on show only: what leaves the tool is what was seen.

        Raises
        ------
        expert.errors.InputError
            Nothing is on show.
        """
        whole = self.whole()
        return whole.model_copy(update={"prototypes": whole.prototypes[: self.top]})

    # --- modes ------------------------------------------------------------------------------------
    def show_mode(self, mode: str) -> None:
        """ "grid", "lines" or "own"."""
        scene = self.scene
        if scene is None:
            return
        try:
            if mode == "own":
                self._make_overlay()
                self.answer.speak()
            elif self.overlay is not None:
                self._drop_overlay()
        except ExpertError:
            self.answer.show_mode(scene.mode)
            raise
        scene.show_mode(mode)  # type: ignore[arg-type]
        if mode != "own":
            self.mode = scene.mode
        self.answer.show_mode(scene.mode)
        self._on_change()

    def toggle(self, mode: str) -> None:
        """Switch a mode on, or back to the grid."""
        if self.scene is not None:
            self.show_mode("grid" if self.scene.mode == mode else mode)

    def toggle_convention(self) -> None:
        """Radiological to neurological, and back."""
        self.neurological = not self.neurological
        if self.scene is not None:
            self.scene.show_convention(self.neurological)
            self.answer.show_convention()

    def step_plane(self, step: int) -> None:
        """The next plane up or down."""
        if self.scene is not None:
            self.scene.show_plane(self.scene.plane_number + step)

    def step_partner(self, step: int) -> None:
        """The next prototype of the lines mode."""
        scene = self.scene
        if scene is not None and scene.board.prototypes:
            count, first = len(scene.board.prototypes), scene.board.subjects
            scene.show_partner(first + (scene.partner - first + step) % count)

    # --- own space --------------------------------------------------------------------------------
    def _make_overlay(self) -> None:
        from napari_expert.canvas.letters import Letters
        from napari_expert.canvas.native_overlay import Overlay

        scene, source = self.scene, self.source
        if scene is None or self.overlay is not None:
            return
        if source is None:
            raise InputError(
                "The original image is not open: open it to see the patches in its own space."
            )
        self.overlay = Overlay(
            self.viewer,
            source,
            scene.explanation,
            self._spoken(),
            scene.patches,
            on_gone=self._overlay_gone,
        )
        self._letters = Letters(self.viewer, source, self.overlay.volume)
        scene.patch_under = self.overlay.patch_under
        self.viewer.layers.selection.active = source

    def _spoken(self) -> np.ndarray:
        """What the patches say: (M,) on the whole where the answer is the mean of planes, (V, M)
        where they decide together."""
        values, scene = self.answer.answer_values(), self.scene
        return (
            values
            if scene is not None and scene.explanation.together
            else np.asarray(values.mean(axis=0))
        )

    def _update_overlay(self) -> None:
        if self.overlay is not None and self.scene is not None:
            self.overlay.show(self._spoken(), self.scene.patches)

    def _drop_overlay(self) -> None:
        if self.overlay is not None:
            overlay, self.overlay = self.overlay, None
            overlay.remove()
        self._drop_letters()
        if self.scene is not None:
            self.scene.patch_under = None

    def _drop_letters(self) -> None:
        if self._letters is not None:
            self._letters.remove()
            self._letters = None

    def _overlay_gone(self) -> None:
        self.overlay = None
        self._drop_letters()
        if self.scene is not None and self.scene.mode == "own":
            self.show_mode("grid")

    def save_maps(self, path: str | Path) -> tuple[Path, Path]:
        """Write what the patches say, and their numbers, as NIfTI on the original image's own grid.

        Parameters
        ----------
        path : of the map (label units, 0 where the model did not look); the patches' numbers go
            beside it

        Raises
        ------
        expert.errors.InputError
            Nothing is on show, its image is not open, or the files cannot be written.
        """
        from expert.imaging.volume import Volume, write_volume
        from expert.native_space import patch_map, spread_over
        from napari_expert.layer_geometry import volume_from_layer

        explanation, source = self.exported(), self.source
        if source is None:
            raise InputError(
                "The original image is not open: open it to save what the patches say on its grid."
            )
        target, volume = Path(path), volume_from_layer(source)
        if volume.ndim != 3:
            raise InputError(
                "Only a volume's maps can be written as NIfTI: save the report of a plain image."
            )
        ending = ".nii" if target.name.lower().endswith(".nii") else ".nii.gz"
        beside = target.with_name(target.name[: -len(ending)] + "_patches" + ending)
        said = np.nan_to_num(
            spread_over(explanation, volume, np.tile(self._spoken(), (len(explanation.views), 1)))
        )
        return (
            write_volume(Volume(said, volume.affine, volume.space), target),
            write_volume(
                Volume(patch_map(explanation, volume), volume.affine, volume.space), beside
            ),
        )

    def _heights(self, board: Board, source: Image) -> np.ndarray | None:
        """World coordinate of every plane along the viewer's first slider."""
        from napari_expert.layer_geometry import volume_from_layer

        e = board.explanations[0]
        if e.registration is None or source.ndim != 3:
            return None
        to_index = (
            np.linalg.inv(volume_from_layer(source, pixels=False).affine)
            @ e.registration.template_to_subject
        )
        heights = [plane.position_mm for plane in board.planes]
        return np.array(
            [source.data_to_world((to_index @ [*CENTER_MM, z, 1.0])[:3])[0] for z in heights]
        )


def layer_of(explanation: Explanation, layers: list[Layer]) -> Any:
    """The open layer that an explanation is about, recognised by the checksum of its voxels; None
    where it is not open."""
    from napari.layers import Image

    from napari_expert.layer_geometry import OURS, volume_from_layer

    for layer in layers:
        if isinstance(layer, Image) and OURS not in layer.metadata and explanation.input_sha256:
            try:
                volume: Volume = volume_from_layer(layer)
            except ExpertError:
                continue
            if volume.fingerprint() == explanation.input_sha256:
                return layer
    return None
