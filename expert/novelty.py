"""Is an image like the training data: seven signs, one score, one limit.

Each sign is larger for stranger images. It is scaled so that 0 is the median and 1 the 95th
percentile of images that were kept out of the training; the score is the largest of them, and the
limit is such that of further images like those about one in twenty is above it (split-conformal
quantile). One strange sign is enough, and it has a name to tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from expert.errors import InputError
from expert.patches import foreground_cells
from expert.schema import Familiarity

if TYPE_CHECKING:
    from expert.comparison import ViewsResult
    from expert.datasets.prepared_dataset import CohortArrays
    from expert.model import PrototypeRegressor
    from expert.schema import InputSettings, ModelInfo

LEVEL = 0.95
BINS = 32
PARTS = 5
"""Of the kept-out images, each scored by the scales of the others, see `calibrate`."""
SIGNS = {
    "nearest_distance": "it is far from every prototype",
    "few_in_radius": "few prototypes are within the radius",
    "patch_distance": "a patch of it is like no patch of its nearest prototype",
    "registration": "it hardly fits the template",
    "histogram": "its grey values are distributed otherwise",
    "brightness": "its regions are bright or dark where others are not",
    "detail": "its regions are sharper or more blurred than others are",
}
"""Name of each sign and what it says."""
FLOORS = {
    "nearest_distance": 1e-3,
    "few_in_radius": 0.1,
    "patch_distance": 1e-3,
    "registration": 0.1,
    "histogram": 0.005,
    "brightness": 0.1,
    "detail": 0.1,
}
"""Least distance from median to 95th percentile: a sign that is the same for all kept-out images is
not infinitely sharp."""


@dataclass(frozen=True, eq=False)
class Look:
    """What images look like, without any network."""

    histogram: np.ndarray
    """(BINS,) cumulated shares of the grey values inside the content."""
    brightness: np.ndarray
    """(V, M) mean grey of each cell's content, 0 to 1."""
    detail: np.ndarray
    """(V, M) log of the mean gradient in each cell, black to white per pixel."""


def look(images: np.ndarray, content: np.ndarray, grid: tuple[int, ...]) -> Look:
    """What one subject's views look like.

    Parameters
    ----------
    images, content : (V, *shape) ndarray
        0 to 255.
    grid : tuple[int, ...]
        Cells per axis.
    """
    inside = np.asarray(content, dtype=np.float32) / 255
    grey = np.asarray(images, dtype=np.float32) / 255
    counts, _ = np.histogram(grey, BINS, (0, 1), weights=inside)
    axes = tuple(range(1, grey.ndim))
    steep = np.sqrt(sum(np.square(np.gradient(grey, axis=axis)) for axis in axes))
    mass = np.maximum(_pooled(inside, grid), 1e-3)
    return Look(
        histogram=np.cumsum(counts) / max(float(counts.sum()), 1e-9),
        brightness=_pooled(grey, grid) / mass,
        detail=np.log(1e-3 + _pooled(steep * inside, grid) / mass),
    )


