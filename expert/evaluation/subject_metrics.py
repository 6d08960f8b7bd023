"""All measures of the explanation of one subject, for `expert.evaluation.explanation_metrics`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from expert.attribution import effective_prototypes
from expert.comparison import ViewsResult, compare_images
from expert.evaluation.deletion import deletion, mean_images, outside_response
from expert.evaluation.fidelity import Exactness, exactness, stability
from expert.evaluation.matching_quality import (
    chance_level,
    encode,
    measure_plans,
    nan_mean,
    plans,
    self_match,
    shifted_match,
)
from expert.patches import foreground_patches

if TYPE_CHECKING:
    from expert.model import PrototypeRegressor


class _Plans(NamedTuple):
    """Plans from one image to P others, with their foregrounds and weights."""

    flow: np.ndarray
    """(P, M, M)."""
    own: np.ndarray
    """(M,) bool, foreground of the image."""
    partners: np.ndarray
    """(P, M) bool, foreground of the others."""
    weights: np.ndarray
    """(P,)."""


@dataclass(frozen=True, eq=False)
class SubjectEvaluator:
    """Measures the explanations of a network, one subject of a cohort at a time.

    Parameters
    ----------
    network : PrototypeRegressor
        In evaluation mode, on the CPU.
    images, content : (N, V, *shape) ndarray
        Explained views of all images, 0 to 255.
    names : (N,) ndarray of str
        Subject of each image.
    centers : list of V (M, 3) ndarrays or None
        Patch centres, see `expert.evaluation.matching_quality.patch_centers`.
    prototype_foreground : (planes * P, M) ndarray of bool
        Foreground of the prototypes, ordered as `PrototypeRegressor.prototypes`.
    sources : sequence of str or None
        (P,) subject that each prototype shows.
    """

    network: PrototypeRegressor
    images: np.ndarray
    content: np.ndarray
    names: np.ndarray
    centers: list[np.ndarray | None]
    prototype_foreground: np.ndarray
    sources: Sequence[str] | None

    def same_subject(self, row: int) -> np.ndarray:
        """(P,) bool: prototypes that show the subject of a row."""
        if self.sources is None:
            return np.zeros(self.network.architecture.prototypes, dtype=bool)
        return np.asarray(np.array(self.sources) == self.names[row])

    def measure(
        self, row: int, other: int | None, seed: int
    ) -> tuple[dict[str, float], dict[str, float], Exactness]:
        """Every measure of one subject, as a mean over its views.

        Parameters
        ----------
        row : int
            Row of the subject's image.
        other : int or None
            Row of another subject to compare it with.
        seed : int

        Returns
        -------
        values, chance : dict of str to float
            By name of the measure, such as "self shift" or "prototype displacement_mm".
        exactness : Exactness
        """
        network, images, content = self.network, self.images[row], self.content[row]
        result = compare_images(network, images, content)
        found: dict[str, list[float]] = defaultdict(list)
        chance: dict[str, list[float]] = defaultdict(list)

        def add(prefix: str, values: dict[str, float], levels: dict[str, float]) -> None:
            for name, value in values.items():
                found[f"{prefix} {name}"].append(value)
                chance[f"{prefix} {name}"].append(levels[name])

        for n, centers in enumerate(self.centers):
            add("self", *self_match(network, images[n], content[n]))
            plan = {"prototype": self._to_prototypes(result, n, row)}
            if other is not None:
                plan["between"] = self._to_subject(n, row, other)
                there = self.images[other, n], self.content[other, n]
                place, level = shifted_match(network, images[n], content[n], *there)
                add("between", {"follows": place}, {"follows": level})
            for kind, (flow, own, partners, weights) in plan.items():
                if weights.any():
                    add(
                        kind,
                        asdict(measure_plans(flow, own, partners, weights, centers)),
                        asdict(chance_level(own, partners, weights, centers)),
                    )
        values = {name: nan_mean(every) for name, every in found.items()}
        values["effective"] = effective_prototypes(result.shares[None])
        for change, steady in stability(network, images, content, result, _seed(seed, row)).items():
            values |= {f"stable {change} {name}": value for name, value in asdict(steady).items()}
        values |= self._deleted(result, row, seed)
        levels = {name: nan_mean(every) for name, every in chance.items()}
        return values, levels, exactness(network, images, content, result)

    def _to_prototypes(self, result: ViewsResult, view: int, row: int) -> _Plans:
        """Plans to the prototypes of other subjects, weighted as in the prediction."""
        own = self.same_subject(row)
        shares, distances = result.view_shares[view], result.distances[view]
        if result.planes_combined:
            shares, distances = result.shares, result.mean_distances
        weights = np.where(own, 0.0, shares)
        if weights.sum() < 1e-9 and not own.all():
            # All the weight is on the subject itself: without it, the nearest of the others counts.
            weights[np.where(own, np.inf, distances).argmin()] = 1.0
        used = weights > 0
        first = view * len(used) if self.network.architecture.planes_combined else 0
        return _Plans(
            result.plans(view, np.flatnonzero(used)),
            foreground_patches(self.content[row, view][None], self.network.grid)[0],
            self.prototype_foreground[first : first + len(used)][used],
            weights[used],
        )

    def _to_subject(self, view: int, row: int, other: int) -> _Plans:
        """The plan to another subject's image of the same height."""
        one, two = (
            encode(self.network, self.images[n, view][None], self.content[n, view][None])
            for n in (row, other)
        )
        flow = plans(self.network, one, two, guided=True)
        return _Plans(flow, one.foreground[0], two.foreground, np.ones(1))

    def _deleted(self, result: ViewsResult, row: int, seed: int) -> dict[str, float]:
        """Deletion and response from outside.

        The response is measured in the middle view, the deletion in the view nearest the middle
        whose prediction is not a fallback.
        """
        if len(np.unique(self.names)) < 2:
            return {}
        views = np.arange(len(self.centers))
        order = np.argsort(np.abs(views - (len(views) - 1) / 2), kind="stable")
        combined = result.planes_combined
        fallbacks = np.full(len(order), result.fallback) if combined else result.fallbacks
        middle = int(order[0])
        view = next((int(n) for n in order if not fallbacks[n]), middle)
        replacement = mean_images(self.images, self.names, row)
        if self.network.architecture.ellipse:  # the size of the head stays
            replacement[..., [0, -1], :] = self.images[row][..., [0, -1], :]
            replacement[..., [0, -1]] = self.images[row][..., [0, -1]]
        images, content = self.images[row], self.content[row]
        areas = deletion(
            self.network,
            images[view],
            content[view],
            replacement[view],
            result,
            view,
            _seed(seed, row),
        )
        outside = outside_response(
            self.network, images[middle], content[middle], replacement[middle]
        )
        return {
            "deletion ordered": np.nan if areas is None else areas.ordered,
            "deletion random": np.nan if areas is None else areas.random,
            "deletion gain": np.nan if areas is None else areas.gain,
            "outside": outside,
        }


def _seed(seed: int, row: int) -> int:
    """A seed for every row, far enough apart that each view can add its number."""
    return (seed * 1_000_003 + row) * 1_000
