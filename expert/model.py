"""`PrototypeRegressor`: image → distances to prototypes → weights → prediction."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from expert.backbone import cell_mass, make_backbone
from expert.schema import Architecture
from expert.transport import (
    average_match,
    image_distance,
    patch_cost,
    position_plan,
    transport_plan,
)

FINE = 64
"""Cells up to which plans are iterated until they are exact to single precision; of more, until no
margin is off by 1e-4 (some thousandths of a year in the distances): the last digits of a plan in
three dimensions take ten times as long."""
NEGLIGIBLE = 0.1
"""Times the average cell's mass: a cell that never holds more is left out of the plans in
training."""


class WeightedPrediction(NamedTuple):
    """A weighted mean of prototype labels, and where it was none."""

    prediction: Tensor
    """(B,) label units."""
    fallback: Tensor
    """(B,) bool: no prototype in radius, the nearest one's label is the prediction."""
    weights: Tensor
    """(B, P) of each prototype; where `fallback`, 1 for the nearest and 0 elsewhere."""


class Comparison(NamedTuple):
    """Images held against all prototypes."""

    distance: Tensor
    """(B, P) label units."""
    flow: Tensor
    """(B, P, M, M) transport plans."""
    cost: Tensor
    """(B, P, M, M) patch distances."""
    marginal_error: Tensor
    """(B, P)."""