def _pooled(array: np.ndarray, grid: tuple[int, ...]) -> np.ndarray:
    """(V, *shape) to (V, M) means of the cells."""
    split = [
        n for size, cells in zip(array.shape[1:], grid, strict=True) for n in (cells, size // cells)
    ]
    parts = array.reshape(len(array), *split)
    return np.asarray(parts.mean(axis=tuple(range(2, parts.ndim, 2)))).reshape(len(array), -1)


@dataclass(frozen=True, eq=False)
class Reference:
    """What the training images look like: means over subjects and how they differ."""

    histogram: np.ndarray
    brightness: np.ndarray
    brightness_spread: np.ndarray
    detail: np.ndarray
    detail_spread: np.ndarray

    @classmethod
    def of(cls, cohort: CohortArrays, planes: list[int], grid: tuple[int, ...]) -> Reference:
        """From a cohort's planes; each subject counts once per row."""
        seen = [
            look(images[planes], content[planes], grid)
            for images, content in zip(cohort.images, cohort.content, strict=True)
        ]
        bright, detail = (
            np.array([one.brightness for one in seen]),
            np.array([one.detail for one in seen]),
        )
        return cls(
            np.mean([one.histogram for one in seen], axis=0),
            bright.mean(0),
            np.maximum(bright.std(0), 0.01),
            detail.mean(0),
            np.maximum(detail.std(0), 0.05),
        )


def signs(
    reference: Reference | Familiarity,
    grid: tuple[int, ...],
    images: np.ndarray,
    content: np.ndarray,
    quality: float,
    result: ViewsResult,
) -> dict[str, float]:
    """The seven signs of one subject, unscaled; larger is stranger.

    Parameters
    ----------
    reference : Reference | Familiarity
        What the training images look like.
    grid : tuple[int, ...]
        Cells per axis.
    images, content : (V, *shape) ndarray
        0 to 255.
    quality : float
        Of the registration, 0 to 1; NaN where there is none.
    result : ViewsResult
        From `expert.comparison.compare_images` of these views.

    Returns
    -------
    dict[str, float]
        By name, see `SIGNS`: label units (distances), standard deviations (brightness, detail),
        parts of 1 (the others).
    """
    seen, there = look(images, content, grid), foreground_cells(content, grid)
    worst = []
    for n, distances in enumerate(result.distances):
        flow, cost = result.flow[n, distances.argmin()], result.cost[n, distances.argmin()]
        each = (flow * cost).sum(1) / np.maximum(flow.sum(1), 1e-300)
        worst.append(each[there[n]].max() if there[n].any() else each.max())

    def away(value: np.ndarray, mean: object, spread: object) -> float:
        off = np.abs(value - np.asarray(mean)) / np.asarray(spread)
        return float(off[there].mean() if there.any() else off.mean())

    return {
        "nearest_distance": result.nearest_distance,
        "few_in_radius": 1 / (1 + result.in_radius),
        "patch_distance": result.scale * float(np.mean(worst)),
        "registration": 0.0 if np.isnan(quality) else 1 - quality,
        "histogram": float(np.abs(seen.histogram - np.asarray(reference.histogram)).mean()),
        "brightness": away(seen.brightness, reference.brightness, reference.brightness_spread),
        "detail": away(seen.detail, reference.detail, reference.detail_spread),
    }


def cohort_signs(
    network: PrototypeRegressor,
    recipe: InputSettings,
    reference: Reference | Familiarity,
    cohort: CohortArrays,
) -> list[dict[str, float]]:
    """`signs` of every row of a cohort; the network in evaluation mode, on the CPU."""
    from expert.comparison import compare_images

    planes = cohort.planes(recipe.positions_mm) if len(cohort.positions_mm) > 1 else [0]
    out = []
    for images, content, quality in zip(
        cohort.images[:, planes], cohort.content[:, planes], cohort.quality, strict=True
    ):
        result = compare_images(network, images, content)
        out.append(signs(reference, network.grid, images, content, float(quality), result))
    return out


def calibrate(reference: Reference, kept: Sequence[dict[str, float]]) -> Familiarity:
    """Scales and limit from the signs of images that were kept out of the training.

    Parameters
    ----------
    reference : Reference
        What the training images look like.
    kept : Sequence[dict[str, float]]
        Signs of the kept-out images.

    Returns
    -------
    Familiarity
        To be stored in the model (`expert.schema.Calibration`).

    Raises
    ------
    InputError
        There are none.

    References
    ----------
    .. [1] Papadopoulos et al., "Inductive Confidence Machines", ECML 2002 (the quantile).
    """
    center, spread, limit = calibrate_signs(kept)

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
        images=len(kept),
    )


