"""Compare prepared views with the prototypes of a network: distances, weights and a prediction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from expert.errors import ExpertError
from expert.model_file import Model

if TYPE_CHECKING:
    from expert.model import PrototypeRegressor


@dataclass(frozen=True)
class ViewsResult:
    """All views of one subject held against all prototypes, in double precision."""

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
    """(V, P, M, M)."""
    cost: np.ndarray
    """(V, P, M, M)."""
    marginal_error: np.ndarray
    """(V, P)."""
    scale: float
    radius: float
    together: tuple[float, bool, np.ndarray] | None = None
    """Prediction, fallback and shares (P,) by the mean distances, where prototypes show every view;
    else None."""

    @property
    def prediction(self) -> float:
        """By the mean distances where prototypes show every view, else the mean of the views'
        predictions; label units."""
        return float(self.predictions.mean()) if self.together is None else self.together[0]

    @property
    def shares(self) -> np.ndarray:
        """(P,) share of each prototype in the prediction; sums to 1."""
        return (
            np.asarray(self.view_shares.mean(axis=0)) if self.together is None else self.together[2]
        )

    @property
    def mean_distances(self) -> np.ndarray:
        """(P,) label units."""
        return np.asarray(self.distances.mean(axis=0))

    @property
    def nearest_distance(self) -> float:
        """Of the prototype that is nearest on average, label units."""
        return float(self.mean_distances.min())

    @property
    def in_radius(self) -> int:
        """Prototypes within the radius in at least one view, or by their mean distance where that
        decides."""
        near = (
            self.distances <= self.radius
            if self.together is None
            else self.mean_distances[None] <= self.radius
        )
        return int(near.any(axis=0).sum())

    @property
    def covered(self) -> bool:
        """Whether a prototype lies within the radius in every view, or by its mean distance where
        that decides."""
        nearest = self.distances.min(axis=1) if self.together is None else self.mean_distances.min()
        return bool(np.all(nearest <= self.radius))

    @property
    def fallback(self) -> bool:
        """Whether any view, or all of them together, found no prototype in radius."""
        return bool(self.fallbacks.any()) if self.together is None else self.together[1]


def choose_device(name: str) -> str:
    """A torch device by what the user calls it.

    Parameters
    ----------
    name : str
        "auto" for a graphics card where there is one, "cpu", "cuda" or "mps".

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
    """Hold prepared views against the model's prototypes: `compare_images` with the model's
    network."""
    return compare_images(model.network, images, content, progress, device)


def compare_images(
    network: PrototypeRegressor,
    images: np.ndarray,
    content: np.ndarray,
    progress: Callable[[float], None] | None = None,
    device: str = "cpu",
) -> ViewsResult:
    """Hold prepared views against a network's prototypes.

    Parameters
    ----------
    network : PrototypeRegressor
        In evaluation mode, e.g. `Model.network` or that of a fold.
    images : (V, *shape) ndarray
        0 to 255; all explained planes in their order where prototypes show them.
    content : (V, *shape) ndarray
        0 to 255.
    progress : callable, optional
        Called with 0 to 1 between the views; may raise.
    device : str
        Where the backbone runs, see `choose_device`; matching is done on the CPU, in double
        precision.

    Returns
    -------
    ViewsResult

    References
    ----------
    .. [1] Hesse et al., "Prototype Learning for Explainable Brain Age Prediction", WACV 2024,
           arXiv:2306.09858.
    .. [2] The views are averaged as the issue of several slices demands.
    """
    import torch

    from expert.model import weighted_prediction

    radius = network.architecture.radius
    where = choose_device(device)
    backbone = network.backbone.to(where)
    collected = []
    with torch.inference_mode():
        labels = network.prototype_labels.double()
        for n in range(len(images)):
            # View by view: a bounded wait before a cancel, and no result depends on what else is in
            # a batch.
            pixels = (
                torch.from_numpy(np.ascontiguousarray(images[n : n + 1])).float()[:, None] / 255
            )
            mass = network.image_mass(
                torch.from_numpy(np.ascontiguousarray(content[n : n + 1])).float() / 255
            )
            comparison = network.compare(backbone(pixels.to(where)).cpu().double(), mass, n)
            outcome = weighted_prediction(
                comparison.distance, labels, radius, network.architecture.weights
            )
            shares = outcome.weights / outcome.weights.sum(dim=1, keepdim=True)
            parts = (
                outcome.prediction,
                outcome.fallback,
                shares,
                comparison.distance,
                mass,
                comparison.flow,
                comparison.cost,
                comparison.marginal_error,
            )
            collected.append([part[0].numpy() for part in parts])
            if progress is not None:
                progress((n + 1) / len(images))
    stacked = [np.stack(column) for column in zip(*collected, strict=True)]
    together = None
    if network.architecture.planes_combined:
        with torch.inference_mode():
            mean = torch.from_numpy(stacked[3].mean(axis=0, keepdims=True))
            whole = weighted_prediction(mean, labels, radius, network.architecture.weights)
        weights = whole.weights[0].numpy()
        together = float(whole.prediction), bool(whole.fallback), weights / weights.sum()
    return ViewsResult(
        predictions=stacked[0],
        fallbacks=stacked[1],
        view_shares=stacked[2],
        distances=stacked[3],
        mass=stacked[4],
        flow=stacked[5],
        cost=stacked[6],
        marginal_error=stacked[7],
        scale=float(network.scale.detach()),
        radius=radius,
        together=together,
    )
