"""The network: image, distances to the prototypes, weights, prediction (`PrototypeRegressor`)."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from expert.backbone import Members, make_backbone, patch_mass
from expert.features.local_transport import match_neighbours, neighbourhood
from expert.features.transport_distance import Iterations, transport_distance
from expert.schema import Architecture
from expert.transport import (
    average_match,
    image_distance,
    patch_cost,
    position_distance,
    position_plan,
    spatial_prior,
    transport_plan,
)

SMALL_GRID = 64
"""Up to this number of patches, plans are exact to single precision. In larger grids, the marginal
error may be 1e-4 (thousandths of a year in the distances): its last digits take long."""
NEGLIGIBLE = 0.1
"""Of the mean patch mass. Plans in training leave out patches with less in all images."""


class WeightedPrediction(NamedTuple):
    """A weighted mean of prototype labels, and where the nearest label replaced it."""

    prediction: Tensor
    """(B,) in label units."""
    fallback: Tensor
    """(B,) bool: no prototype is within the radius; the nearest one's label is the prediction."""
    weights: Tensor
    """(B, P) weight of each prototype; where `fallback`, 1 for the nearest and 0 elsewhere."""


class Comparison(NamedTuple):
    """Images compared with prototypes, patch by patch."""

    distance: Tensor
    """(B, P) label units."""
    flow: Tensor
    """(B, P, M, M) transport plans; (B, P, M, K) for the neighbours in `partners`."""
    cost: Tensor
    """(B, P, M, M) or (B, P, M, K) patch distances."""
    marginal_error: Tensor
    """(B, P)."""
    partners: Tensor | None = None
    """(M, K) long, where plans are restricted to neighbours: patches of the prototype that each
    patch may be matched to; M for none."""


def prototype_weights(distance: Tensor, radius: float) -> Tensor:
    """Gaussian weight of each prototype, cut off at the radius.

    Parameters
    ----------
    distance : (B, P) Tensor
        Label units.
    radius : float
        Label units; three standard deviations of the Gaussian.

    Returns
    -------
    (B, P) Tensor
        ``exp(-d^2 / (2 (radius/3)^2))`` where ``d <= radius``, else 0.

    References
    ----------
    .. [1] Hesse et al., "Prototype Learning for Explainable Brain Age Prediction", WACV 2024,
           arXiv:2306.09858, prototype weights.
    """
    weight = torch.exp(-(distance.clamp_min(0) ** 2) / (2 * (radius / 3) ** 2))
    return torch.where(distance <= radius, weight, torch.zeros_like(weight))


def weighted_prediction(
    distance: Tensor, labels: Tensor, radius: float, weights: Literal["cut", "relative"] = "cut"
) -> WeightedPrediction:
    """Weighted mean of the prototypes' labels, or the label of the nearest prototype.

    ``y = sum_p w_p l_p / sum_p w_p``; where all weights are 0, y is the label of the nearest
    prototype (the fallback).

    Parameters
    ----------
    distance : (B, P) Tensor
        Label units.
    labels : (P,) Tensor
        Labels of the prototypes.
    radius : float
        Label units.
    weights : {"cut", "relative"}
        "cut": 0 beyond the radius, as published. "relative": the same Gaussian without the cut,
        divided by the weight of the nearest prototype. Within the radius, both give the same
        prediction; beyond it, the second approaches the label of the nearest prototype.

    Returns
    -------
    WeightedPrediction
        Prediction (B,), fallback (B,) bool, weights (B, P).

    References
    ----------
    .. [1] Hesse et al., "Prototype Learning for Explainable Brain Age Prediction", WACV 2024,
           arXiv:2306.09858, prediction.
    """
    if weights == "relative":
        squared = distance.clamp_min(0) ** 2
        weight = torch.exp(-(squared - squared.amin(dim=1, keepdim=True)) / (2 * (radius / 3) ** 2))
        fallback = torch.zeros(len(distance), dtype=torch.bool, device=distance.device)
    else:
        weight = prototype_weights(distance, radius)
        fallback = weight.sum(dim=1) == 0
        nearest = nn.functional.one_hot(distance.argmin(dim=1), distance.shape[1]).to(weight.dtype)
        weight = torch.where(fallback[:, None], nearest, weight)
    # Dividing by the sum first keeps tiny weights (all near the radius) exact.
    prediction = (weight / weight.sum(dim=1, keepdim=True)) @ labels.to(weight.dtype)
    return WeightedPrediction(prediction, fallback, weight)