def prototype_weights(distance: Tensor, radius: float) -> Tensor:
    """Gaussian weight of each prototype, cut off at the radius.

    Parameters
    ----------
    distance : (B, P) Tensor
        Label units.
    radius : float
        Label units, three standard deviations of the Gaussian.

    Returns
    -------
    (B, P) Tensor
        ``exp(-d^2 / (2 (radius/3)^2))`` where ``d <= radius``, else 0; one below 0
        (`Architecture.floor`) counts as 0.

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
    """Weighted mean of the prototypes' labels; the nearest prototype's label where none is in
    radius.

    Parameters
    ----------
    distance : (B, P) Tensor
        Label units.
    labels : (P,) Tensor
        Of the prototypes.
    radius : float
        Label units.
    weights : {"cut", "relative"}
        "cut" at the radius, or "relative": the Gaussian of the same width without a cut, the
        nearest prototype's weight being 1. Within the radius both give the same prediction; beyond,
        the second goes over into the nearest one's label.

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
    """ExPeRT: backbone, latent prototypes with labels, and the learned scale.

    Parameters
    ----------
    architecture : Architecture
        Sizes and settings.
    grid : tuple[int, ...]
        Cells per axis of the feature grid.

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
        self.backbone = make_backbone(architecture)
        count = architecture.prototypes
        cells = int(torch.tensor(grid).prod())
        # Of one plane each, or of every explained plane: (planes * P, ...), plane by plane.
        rows = architecture.planes * count
        self.prototypes = nn.Parameter(torch.rand(rows, architecture.latent, *grid))
        self.scale = nn.Parameter(torch.tensor(10.0))
        if architecture.floor:
            self.floor = nn.Parameter(torch.tensor(0.0))
        self.register_buffer("prototype_labels", torch.zeros(count))
        self.register_buffer("prototype_mass", torch.full((rows, cells), 1.0 / cells))

    def image_mass(self, content: Tensor) -> Tensor:
        """(B, *shape) brain content 0 to 1, to (B, M) mass of the cells by the architecture's
        marginals."""
        mass = cell_mass(content, self.grid)
        return (
            mass
            if self.architecture.marginals == "content"
            else torch.full_like(mass, 1.0 / mass.shape[1])
        )

    def shown(self, plane: int) -> tuple[Tensor, Tensor]:
        """(P, C, *grid) latents and (P, M) mass of what the prototypes show in one of the explained
        planes (0-based)."""
        count = self.architecture.prototypes
        rows = (
            slice(plane * count, (plane + 1) * count)
            if self.architecture.planes > 1
            else slice(None)
        )
        return self.prototypes[rows], self.prototype_mass[rows]

    def rough_distance(
        self,
        features: Tensor,
        mass: Tensor,
        steps: tuple[int, int] = (15, 10),
        *,
        by_position: bool = False,
        planes: Tensor | None = None,
    ) -> Tensor:
        """(B, P) distances for training: plans of so many steps (25 as in the published code)
        instead of converged ones.

        With `by_position` there is no plan: every patch is matched to its own place. `planes` (B,)
        says which of the explained planes each image is, for prototypes that show several.

        Cells that hold next to nothing in all of the images and prototypes are left out: of a whole
        head, a quarter.
        """
        if self.architecture.planes == 1 or planes is None:
            return self._rough(features, mass, self.shown(0), steps, by_position)
        out = features.new_zeros(len(features), self.architecture.prototypes)
        for plane in planes.unique().tolist():
            rows = torch.nonzero(planes == plane)[:, 0]
            found = self._rough(features[rows], mass[rows], self.shown(plane), steps, by_position)
            out = out.index_copy(0, rows, found)
        return out

    def _rough(
        self,
        features: Tensor,
        mass: Tensor,
        shown: tuple[Tensor, Tensor],
        steps: tuple[int, int],
        by_position: bool,
    ) -> Tensor:
        latents, prototype_mass = shown
        if by_position or self.architecture.matching == "position":
            # The same as by a plan, without the pairs that it leaves out; products instead of all
            # the differences, about the
            # prototypes' mean, so that little of a small distance is lost to rounding.
            told = self.architecture.latent - self.architecture.guide
            middle = latents[:, :told].detach().mean(0).flatten(1)
            f, p = features[:, :told].flatten(2) - middle, latents[:, :told].flatten(2) - middle
            squares = (
                f.square().sum(1)[:, None]
                + p.square().sum(1)[None]
                - 2 * torch.einsum("bcm,pcm->bpm", f, p)
            )
            apart = squares.clamp_min(1e-12).sqrt()
            return self.scale * self.above_floor((apart * mass[:, None]).sum(-1))
        if self.architecture.matching == "average":
            return self._compare(features, mass, shown).distance
        held = torch.maximum(mass.amax(0), prototype_mass.amax(0)) > NEGLIGIBLE / mass.shape[1]
        source, target = mass[:, held], prototype_mass[:, held]
        cost, alike = self.costs(features.flatten(2)[:, :, held], latents.flatten(2)[:, :, held])
        plan = transport_plan(
            self.with_prior(alike, held),
            self.architecture.regularization,
            source=source / source.sum(1, keepdim=True),
            target=target / target.sum(1, keepdim=True),
            max_iterations=steps[0],
            gradient_iterations=steps[1],
        )
        return image_distance(plan.flow, self.above_floor(cost), self.scale)

    def costs(self, features: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        """(B, P, M, M) what patches of two sets of feature grids are compared by, and what they are
        matched by.

        The two are one but for an architecture with a guide, whose channels are the last.
        """
        told = self.architecture.latent - self.architecture.guide
        cost = patch_cost(features[:, :told], others[:, :told])
        return cost, (
            patch_cost(features[:, told:], others[:, told:]) if self.architecture.guide else cost
        )

    def compare(self, features: Tensor, mass: Tensor, plane: int = 0) -> Comparison:
        """Hold feature grids (B, C, *grid) of cell mass (B, M) against all prototypes, in the
        precision of `features`.

        `plane` says which of the explained planes (0-based) the images are, for prototypes that
        show several.
        """
        return self._compare(features, mass, self.shown(plane))

    def _compare(self, features: Tensor, mass: Tensor, shown: tuple[Tensor, Tensor]) -> Comparison:
        dtype = features.dtype
        latents = shown[0].to(dtype)
        source, target = mass.to(dtype), shown[1].to(dtype)
        if self.architecture.matching == "average":
            plan, cost = average_match(features, latents, source, target)
            return Comparison(
                image_distance(plan.flow, cost, self.scale), plan.flow, cost, plan.marginal_error
            )
        cost, alike = self.costs(features, latents)
        if self.architecture.matching == "position":
            plan = position_plan(source, len(latents))
            cost = self.above_floor(cost)
            return Comparison(
                image_distance(plan.flow, cost, self.scale), plan.flow, cost, plan.marginal_error
            )
        tolerance = 1e-6 if cost.shape[-1] <= FINE else 1e-4
        plan = transport_plan(
            self.with_prior(alike), self.architecture.regularization,
            source=source, target=target, tolerance=tolerance, rounded=True,
        )  # fmt: skip
        cost = self.above_floor(cost)
        return Comparison(
            image_distance(plan.flow, cost, self.scale), plan.flow, cost, plan.marginal_error
        )

    def above_floor(self, cost: Tensor) -> Tensor:
        """The cost with what two patches of one place cost anyway taken off, where the architecture
        has such a floor.

        A plan's mass is 1: the distance becomes smaller by the floor times the scale, and splits
        over the patches as before.
        """
        return cost - self.floor if self.architecture.floor else cost

    def with_prior(self, cost: Tensor, held: Tensor | None = None) -> Tensor:
        """(…, M, M) what patches are matched by: their cost and, where the architecture has one,
        the spatial prior.

        `held` (M,) bool says which cells of the grid the cost is of; all if None.

        A plan that a prior helped to find says less: it is told wherever such a plan is shown.
        Distances are sums of the costs alone, so that they still split exactly over what the
        patches look like.
        """
        if not self.architecture.prior:
            return cost
        axes = [torch.arange(n, dtype=cost.dtype, device=cost.device) for n in self.grid]
        cells = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(self.grid))
        cells = cells if held is None else cells[held]
        return cost + self.architecture.prior * torch.cdist(cells, cells)

    def forward(
        self, images: Tensor, content: Tensor, plane: int = 0
    ) -> tuple[WeightedPrediction, Comparison]:
        """Predict images (B, 1, *shape) in [0, 1] with content (B, *shape) in [0, 1], all of one
        plane."""
        comparison = self.compare(self.backbone(images), self.image_mass(content), plane)
        settings = self.architecture
        return weighted_prediction(
            comparison.distance, self.prototype_labels, settings.radius, settings.weights
        ), comparison
