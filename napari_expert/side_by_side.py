"""One explained image with its prototypes, or two with those they share, side by side.

A *tile* is one image: first the explained ones, then the prototypes. This module says what a tile
shows, and where the mass of one tile's patch lies in all the others; it draws nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from expert.errors import InputError
from expert.evidence.patch_evidence import Evidence
from expert.explanation import Explanation, PrototypeMatch
from expert.patches import EMPTY, Choice, chosen_patches, foreground, spread
from expert.planes import (
    ORIENTATIONS,
    Plane,
    is_head,
    matched_place,
    patch_center,
    patch_of,
    plane_image,
    planes,
)

NAMES = ("A", "B")


@dataclass(frozen=True)
class Match:
    """A numbered patch of the first image, and what it was matched to in another tile."""

    number: int
    """1-based, the same in every tile."""
    source: int
    """Patch of the first image."""
    tile: int
    target: int
    """Patch of that tile that takes most of its mass."""
    share: float
    """Fraction of its mass matched to `target`, 0 to 1."""
    spread: float
    """Number of patches its mass is spread over."""
    contribution: float | None
    """To the distance from the prototype, label units; None between two explained images."""


class Board:
    """Tiles side by side.

    Parameters
    ----------
    *explanations : Explanation
        One, or two by the same model to be compared.
    top : int
        Number of prototypes to show: those with the largest weight; of two explanations, those with
        a large weight in both.
    prototypes : sequence of int, optional
        Indices of other prototypes to show; all explanations have matches of them.

    Raises
    ------
    expert.errors.InputError
        The two explanations cannot be compared.
    """

    def __init__(
        self, *explanations: Explanation, top: int = 3, prototypes: Sequence[int] | None = None
    ) -> None:
        self.explanations = explanations
        first = explanations[0]
        self.prototypes: tuple[int, ...]
        if prototypes is not None:
            self.prototypes = tuple(prototypes)
        elif len(explanations) == 1:
            self.prototypes = tuple(match.index for match in first.prototypes[:top])
        else:
            self.prototypes = _shared(*explanations)[:top]
        self._ranks = [{match.index: match for match in e.prototypes} for e in explanations]
        self.planes = planes(first)
        self.head = is_head(first)
        self.volume = len(first.grid) == 3
        """Whether the views are volumes, with slices along three axes."""
        self._lit: dict[int, np.ndarray] = {}
        self._along: dict[int, tuple[Plane, ...]] = {0: self.planes}
        self._plans = [Plans(ranks, self.prototypes) for ranks in self._ranks]

    @property
    def matches_shown(self) -> tuple[PrototypeMatch, ...]:
        """The prototypes of the tiles, as they were matched to the first image."""
        return tuple(self._ranks[0][index] for index in self.prototypes)

    @property
    def subjects(self) -> int:
        """Number of explained images, 1 or 2."""
        return len(self.explanations)

    @cached_property
    def evidence(self) -> Evidence:
        """Regions, tissues and contributions of the first image's patches."""
        return Evidence.of(self.explanations[0])

    @property
    def tiles(self) -> int:
        """Number of tiles: explained images and prototypes."""
        return len(self.explanations) + len(self.prototypes)

    @property
    def names(self) -> tuple[str, ...]:
        """Short names of the tiles."""
        subjects = ("this image",) if self.subjects == 1 else NAMES
        return (*subjects, *(f"#{match.rank}" for match in self.matches_shown))

    def planes_along(self, axis: int) -> tuple[Plane, ...]:
        """All planes of an orientation (see `expert.planes.ORIENTATIONS`) that are not empty."""
        assert axis == 0 or (self.volume and axis < len(ORIENTATIONS))
        if axis not in self._along:
            self._along[axis] = planes(self.explanations[0], axis)
        return self._along[axis]

    def foreground(self, view: int) -> np.ndarray:
        """(M,) patches of the first image that are not background."""
        if view not in self._lit:
            self._lit[view] = foreground(self.explanations[0], view)
        return self._lit[view]

    def title(self, tile: int, plane: Plane | None) -> str:
        """The text over a tile; without a plane, what is true of the whole volume."""
        unit = self.explanations[0].unit
        if tile < self.subjects:
            e = self.explanations[tile]
            forced = " · forced" if e.forced else ""
            if self.subjects == 2:
                return f"{NAMES[tile]} · {e.prediction:.1f} {unit}{forced}"
            if plane is None or plane.position_mm is None:
                return f"this image · {e.prediction:.1f} {unit}{forced}"
            return f"{plane.name}: {e.views[plane.view].prediction:.1f} {unit}{forced}"
        index = self.prototypes[tile - self.subjects]
        match = self._ranks[0][index]
        differs = abs(match.label - match.own_label) >= 0.5
        label = (
            f"{match.label:.0f} (image: {match.own_label:.0f})" if differs else f"{match.label:.0f}"
        )
        shares = " / ".join(f"{100 * ranks[index].share:.0f} %" for ranks in self._ranks)
        return f"#{match.rank} · {label} {unit} · {shares}"

    def average(self, tile: int) -> str:
        """Whom a prototype's tile shows, if it is an average; else empty."""
        if tile < self.subjects:
            return ""
        average = self._ranks[0][self.prototypes[tile - self.subjects]].average
        return "" if average is None else average.text

    def whole_image(self, tile: int, view: int) -> np.ndarray | None:
        """Image of a tile as `expert.explanation.View.image` or `PrototypeMatch.image` has it.

        None for a prototype whose image is not available.
        """
        if tile < self.subjects:
            return self.explanations[tile].views[view].image
        return self._ranks[0][self.prototypes[tile - self.subjects]].image

    def image(self, tile: int, plane: Plane) -> np.ndarray | None:
        """(rows, columns) uint8, axes (A, R) for heads.

        None for a prototype whose image is not available.
        """
        image = self.whole_image(tile, plane.view)
        return None if image is None else plane_image(image, plane)

    def patches(self, plane: Plane, choice: Choice) -> list[int]:
        """The first image's numbered patches, in the order of their numbers.

        A plane without a slice of a volume stands for the whole volume.
        """
        first = self.explanations[0]
        shown = first.model_copy(update={"prototypes": self.matches_shown})
        return chosen_patches(shown, plane, choice)

    def matches(self, view: int, patches: list[int]) -> list[Match]:
        """The strongest match of each of the first image's given patches in every other tile."""
        return [
            self.match(view, number, source, tile)
            for number, source in enumerate(patches, 1)
            for tile in range(1, self.tiles)
        ]

    def match(self, view: int, number: int, source: int, tile: int) -> Match:
        """The strongest match of one patch of the first image in another tile."""
        contribution = None
        if tile >= self.subjects:
            index = self.prototypes[tile - self.subjects]
            row = self._ranks[0][index].views[view].matches(source)
            contribution = float(self.explanations[0].views[view].contributions[index, source])
        else:
            row = self.partners(view, 0, source)[tile]
        target = int(row.argmax())
        return Match(number, source, tile, target, float(row[target]), spread(row), contribution)

    def partners(self, view: int, tile: int, patch: int) -> tuple[np.ndarray, ...]:
        """Where one patch's mass lies in every tile.

        A patch of an explained image follows its row of each plan to the prototypes; a patch of a
        prototype follows its column back to the explained images. From one explained image to the
        other, and from one prototype to another, the paths in between are averaged by weight.

        Parameters
        ----------
        view : int
            0-based.
        tile, patch : int
            The patch that is highlighted.

        Returns
        -------
        tuple of numpy.ndarray
            One (M,) array per tile, each of which sums to 1 (or is 0).
        """
        own = np.zeros(len(self.explanations[0].views[view].mass))
        own[patch] = 1.0
        count = len(self.prototypes)
        if tile < self.subjects:
            prototypes = [self._plans[tile].forward(view, n, own) for n in range(count)]
            subjects = [
                own
                if other == tile
                else _mean(
                    [self._plans[other].back(view, n, prototypes[n]) for n in range(count)],
                    self._weights(),
                )
                for other in range(self.subjects)
            ]
        else:
            chosen = tile - self.subjects
            subjects = [self._plans[n].back(view, chosen, own) for n in range(self.subjects)]
            prototypes = [
                own
                if other == chosen
                else _mean(
                    [
                        self._plans[n].forward(view, other, subjects[n])
                        for n in range(self.subjects)
                    ],
                    np.ones(self.subjects),
                )
                for other in range(count)
            ]
        return (*subjects, *prototypes)

    def counterparts(self, view: int, tile: int, voxel: np.ndarray) -> tuple[np.ndarray, ...]:
        """The place in every tile that corresponds to a place in one of them.

        It follows the plan: the mean place of the mass around the strongest partner. Where the
        patch was not matched (background), it is the same place in the template.

        Parameters
        ----------
        view : int
            0-based.
        tile : int
            Where `voxel` is.
        voxel : (2,) or (3,) numpy.ndarray
            Along each axis of the view, in pixels.

        Returns
        -------
        tuple of numpy.ndarray
            One position per tile.
        """
        first, here = self.explanations[0], np.asarray(voxel, dtype=float)
        patch = patch_of(first, here)
        if patch is None or not self._matched(view, tile, patch):
            return (here,) * self.tiles
        within = here - patch_center(first, patch)
        return tuple(
            matched_place(first, share, within) if share.any() else here
            for share in self.partners(view, tile, patch)
        )

    def _matched(self, view: int, tile: int, patch: int) -> bool:
        """Whether a patch has so much mass that its matches mean something."""
        if not self.prototypes:
            return False
        if tile < self.subjects:
            mass = self._plans[tile].total(view, 0, 1)
        else:
            mass = self._plans[0].total(view, tile - self.subjects, 0)
        return bool(mass[patch] >= EMPTY / len(mass))

    def _weights(self) -> np.ndarray:
        """(P,) the smaller of both images' weights of each shown prototype."""
        return (
            np.array(
                [min(ranks[index].share for ranks in self._ranks) for index in self.prototypes]
            )
            + 1e-9
        )


