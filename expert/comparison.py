"""Compare prepared views with the prototypes of a network: distances, weights and a prediction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from expert.errors import ExpertError
from expert.features.grey_values import to_unit
from expert.features.threads import one_thread
from expert.model_file import Model

if TYPE_CHECKING:
    from torch import Tensor

    from expert.model import PrototypeRegressor


class CombinedPrediction(NamedTuple):
    """The prediction from the mean distances over all views."""

    prediction: float
    """Label units."""
    fallback: bool
    """No prototype is within the radius."""
    shares: np.ndarray
    """(P,) weights that sum to 1."""


@dataclass(frozen=True)
class ViewsResult:
    """All views of one subject compared with all prototypes, in double precision.

    Plans and costs between neighbours are in single precision.
    """

    predictions: np.ndarray
    """(V,) label units."""
    fallbacks: np.ndarray
    """(V,) bool."""
    view_shares: np.ndarray
    """(V, P) rows sum to 1."""
    distances: np.ndarray
    """(V, P) label units."""
    mass: np.ndarray
    """(V, M) rows sum to 1."""
    flow: np.ndarray
    """(V, P, M, M) transport plans; (V, P, M, K) for the neighbours in `partners`."""
    cost: np.ndarray
    """(V, P, M, M) or (V, P, M, K) patch distances."""
    marginal_error: np.ndarray
    """(V, P)."""
    scale: float
    radius: float
    combined: CombinedPrediction | None = None
    """By the mean distances, where prototypes show every view; else None."""
    partners: np.ndarray | None = None
    """(M, K) patches of a prototype that each patch may be matched to, M for none; None: all."""

    @cached_property
    def contributions(self) -> np.ndarray:
        """(V, P, M) contribution of each patch to each distance, label units."""
        total = np.einsum("vpmk,vpmk->vpm", self.flow, self.cost)
        return np.asarray(self.scale * total.astype(float))

    def distances_in_place(self) -> np.ndarray:
        """(V, P) distances if every patch were matched to the same place, label units.

        They are 0 for the training image of a prototype, whatever the plan is.
        """
        places = np.arange(self.mass.shape[1])
        if self.partners is None:
            own = self.cost[..., places, places]
        else:
            own = self.cost[..., places, (self.partners == places[:, None]).argmax(1)]
        return np.asarray(self.scale * np.einsum("vpm,vm->vp", own, self.mass))

    def patch_costs(self, view: int, prototype: int) -> np.ndarray:
        """(M,) mean feature distance of each patch to its partners in a prototype."""
        mass = self.scale * np.maximum(self.flow[view, prototype].sum(1), 1e-300)
        return np.asarray(self.contributions[view, prototype] / mass)

    def plans(self, view: int, prototypes: np.ndarray) -> np.ndarray:
        """(N, M, M) plans between one view and N prototypes."""
        if self.partners is None:
            return np.asarray(self.flow[view][prototypes])
        count = len(self.partners)
        every = [self.plan(view, int(index))[0] for index in prototypes]
        return np.array(every).reshape(-1, count, count)

    def plan(self, view: int, prototype: int) -> tuple[np.ndarray, np.ndarray]:
        """The plan and the costs between one view and one prototype.

        Parameters
        ----------
        view, prototype : int
            0-based.

        Returns
        -------
        flow, cost : (M, M) ndarray
            Both 0 for patches that are too far apart to be matched.
        """
        flow, cost = self.flow[view, prototype], self.cost[view, prototype]
        if self.partners is None:
            return flow, cost
        return dense(flow, self.partners), dense(cost, self.partners)

    @property
    def planes_combined(self) -> bool:
        """Whether the mean distances decide, not the mean of the views' predictions."""
        return self.combined is not None

    @property
    def prediction(self) -> float:
        """The prediction, in label units."""
        return float(self.predictions.mean()) if self.combined is None else self.combined.prediction

    @property
    def shares(self) -> np.ndarray:
        """(P,) weight of each prototype in the prediction; sums to 1."""
        if self.combined is not None:
            return self.combined.shares
        return np.asarray(self.view_shares.mean(axis=0))

    @property
    def mean_distances(self) -> np.ndarray:
        """(P,) mean distance over the views, label units."""
        return np.asarray(self.distances.mean(axis=0))

    @property
    def nearest_distance(self) -> float:
        """Smallest mean distance, label units."""
        return float(self.mean_distances.min())

    @property
    def in_radius(self) -> int:
        """Number of prototypes within the radius in at least one view.

        Where planes are combined, their mean distance counts.
        """
        return int((self._deciding_distances <= self.radius).any(axis=0).sum())

    @property
    def covered(self) -> bool:
        """Whether every view has a prototype within the radius.

        Where planes are combined, their mean distance counts.
        """
        return bool((self._deciding_distances <= self.radius).any(axis=1).all())

    @property
    def _deciding_distances(self) -> np.ndarray:
        return self.distances if self.combined is None else self.mean_distances[None]

    @property
    def fallback(self) -> bool:
        """Whether any view, or the combined planes, found no prototype within the radius."""
        return bool(self.fallbacks.any()) if self.combined is None else self.combined.fallback


def dense(values: np.ndarray, partners: np.ndarray) -> np.ndarray:
    """A plan, or costs, of neighbouring patches as a matrix of all pairs.

    Parameters
    ----------
    values : (M, K) ndarray
        By image.
    partners : (M, K) int ndarray

    Returns
    -------
    (M, M) ndarray
        0 for pairs that are no neighbours.
    """
    count = len(values)
    out = np.zeros((count, count + 1), dtype=values.dtype)
    out[np.arange(count)[:, None], partners] = values
    return out[:, :count]