def calibrate_signs(
    kept: Sequence[dict[str, float]],
) -> tuple[dict[str, float], dict[str, float], float]:
    """Scales and limit alone, see `calibrate`.

    Parameters
    ----------
    kept : Sequence[dict[str, float]]
        Signs of the kept-out images.

    Returns
    -------
    center, spread, limit : tuple[dict[str, float], dict[str, float], float]
        Median of each sign, how far above it the 95th percentile lies, limit of the score.

    Raises
    ------
    InputError
        There are none.
    """
    if not kept:
        raise InputError("Images kept out of the training are needed to say what is unlike it.")
    table = np.array([[one[name] for name in SIGNS] for one in kept])
    center, spread = _scales(table)
    # Scored by scales that each part took no share in: by its own, the images would look more alike
    # than further ones do.
    scores = np.empty(len(table))
    parts = min(PARTS, len(table))
    for part in range(parts):
        own = np.arange(len(table)) % parts == part
        middle, width = _scales(table[~own]) if parts > 1 else (center, spread)
        scores[own] = ((table[own] - middle) / width).max(axis=1)
    limit = float(np.sort(scores)[_rank(len(kept)) - 1])
    return (
        dict(zip(SIGNS, center.tolist(), strict=True)),
        dict(zip(SIGNS, spread.tolist(), strict=True)),
        limit,
    )


def _rank(images: int) -> int:
    """Of the score that becomes the limit, from 1."""
    return min(int(np.ceil((images + 1) * LEVEL)), images)


def expected_alarms(images: int) -> float:
    """Share of further images like the kept-out ones that is above their limit, on average; scales
    apart, exactly this."""
    return 1 - _rank(images) / (images + 1)


def _scales(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median of each sign (N, 7), and how far above it the 95th percentile lies: (7,), (7,)."""
    center = np.median(table, axis=0)
    floors = np.array([FLOORS[name] for name in SIGNS])
    return center, np.maximum(np.percentile(table, 95, axis=0) - center, floors)


def fit(
    network: PrototypeRegressor, recipe: InputSettings, training: CohortArrays, kept: CohortArrays
) -> Familiarity:
    """What a network's training images look like, and the limit from images that were kept out.

    Parameters
    ----------
    network : PrototypeRegressor
        In evaluation mode, on the CPU.
    recipe : InputSettings
        How both cohorts were prepared.
    training, kept : CohortArrays
        Cohorts without a subject in common.
    """
    planes = training.planes(recipe.positions_mm) if len(training.positions_mm) > 1 else [0]
    reference = Reference.of(training, planes, network.grid)
    return calibrate(reference, cohort_signs(network, recipe, reference, kept))


def strangeness(familiarity: Familiarity, found: dict[str, float]) -> tuple[float, str]:
    """How strange an image is, and by which sign.

    Parameters
    ----------
    familiarity : Familiarity
        From the model.
    found : dict[str, float]
        From `signs`.

    Returns
    -------
    score, name : tuple[float, str]
        Above `Familiarity.limit` the image is unlike the training data; a key of `SIGNS`.
    """
    return score_signs(familiarity.center, familiarity.spread, found)


def score_signs(
    center: dict[str, float], spread: dict[str, float], found: dict[str, float]
) -> tuple[float, str]:
    """The largest of scaled signs, and which it is; center and spread from `calibrate_signs`."""
    scaled = {name: (found[name] - center[name]) / spread[name] for name in center}
    name = max(scaled, key=lambda key: scaled[key])
    return float(scaled[name]), name


def unlike_training(
    info: ModelInfo, images: np.ndarray, content: np.ndarray, quality: float, result: ViewsResult
) -> str:
    """One sentence that says in what a subject is unlike a model's training data; empty where it is
    not.

    Parameters
    ----------
    info : ModelInfo
        Of the model; without a calibration nothing is unlike it, without `Calibration.familiarity`
        the nearest distance alone decides.
    images, content, quality, result : ndarray
        As in `signs`.
    """
    calibration, unit = info.calibration, info.label.unit
    if calibration is None:
        return ""
    familiarity, limit = calibration.familiarity, calibration.nearest_distance_limit
    if familiarity is None:
        far = (
            "Unlike the training data: the nearest prototype is "
            f"{result.nearest_distance:.1f} {unit} away, "
            f"95 % of validation images have one within {limit:.1f}."
        )
        return far if result.nearest_distance > limit else ""
    score, sign = strangeness(
        familiarity, signs(familiarity, info.grid, images, content, quality, result)
    )
    if score <= familiarity.limit:
        return ""
    return (
        f"Unlike the training data: {SIGNS[sign]} (score {score:.1f}, limit "
        f"{familiarity.limit:.1f})."
    )
