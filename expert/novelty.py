"""Out-of-distribution (OOD) detection: seven indicators, one score, one limit.

Each indicator is larger for less usual images. It is scaled so that 0 is the median and 1 the 95th
percentile of held-out images. The OOD score of an image is its largest indicator. Of further images
like the held-out ones, about one in twenty has a score above the limit (split-conformal quantile).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from expert.conformal import conformal_quantile, conformal_rank
from expert.errors import InputError
from expert.patches import foreground_patches
from expert.schema import Familiarity

if TYPE_CHECKING:
    from expert.comparison import ViewsResult
    from expert.datasets.prepared_dataset import CohortArrays
    from expert.schema import ModelInfo

LEVEL = 0.95
STRONG = 3.0
"""A score above this many times the limit is strongly unlike the training."""
BINS = 32
PARTS = 5
"""The held-out images are scored in this number of parts, each with the scales of the others."""
INDICATORS = {
    "nearest_distance": "far from every prototype",
    "few_in_radius": "few prototypes within the radius",
    "patch_distance": "a patch unlike every patch of the nearest prototype",
    "registration": "poor registration to the template",
    "histogram": "unusual distribution of grey values",
    "brightness": "regions brighter or darker than usual",
    "detail": "regions sharper or more blurred than usual",
}
"""Name of each indicator and what it means."""
MINIMUM_SPREAD = {
    "nearest_distance": 1e-3,
    "few_in_radius": 0.1,
    "patch_distance": 1e-3,
    "registration": 0.1,
    "histogram": 0.005,
    "brightness": 0.1,
    "detail": 0.1,
}
"""Least distance from the median to the 95th percentile, for indicators that hardly vary."""


@dataclass(frozen=True, eq=False)
class ImageStatistics:
    """Statistics of one subject's images, independent of any network."""

    histogram: np.ndarray
    """(BINS,) cumulative distribution of the grey values inside the content."""
    brightness: np.ndarray
    """(V, M) mean grey value of each patch's content, 0 to 1."""
    detail: np.ndarray
    """(V, M) logarithm of the mean gradient in each patch, in full scale per pixel."""


def image_statistics(
    images: np.ndarray, content: np.ndarray, grid: tuple[int, ...]
) -> ImageStatistics:
    """Statistics of one subject's views.

    Parameters
    ----------
    images, content : (V, *shape) ndarray
        0 to 255.
    grid : tuple[int, ...]
        Patches per axis.

    Returns
    -------
    ImageStatistics
    """
    inside = np.asarray(content, dtype=np.float32) / 255
    grey = np.where(inside > 0, np.asarray(images, dtype=np.float32) / 255, 0)
    counts, _ = np.histogram(grey, BINS, (0, 1), weights=inside)
    axes = tuple(range(1, grey.ndim))
    steep = np.sqrt(sum(np.square(np.gradient(grey, axis=axis)) for axis in axes))
    mass = np.maximum(_patch_means(inside, grid), 1e-3)
    return ImageStatistics(
        histogram=np.cumsum(counts) / max(float(counts.sum()), 1e-9),
        brightness=_patch_means(grey, grid) / mass,
        detail=np.log(1e-3 + _patch_means(steep * inside, grid) / mass),
    )