def deciding(result: ViewsResult, view: int) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Distances, weights and contributions behind the prediction that a view takes part in.

    Where planes are combined, that is the prediction of all views, by the mean distances;
    otherwise it is the prediction of the view.

    Parameters
    ----------
    result : ViewsResult
    view : int
        0-based.

    Returns
    -------
    tuple of ndarray or None
        (P,) distances, label units; (P,) weights that sum to 1; (P, M) contribution of each patch
        of the view to each distance, label units. None if the prediction is a fallback.
    """
    if result.fallback if result.planes_combined else result.fallbacks[view]:
        return None
    contributions = result.contributions[view]
    if result.planes_combined:
        return result.mean_distances, result.shares, contributions / len(result.distances)
    return result.distances[view], result.view_shares[view], contributions


def choose_device(name: str) -> str:
    """The torch device for a user's choice.

    Parameters
    ----------
    name : {"auto", "cpu", "cuda", "mps"}
        "auto" uses a graphics card if there is one.

    Returns
    -------
    str

    Raises
    ------
    ExpertError
        This computer has no such device.
    """
    import torch

    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if name == "auto":
        return next(device for device in ("cuda", "mps", "cpu") if there[device])
    if not there.get(name, False):
        raise ExpertError(
            f"This computer has no device '{name}': choose one of auto, "
            f"{', '.join(d for d in there if there[d])}."
        )
    return name


def compare_views(
    model: Model,
    images: np.ndarray,
    content: np.ndarray,
    progress: Callable[[float], None] | None = None,
    device: str = "cpu",
) -> ViewsResult:
    """Compare prepared views with the prototypes of a model.

    Parameters
    ----------
    model : Model
    images, content : (V, *shape) ndarray
        0 to 255.
    progress : callable, optional
        As in `compare_images`.
    device : str
        As in `compare_images`.

    Returns
    -------
    ViewsResult
    """
    return compare_images(model.network, images, content, progress, device)


def compare_images(
    network: PrototypeRegressor,
    images: np.ndarray,
    content: np.ndarray,
    progress: Callable[[float], None] | None = None,
    device: str = "cpu",
) -> ViewsResult:
    """Compare prepared views with the prototypes of a network.

    The views are processed one by one: cancelling is quick, and no result depends on the other
    images of a batch.

    Parameters
    ----------
    network : PrototypeRegressor
        In evaluation mode, e.g. `Model.network` or that of a fold.
    images : (V, *shape) ndarray
        0 to 255; all explained planes in their order where prototypes show them.
    content : (V, *shape) ndarray
        0 to 255.
    progress : callable, optional
        Called with 0 to 1 after the features and the matching of each view; may raise.
    device : str
        Where the backbone runs, see `choose_device`. The matching runs on the CPU, in double
        precision.

    Returns
    -------
    ViewsResult

    References
    ----------
    .. [1] Hesse et al., "Prototype Learning for Explainable Brain Age Prediction", WACV 2024,
           arXiv:2306.09858.
    """
    import torch

    from expert.model import weighted_prediction

    settings = network.architecture
    where = choose_device(device)
    views, partners = [], None
    with torch.inference_mode(), one_thread():
        labels = network.prototype_labels.double()
        for n in range(len(images)):
            mass = network.image_mass(to_unit(content[n : n + 1]))
            features = features_of(network, images[n : n + 1], where)
            if progress is not None:
                progress((n + 0.5) / len(images))
            comparison = network.compare(features, mass, n)
            distance = comparison.distance.double()
            outcome = weighted_prediction(distance, labels, settings.radius, settings.weights)
            parts = {
                "predictions": outcome.prediction,
                "fallbacks": outcome.fallback,
                "view_shares": outcome.weights / outcome.weights.sum(dim=1, keepdim=True),
                "distances": distance,
                "mass": mass,
                "flow": comparison.flow,
                "cost": comparison.cost,
                "marginal_error": comparison.marginal_error,
            }
            partners = comparison.partners
            views.append({name: part[0].numpy() for name, part in parts.items()})
            if progress is not None:
                progress((n + 1) / len(images))
        stacked = {name: np.stack([view[name] for view in views]) for name in views[0]}
        combined = None
        if settings.planes_combined:
            mean = torch.from_numpy(stacked["distances"].mean(axis=0, keepdims=True))
            outcome = weighted_prediction(mean, labels, settings.radius, settings.weights)
            weights = outcome.weights[0].numpy()
            combined = CombinedPrediction(
                float(outcome.prediction), bool(outcome.fallback), weights / weights.sum()
            )
    return ViewsResult(
        **stacked,
        scale=float(network.scale.detach()),
        radius=settings.radius,
        combined=combined,
        partners=None if partners is None else partners.numpy(),
    )


def features_of(network: PrototypeRegressor, images: np.ndarray, device: str) -> Tensor:
    """The features of images, in the precision in which they are matched.

    That is single precision for plans between neighbouring patches, which have millions of pairs
    and short sums, and double precision for all others.

    Parameters
    ----------
    network : PrototypeRegressor
    images : (B, *shape) ndarray
        0 to 255.
    device : str
        Where the backbone runs.

    Returns
    -------
    (B, C, *grid) Tensor
        On the CPU.
    """
    features: Tensor = network.backbone.to(device)(to_unit(images)[:, None].to(device)).cpu()
    return features.float() if network.architecture.reach else features.double()