class PrototypeRegressor(nn.Module):
    """The ExPeRT network: backbone, latent prototypes with labels, and a learned scale.

    Parameters
    ----------
    architecture : Architecture
        Sizes and settings of the network.
    grid : tuple[int, ...]
        Patches per axis.

    References
    ----------
    .. [1] Hesse et al., "Prototype Learning for Explainable Brain Age Prediction", WACV 2024,
           arXiv:2306.09858.
    """

    prototype_labels: Tensor
    prototype_mass: Tensor

    def __init__(self, architecture: Architecture, grid: tuple[int, ...]) -> None:
        super().__init__()
        self.architecture = architecture
        self.grid = grid
        self.tolerance = 1e-6 if math.prod(grid) <= SMALL_GRID else 1e-4  # of the plans
        self.backbone = make_backbone(architecture)
        count = architecture.prototypes
        patches = math.prod(grid)
        # One plane of each prototype, or all explained planes: (planes * P, ...), plane by plane.
        rows = architecture.planes * count
        latents = torch.rand(rows, architecture.latent, *grid)
        # Channels last in memory: matrix products of patches need no copy.
        self.prototypes = nn.Parameter(latents.movedim(1, -1).contiguous().movedim(-1, 1))
        self.scale = nn.Parameter(torch.tensor(10.0))
        self.register_buffer("prototype_labels", torch.zeros(count))
        self.register_buffer("prototype_mass", torch.full((rows, patches), 1.0 / patches))

    def image_mass(self, content: Tensor) -> Tensor:
        """Mass of each patch of an image, by the architecture's marginals.

        Parameters
        ----------
        content : (B, *shape) Tensor
            Brain content, 0 to 1.

        Returns
        -------
        (B, M) Tensor
            Rows sum to 1.
        """
        mass = patch_mass(content, self.grid)
        if self.architecture.marginals == "content":
            return mass
        return torch.full_like(mass, 1.0 / mass.shape[1])

    def prototypes_for_plane(self, plane: int) -> tuple[Tensor, Tensor]:
        """What the prototypes show in one of the explained planes.

        Parameters
        ----------
        plane : int
            0-based; without effect where prototypes show a single plane.

        Returns
        -------
        latents : (P, C, *grid) Tensor
        mass : (P, M) Tensor
        """
        count = self.architecture.prototypes
        rows = slice(None)
        if self.architecture.planes_combined:
            rows = slice(plane * count, (plane + 1) * count)
        return self.prototypes[rows], self.prototype_mass[rows]

    def match_patches(
        self,
        features: Tensor,
        others: Tensor,
        source: Tensor,
        target: Tensor,
        *,
        prior: bool = True,
    ) -> Comparison:
        """Match the patches of images with those of prototypes (or of other images).

        The architecture's `matching` is applied here and nowhere else.

        Parameters
        ----------
        features, others : (B, C, *grid) and (P, C, *grid) Tensor
        source, target : (B, M) and (P, M) Tensor
            Mass of the patches, rows sum to 1.
        prior : bool
            Whether the spatial prior of the architecture takes part in the matching.

        Returns
        -------
        Comparison
            A gradient passes through the costs, not through the plans.
        """
        settings = self.architecture
        if isinstance(self.backbone, Members) and settings.reach:
            near = neighbourhood(self.grid, settings.reach)
            flow, cost, error = match_neighbours(
                settings, near, self.backbone.with_maps_of, features, others, source, target
            )
            return Comparison(
                self.scale * (flow * cost).sum((2, 3)), flow, cost, error, near.partners
            )
        if settings.matching == "average":
            plan, cost = average_match(features, others, source, target)
        elif settings.matching == "position":
            plan = position_plan(source, len(others))
            cost, _ = self.costs(features, others)
        else:
            cost, matching_cost = self.costs(features, others)
            if prior and settings.prior:
                matching_cost = matching_cost + spatial_prior(settings.prior, self.grid, cost)
            plan = transport_plan(
                matching_cost,
                settings.regularization,
                source=source,
                target=target,
                tolerance=self.tolerance,
                rounded=True,
            )
        distance = image_distance(plan.flow, cost, self.scale)
        return Comparison(distance, plan.flow, cost, plan.marginal_error)

    def compare(self, features: Tensor, mass: Tensor, plane: int = 0) -> Comparison:
        """Compare images with all prototypes, in the precision of the features.

        Parameters
        ----------
        features : (B, C, *grid) Tensor
        mass : (B, M) Tensor
            Mass of the patches.
        plane : int
            Which of the explained planes (0-based) the images are, for prototypes that show
            several.

        Returns
        -------
        Comparison
        """
        latents, target = self.prototypes_for_plane(plane)
        dtype = features.dtype
        return self.match_patches(features, latents.to(dtype), mass.to(dtype), target.to(dtype))

    def training_distance(
        self,
        features: Tensor,
        mass: Tensor,
        steps: tuple[int, int] = (15, 10),
        *,
        by_position: bool = False,
        planes: Tensor | None = None,
        prototypes: tuple[Tensor, Tensor] | None = None,
        heaviest: Tensor | None = None,
    ) -> Tensor:
        """Distances for training, without the plans: these have few iterations and a gradient.

        Plans leave out patches that are (nearly) empty everywhere: of a whole head, a quarter.

        Parameters
        ----------
        features : (B, C, *grid) Tensor
        mass : (B, M) Tensor
            Mass of the patches.
        steps : (int, int)
            Their sum is the largest number of Sinkhorn iterations (25, as published), the second
            that of the iterations of the gradient.
        by_position : bool
            Match every patch with its own place instead, without a plan.
        planes : (B,) Tensor, optional
            Which of the explained planes each image is, for prototypes that show several.
        prototypes : (Tensor, Tensor), optional
            Latents (P, C, *grid) and mass (P, M) of other prototypes than the network's.
        heaviest : (planes, M) Tensor, optional
            Largest mass of each patch in the batch, if these are not all its images.

        Returns
        -------
        (B, P) Tensor, label units
        """
        by_position = by_position or self.architecture.matching == "position"

        def distance(rows: Tensor | slice, plane: int) -> Tensor:
            latents, target = prototypes or self.prototypes_for_plane(plane)
            own, source = features[rows], mass[rows]
            largest = source.amax(0) if heaviest is None else heaviest[plane]
            if by_position:
                compared = self.architecture.n_compared_channels
                kept = largest > NEGLIGIBLE / source.shape[1]
                own, latents = (p[:, :compared].flatten(2)[:, :, kept] for p in (own, latents))
                return self.scale * position_distance(own, latents, source[:, kept])
            settings = self.architecture
            if settings.matching == "average" or settings.guide:
                return self.match_patches(own, latents, source, target).distance
            kept = torch.maximum(largest, target.amax(0)) > NEGLIGIBLE / source.shape[1]
            prior = spatial_prior(settings.prior, self.grid, own) if settings.prior else None
            until, weight = (
                Iterations(self.tolerance, sum(steps), steps[1]),
                settings.regularization,
            )
            parts = own.flatten(2), latents.flatten(2), source, target
            return self.scale * transport_distance(*parts, weight, until, prior, kept)

        if planes is None or not self.architecture.planes_combined:
            return distance(slice(None), 0)
        out = features.new_zeros(len(features), self.architecture.prototypes)
        for plane in planes.unique().tolist():
            rows = torch.nonzero(planes == plane)[:, 0]
            out = out.index_copy(0, rows, distance(rows, plane))
        return out

    def costs(self, features: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        """Costs of all pairs of patches: for the distances, and for the matching.

        They are the same unless there is a matching network (`guide`), whose channels are the last.

        Parameters
        ----------
        features, others : (B, C, *grid) and (P, C, *grid) Tensor

        Returns
        -------
        cost, matching_cost : (B, P, M, M) Tensor
        """
        compared = self.architecture.n_compared_channels
        cost = patch_cost(features[:, :compared], others[:, :compared])
        if not self.architecture.guide:
            return cost, cost
        return cost, patch_cost(features[:, compared:], others[:, compared:])

    def forward(
        self, images: Tensor, content: Tensor, plane: int = 0
    ) -> tuple[WeightedPrediction, Comparison]:
        """Predict images (B, 1, *shape) with content (B, *shape), 0 to 1, all of one plane."""
        comparison = self.compare(self.backbone(images), self.image_mass(content), plane)
        settings = self.architecture
        return weighted_prediction(
            comparison.distance, self.prototype_labels, settings.radius, settings.weights
        ), comparison
