"""One explained image with its prototypes, or two with those they share, side by side.

A *tile* is one image: first the explained ones, then the prototypes. This module says what a tile
shows, and where the mass of one tile's patch lies in all the others; it draws nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from expert.errors import InputError
from expert.evidence.patch_evidence import Evidence
from expert.explanation import Explanation, ViewMatch
from expert.patches import Choice, Plane, chosen_patches, is_head, plane_image, planes, spread

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

    Raises
    ------
    expert.errors.InputError
        The two explanations cannot be compared.
    """

    def __init__(self, *explanations: Explanation, top: int = 3) -> None:
        self.explanations = explanations
        first = explanations[0]
        if len(explanations) == 1:
            self.prototypes = tuple(match.index for match in first.prototypes[:top])
        else:
            self.prototypes = _shared(*explanations)[:top]
        self._ranks = [{match.index: match for match in e.prototypes} for e in explanations]
        self.planes = planes(first)
        self.head = is_head(first)

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
        first = self._ranks[0]
        subjects = ("this image",) if self.subjects == 1 else NAMES
        return (*subjects, *(f"#{first[index].rank}" for index in self.prototypes))

    def title(self, tile: int, plane: Plane) -> str:
        """The text over a tile."""
        unit = self.explanations[0].unit
        if tile < self.subjects:
            e = self.explanations[tile]
            forced = " · forced" if e.forced else ""
            if self.subjects == 2:
                return f"{NAMES[tile]} · {e.prediction:.1f} {unit}{forced}"
            if plane.position_mm is None:
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

    def image(self, tile: int, plane: Plane) -> np.ndarray | None:
        """(rows, columns) uint8, axes (A, R) for heads.

        None for a prototype whose image is not available.
        """
        if tile < self.subjects:
            return plane_image(self.explanations[tile].views[plane.view].image, plane)
        image = self._ranks[0][self.prototypes[tile - self.subjects]].image
        return None if image is None else plane_image(image, plane)

    def patches(self, plane: Plane, choice: Choice) -> list[int]:
        """The first image's numbered patches, in the order of their numbers."""
        first = self.explanations[0]
        shown = first.model_copy(
            update={"prototypes": tuple(self._ranks[0][index] for index in self.prototypes)}
        )
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
            found = self._view_match(0, view, tile - self.subjects)
            row, index = found.matches(source), self.prototypes[tile - self.subjects]
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
        count = len(self.explanations[0].views[view].mass)
        own = np.zeros(count)
        own[patch] = 1.0
        if tile < self.subjects:
            prototypes = [
                own @ _rows(self._plan(tile, view, n)) for n in range(len(self.prototypes))
            ]
            subjects = []
            for other in range(self.subjects):
                ways = [
                    prototypes[n] @ _rows(self._plan(other, view, n).T)
                    for n in range(len(self.prototypes))
                ]
                subjects.append(own if other == tile else _mean(ways, self._weights()))
        else:
            chosen = tile - self.subjects
            subjects = [own @ _rows(self._plan(n, view, chosen).T) for n in range(self.subjects)]
            prototypes = []
            for other in range(len(self.prototypes)):
                ways = [
                    subjects[n] @ _rows(self._plan(n, view, other)) for n in range(self.subjects)
                ]
                prototypes.append(own if other == chosen else _mean(ways, np.ones(self.subjects)))
        return (*subjects, *prototypes)

    def _view_match(self, subject: int, view: int, prototype: int) -> ViewMatch:
        return self._ranks[subject][self.prototypes[prototype]].views[view]

    def _plan(self, subject: int, view: int, prototype: int) -> np.ndarray:
        return np.asarray(self._view_match(subject, view, prototype).flow, dtype=float)

    def _weights(self) -> np.ndarray:
        """(P,) the smaller of both images' weights of each shown prototype."""
        return (
            np.array(
                [min(ranks[index].share for ranks in self._ranks) for index in self.prototypes]
            )
            + 1e-9
        )


def _rows(plan: np.ndarray) -> np.ndarray:
    """(M, M) rows that sum to 1, or are 0."""
    return np.asarray(plan / np.maximum(plan.sum(axis=1, keepdims=True), 1e-300))


def _mean(arrays: list[np.ndarray], weights: np.ndarray) -> np.ndarray:
    return np.asarray(np.average(arrays, axis=0, weights=weights))


def _shared(first: Explanation, second: Explanation) -> tuple[int, ...]:
    if first.model_sha256 != second.model_sha256:
        raise InputError(
            f"The two explanations are by different models ({first.model_name} "
            f"{first.model_version}, {second.model_name} "
            f"{second.model_version}): explain both images with the same one to compare them."
        )
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