def _patch_means(array: np.ndarray, grid: tuple[int, ...]) -> np.ndarray:
    """(V, *shape) to (V, M) means of the patches."""
    split = [
        n for size, cells in zip(array.shape[1:], grid, strict=True) for n in (cells, size // cells)
    ]
    parts = array.reshape(len(array), *split)
    return np.asarray(parts.mean(axis=tuple(range(2, parts.ndim, 2)))).reshape(len(array), -1)


@dataclass(frozen=True, eq=False)
class Reference:
    """Statistics of the training images: mean and standard deviation over subjects."""

    histogram: np.ndarray
    brightness: np.ndarray
    brightness_spread: np.ndarray
    detail: np.ndarray
    detail_spread: np.ndarray

    @classmethod
    def of(cls, cohort: CohortArrays, planes: list[int], grid: tuple[int, ...]) -> Reference:
        """The statistics of training images; each row of the cohort counts once.

        Parameters
        ----------
        cohort : CohortArrays
        planes : list[int]
            Indices of the planes that are explained.
        grid : tuple[int, ...]
            Patches per axis.
        """
        each = [
            image_statistics(images[planes], content[planes], grid)
            for images, content in zip(cohort.images, cohort.content, strict=True)
        ]
        bright = np.array([one.brightness for one in each])
        detail = np.array([one.detail for one in each])
        return cls(
            np.mean([one.histogram for one in each], axis=0),
            bright.mean(0),
            np.maximum(bright.std(0), 0.01),
            detail.mean(0),
            np.maximum(detail.std(0), 0.05),
        )


def ood_indicators(
    reference: Reference | Familiarity,
    grid: tuple[int, ...],
    images: np.ndarray,
    content: np.ndarray,
    quality: float,
    result: ViewsResult,
) -> dict[str, float]:
    """The seven out-of-distribution indicators of one subject, unscaled.

    Parameters
    ----------
    reference : Reference | Familiarity
        Statistics of the training images.
    grid : tuple[int, ...]
        Patches per axis.
    images, content : (V, *shape) ndarray
        0 to 255.
    quality : float
        Quality of the registration, 0 to 1; NaN without a registration.
    result : ViewsResult
        From `expert.comparison.compare_images` of these views.

    Returns
    -------
    dict[str, float]
        By the names in `INDICATORS`: label units (distances), standard deviations (brightness,
        detail), fractions (the others).
    """
    own, there = image_statistics(images, content, grid), foreground_patches(content, grid)
    worst = []
    for n, distances in enumerate(result.distances):
        each = result.patch_costs(n, int(distances.argmin()))
        worst.append(each[there[n]].max() if there[n].any() else each.max())

    def deviation(value: np.ndarray, mean: object, spread: object) -> float:
        off = np.abs(value - np.asarray(mean)) / np.asarray(spread)
        return float(off[there].mean() if there.any() else off.mean())

    return {
        "nearest_distance": result.nearest_distance,
        "few_in_radius": 1 / (1 + result.in_radius),
        "patch_distance": result.scale * float(np.mean(worst)),
        "registration": 0.0 if np.isnan(quality) else 1 - quality,
        "histogram": float(np.abs(own.histogram - np.asarray(reference.histogram)).mean()),
        "brightness": deviation(own.brightness, reference.brightness, reference.brightness_spread),
        "detail": deviation(own.detail, reference.detail, reference.detail_spread),
    }


def calibrate(reference: Reference, heldout: Sequence[dict[str, float]]) -> Familiarity:
    """Scales and limit from the indicators of held-out images, with the statistics they need.

    Parameters
    ----------
    reference : Reference
        Statistics of the training images.
    heldout : Sequence[dict[str, float]]
        Indicators of the held-out images.

    Returns
    -------
    Familiarity
        To be stored in the model (`expert.schema.Calibration`).

    Raises
    ------
    InputError
        There are no held-out images.
    """
    center, spread, limit = calibrate_indicators(heldout)

    def rounded(array: np.ndarray) -> tuple[tuple[float, ...], ...]:
        return tuple(tuple(round(float(v), 4) for v in row) for row in array)

    return Familiarity(
        histogram=tuple(round(float(v), 5) for v in reference.histogram),
        brightness=rounded(reference.brightness),
        brightness_spread=rounded(reference.brightness_spread),
        detail=rounded(reference.detail),
        detail_spread=rounded(reference.detail_spread),
        center=center,
        spread=spread,
        limit=limit,
        images=len(heldout),
    )


def calibrate_indicators(
    heldout: Sequence[dict[str, float]],
) -> tuple[dict[str, float], dict[str, float], float]:
    """Scales of the indicators and the limit of the score.

    Parameters
    ----------
    heldout : Sequence[dict[str, float]]
        Indicators of the held-out images.

    Returns
    -------
    center : dict[str, float]
        Median of each indicator.
    spread : dict[str, float]
        From the median to the 95th percentile.
    limit : float
        Of the score.

    Raises
    ------
    InputError
        There are no held-out images.
    """
    if not heldout:
        raise InputError(
            "Out-of-distribution limits need held-out images: train with at least two folds."
        )
    table = np.array([[one[name] for name in INDICATORS] for one in heldout])
    center, spread = _scales(table)
    # Each part is scored with scales that it did not contribute to: with its own, the images would
    # seem more usual than further ones are.
    scores = np.empty(len(table))
    parts = min(PARTS, len(table))
    for part in range(parts):
        own = np.arange(len(table)) % parts == part
        middle, width = _scales(table[~own]) if parts > 1 else (center, spread)
        scores[own] = ((table[own] - middle) / width).max(axis=1)
    return (
        dict(zip(INDICATORS, center.tolist(), strict=True)),
        dict(zip(INDICATORS, spread.tolist(), strict=True)),
        conformal_quantile(scores, LEVEL),
    )


def expected_alarms(images: int) -> float:
    """Expected fraction of in-distribution images above the limit.

    Parameters
    ----------
    images : int
        Number of held-out images the limit comes from.

    Returns
    -------
    float
        0 to 1; exact for fixed scales.
    """
    return 1 - conformal_rank(images, LEVEL) / (images + 1)


def _scales(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median of each indicator (N, 7), and the distance to the 95th percentile: (7,), (7,)."""
    center = np.median(table, axis=0)
    least = np.array([MINIMUM_SPREAD[name] for name in INDICATORS])
    return center, np.maximum(np.percentile(table, 95, axis=0) - center, least)


def ood_score(familiarity: Familiarity, indicators: dict[str, float]) -> tuple[float, str]:
    """Out-of-distribution score of an image.

    Parameters
    ----------
    familiarity, indicators : Familiarity, dict[str, float]
        From the model, and from `ood_indicators`.

    Returns
    -------
    score : float
        Above `Familiarity.limit` the image is out of distribution.
    name : str
        The indicator that is the score, a key of `INDICATORS`.
    """
    return score_indicators(familiarity.center, familiarity.spread, indicators)


def score_indicators(
    center: dict[str, float], spread: dict[str, float], indicators: dict[str, float]
) -> tuple[float, str]:
    """The largest scaled indicator, and its name.

    Parameters
    ----------
    center, spread : dict[str, float]
        From `calibrate_indicators`.
    indicators : dict[str, float]
        From `ood_indicators`.

    Returns
    -------
    score : float
    name : str
    """
    scaled = {name: (indicators[name] - center[name]) / spread[name] for name in center}
    name = max(scaled, key=lambda key: scaled[key])
    return float(scaled[name]), name


@dataclass(frozen=True)
class Novelty:
    """How unlike the training images a subject is."""

    score: float = 0.0
    """The OOD score; without `Calibration.familiarity`, the distance of the nearest prototype."""
    limit: float = np.inf
    """Above it the subject is out of distribution."""
    reason: str = ""
    """Why the score is as it is, in a sentence."""

    @property
    def text(self) -> str:
        """The reason if the subject is out of distribution; else empty."""
        return "" if self.score <= self.limit else self.reason

    @property
    def strong(self) -> bool:
        """Whether the score is above `STRONG` times the limit."""
        return not self.score <= max(self.limit, STRONG * self.limit)


def out_of_distribution_text(
    info: ModelInfo, images: np.ndarray, content: np.ndarray, quality: float, result: ViewsResult
) -> str:
    """`Novelty.text` of a subject, see `measure_novelty`."""
    return measure_novelty(info, images, content, quality, result).text


def measure_novelty(
    info: ModelInfo, images: np.ndarray, content: np.ndarray, quality: float, result: ViewsResult
) -> Novelty:
    """Score of a subject, its limit, and why the subject is out of distribution if it is.

    Parameters
    ----------
    info : ModelInfo
        Of the model. Without a calibration, nothing is out of distribution; without
        `Calibration.familiarity`, the nearest distance alone decides.
    images, content, quality, result
        As in `ood_indicators`.

    Returns
    -------
    Novelty
    """
    calibration, unit = info.calibration, info.label.unit
    if calibration is None:
        return Novelty()
    familiarity, limit = calibration.familiarity, calibration.nearest_distance_limit
    if familiarity is None:
        reason = (
            f"Unlike the training data: the nearest prototype is {result.nearest_distance:.1f} "
            f"{unit} away, 95 % of validation images have one within {limit:.1f}."
        )
        return Novelty(result.nearest_distance, limit, reason)
    indicators = ood_indicators(familiarity, info.grid, images, content, quality, result)
    score, name = ood_score(familiarity, indicators)
    reason = (
        f"Unlike the training data: {INDICATORS[name]} (score {score:.1f}, limit "
        f"{familiarity.limit:.1f})."
    )
    return Novelty(score, familiarity.limit, reason)
