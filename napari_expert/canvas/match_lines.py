"""The lines mode: matched patches of the subject and the prototype beside it, joined."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Vectors

from expert.patches import FAINT, box
from napari_expert.canvas.drawing import CLEAR, Color, number_color
from napari_expert.layer_geometry import OURS

if TYPE_CHECKING:
    from napari_expert.canvas.result_layers import Scene


class MatchLines:
    """One Vectors layer over the pictures of a scene: of what is pointed at, else of all numbered
    patches.

    Parameters
    ----------
    scene : whose cells the lines join
    """

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        scene.lines = self.layer = Vectors(
            np.zeros((1, 2, 2)),
            name="matches",
            edge_width=scene.line_width,
            edge_color=[CLEAR],
            vector_style="line",
            opacity=1.0,
            blending="translucent_no_depth",
            units=scene.units,
            metadata={OURS: True},
        )

    def draw(self) -> None:
        """Draw anew; opacity is the share."""
        found = list(self._found())
        self.layer.data = (
            np.array([vector for vector, _ in found]) if found else np.zeros((1, 2, 2))
        )
        if self.layer.edge_width != self._scene.line_width:
            self.layer.edge_width = self._scene.line_width
        self.layer.edge_color = (
            np.array([color for _, color in found]) if found else np.array([CLEAR])
        )

    def _found(self) -> Iterator[tuple[np.ndarray, Color]]:
        scene = self._scene
        view, slots, hub = scene.plane.view, scene.slots(), scene.partner
        starts = [(0, patch, number_color(number)) for number, patch in enumerate(scene.patches, 1)]
        if scene.focus is not None:
            starts = [(scene.focus.cell, scene.focus.patch, scene.focus_ink(scene.focus))]
        for cell, patch, color in starts:
            shares = scene.board.partners(view, cell, patch)
            if cell == hub:
                for other in slots:
                    if other != hub:
                        yield from self._fan(hub, patch, other, shares[other], color)
                continue
            yield from self._fan(cell, patch, hub, shares[hub], color)
            # Every line has the prototype at one of its ends: A – prototype – B.
            middle = int(shares[hub].argmax())
            for other in slots:
                if other not in (cell, hub):
                    yield from self._fan(
                        hub, middle, other, scene.board.partners(view, hub, middle)[other], color
                    )

    def _fan(
        self, cell: int, patch: int, other: int, shares: np.ndarray, color: Color
    ) -> Iterator[tuple[np.ndarray, Color]]:
        """Lines from one patch to its partners in another cell, where both ends lie in the
        plane."""
        visible = set(self._scene.numbers.tolist())
        if patch not in visible:
            return
        for target in np.flatnonzero(shares >= FAINT):
            if target in visible:
                start, end = self._middle(cell, patch), self._middle(other, int(target))
                yield (
                    np.array([start, end - start]),
                    (*color[:3], 0.15 + 0.85 * float(shares[target])),
                )

    def _middle(self, cell: int, patch: int) -> np.ndarray:
        scene = self._scene
        index = box(scene.explanation, patch).mean(axis=0)
        return np.array(scene.cells[cell].image.data_to_world(index))[-2:]