class Plans:
    """Follows one image's transport plans to the prototypes and back.

    Parameters
    ----------
    ranks : dict
        The image's matches by the prototype's index in the model.
    prototypes : tuple of int
        Indices of those shown.
    """

    def __init__(self, ranks: dict[int, PrototypeMatch], prototypes: tuple[int, ...]) -> None:
        self._matches = [ranks[index] for index in prototypes]
        self._sums: dict[tuple[int, ...], np.ndarray] = {}

    def forward(self, view: int, prototype: int, mass: np.ndarray) -> np.ndarray:
        """(M,) where mass on the image's patches lies in a prototype (its place among those)."""
        flow, some = self._matches[prototype].views[view].flow, np.flatnonzero(mass)
        rows = self.total(view, prototype, 1)[some]
        return np.asarray((mass[some] / rows) @ flow[some])

    def back(self, view: int, prototype: int, mass: np.ndarray) -> np.ndarray:
        """(M,) where mass on a prototype's patches lies in the image."""
        flow, some = self._matches[prototype].views[view].flow, np.flatnonzero(mass)
        columns = self.total(view, prototype, 0)[some]
        return np.asarray(flow[:, some] @ (mass[some] / columns))

    def total(self, view: int, prototype: int, axis: int) -> np.ndarray:
        """(M,) sums of a plan along an axis, computed once: the mass of the patches."""
        key = (view, prototype, axis)
        if key not in self._sums:
            flow = self._matches[prototype].views[view].flow
            self._sums[key] = np.maximum(flow.sum(axis=axis, dtype=float), 1e-300)
        return self._sums[key]


def _mean(arrays: list[np.ndarray], weights: np.ndarray) -> np.ndarray:
    return np.asarray(np.average(arrays, axis=0, weights=weights))


def check_comparable(first: Explanation, second: Explanation) -> None:
    """Refuse to compare explanations by different models.

    Parameters
    ----------
    first, second : Explanation

    Raises
    ------
    expert.errors.InputError
        They are by different models.
    """
    if first.model_sha256 != second.model_sha256:
        raise InputError(
            f"The two explanations are by different models ({first.model_name} "
            f"{first.model_version}, {second.model_name} "
            f"{second.model_version}): explain both images with the same one to compare them."
        )


def _shared(first: Explanation, second: Explanation) -> tuple[int, ...]:
    check_comparable(first, second)
    shares = {match.index: match.share for match in first.prototypes}
    common = [match for match in second.prototypes if match.index in shares]
    if not common:
        raise InputError(
            "The two images share none of the explained prototypes "
            f"({len(first.prototypes)} and {len(second.prototypes)}): "
            "explain both with more prototypes to compare them."
        )
    ranked = sorted(common, key=lambda match: -min(shares[match.index], match.share))
    return tuple(match.index for match in ranked)
