"""What is known about each patch of an explained image: region, contribution, tissues by age."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from expert import attribution
from expert.evidence.tissue_norms import TissueNorms, tissue_fractions
from expert.imaging.region_atlas import PatchRegions, patch_regions
from expert.patches import is_head

if TYPE_CHECKING:
    from expert.explanation import Explanation

NOTABLE = 0.02
"""Smallest difference between two tissue fractions that is named."""
APART = 0.25
"""Least distance of the two bands of labels, as a fraction of the range of the labels."""


@dataclass(frozen=True)
class Band:
    """People of similar labels, such as those of 45 to 50 years."""

    low: float
    high: float

    @property
    def middle(self) -> float:
        """Where the normative curves are read."""
        return (self.low + self.high) / 2

    @property
    def text(self) -> str:
        """As "45–50"."""
        return f"{self.low:g}–{self.high:g}"


@dataclass(frozen=True)
class Difference:
    """The tissue whose fraction in a patch differs most from that of others."""

    tissue: int
    """Index into `expert.evidence.tissue_norms.TISSUES`."""
    own: float
    """Fraction in this image, 0 to 1."""
    usual: float
    """Mean fraction in others."""

    @property
    def more(self) -> bool:
        """Whether this image has more of it."""
        return self.own > self.usual


@dataclass(frozen=True, eq=False)
class Evidence:
    """All patches of an explanation.

    Parameters
    ----------
    explanation : Explanation
    contributions : (V, M) ndarray
        To the prediction, label units (`expert.attribution.for_prediction`).
    reference : float
        What the contributions start from (`expert.attribution.reference`).
    regions : tuple of PatchRegions
        One per view; empty for images that are not in template space.
    fractions : (V, M, 3) ndarray or None
        Tissues in the patches of this image; None without normative curves.
    usual : tuple of (V, M, 3) ndarray
        Mean fractions of people in the two `bands`; empty without normative curves.
    bands : tuple of Band
        Around the reference, and around the prediction.
    """

    explanation: Explanation
    contributions: np.ndarray
    reference: float
    regions: tuple[PatchRegions, ...]
    fractions: np.ndarray | None
    usual: tuple[np.ndarray, ...]
    bands: tuple[Band, Band]

    @classmethod
    def of(cls, explanation: Explanation) -> Evidence:
        """Collect the evidence of an explanation.

        Parameters
        ----------
        explanation : Explanation

        Returns
        -------
        Evidence
        """
        e, views = explanation, range(len(explanation.views))
        start = attribution.reference(e)
        norms = TissueNorms.of_explanation(e)
        two = bands(e.prediction, start, float(e.labels.min()), float(e.labels.max()))
        fractions: np.ndarray | None = None
        usual: tuple[np.ndarray, ...] = ()
        if norms is not None:
            fractions = np.stack([tissue_fractions(view.image, e.grid) for view in e.views])
            usual = tuple(np.stack([norms.at(band.middle, n) for n in views]) for band in two)
        regions: tuple[PatchRegions, ...] = ()
        if is_head(e):
            regions = tuple(patch_regions(v.affine, v.image.shape, e.grid) for v in e.views)
        contributions = np.stack([attribution.for_prediction(e, n) for n in views])
        return cls(e, contributions, start, regions, fractions, usual, two)

    def region_names(self, view: int, patch: int) -> tuple[str, ...]:
        """Names of the regions that fill most of a patch, the largest first; or none."""
        return self.regions[view].of(patch) if self.regions else ()

    def difference(self, view: int, patch: int) -> Difference | None:
        """The tissue that differs most from people around the reference, in either direction.

        Returns
        -------
        Difference or None
            None without normative curves, or if no fraction differs by 2 percentage points.
        """
        return self._difference(view, patch, np.ones(3, dtype=bool))

    def fitting_difference(self, view: int, patch: int) -> Difference | None:
        """The same, among the tissues that differ in the direction of the patch's contribution.

        A patch that increases the prediction fits if this image differs from people around the
        reference as people of a larger label do; one that decreases it, as people of a smaller
        label do.
        """
        if self.fractions is None:
            return None
        low, high = self.usual if self.bands[0].low < self.bands[1].low else self.usual[::-1]
        trend = (high - low)[view, patch]
        step = (self.fractions - self.usual[0])[view, patch]
        return self._difference(view, patch, trend * step * self.contributions[view, patch] > 0)

    def _difference(self, view: int, patch: int, among: np.ndarray) -> Difference | None:
        if self.fractions is None:
            return None
        own, usual = self.fractions[view, patch], self.usual[0][view, patch]
        away = np.where(among, np.abs(own - usual), 0)
        if not np.isfinite(away).all() or away.max() < NOTABLE:
            return None
        tissue = int(away.argmax())
        return Difference(tissue, float(own[tissue]), float(usual[tissue]))

    def strongest(self, count: int) -> list[tuple[int, int]]:
        """View and patch of the largest absolute contributions; none where nothing contributes."""
        strength = np.abs(self.contributions).ravel()
        order = np.argsort(-strength, kind="stable")[:count]
        size = self.contributions.shape[1]
        return [divmod(int(n), size) for n in order if strength[n] > 0]

    def moved(self, view: int, source: int, target: int) -> np.ndarray:
        """(3,) template mm from a patch to another one of the same view."""
        e = self.explanation
        places = np.array(np.unravel_index([source, target], e.grid)).T
        size = np.array(e.view_shape) / np.array(e.grid)
        step = np.zeros(3)
        step[: len(size)] = (places[1] - places[0]) * size
        return np.asarray(e.views[view].affine[:3, :3] @ step)


def bands(prediction: float, start: float, lowest: float, highest: float) -> tuple[Band, Band]:
    """The people that a patch is compared with: around the reference, and around the prediction.

    Where the two are closer than a quarter of the range of the labels, the band of the prediction
    is moved to that distance from the reference, on the side of the prediction, or on the other
    side if the range ends before.

    Parameters
    ----------
    prediction, start : float
        Label units.
    lowest, highest : float
        Of the prototypes' labels.

    Returns
    -------
    tuple of two Band
    """
    width = _round_width((highest - lowest) / 12)
    apart = APART * (highest - lowest)
    other = prediction
    if abs(prediction - start) < apart:
        sign = 1 if prediction >= start else -1
        other = start + sign * apart
        if not lowest <= other <= highest:
            other = start - sign * apart
    low, high = (math.floor(place / width) * width for place in (start, other))
    return Band(low, low + width), Band(high, high + width)


def _round_width(width: float) -> float:
    """The number 1, 2 or 5 times a power of 10 that is nearest to a width by its ratio."""
    power = 10.0 ** math.floor(math.log10(width)) if width > 0 else 1.0
    choices = [power * factor for factor in (1, 2, 5, 10)]
    return min(choices, key=lambda choice: abs(math.log(choice / max(width, 1e-12))))
