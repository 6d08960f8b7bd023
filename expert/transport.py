"""Patch costs, entropic transport plans and image distances.

References
----------
.. [1] Hesse, Dinsdale, Namburete, "Prototype Learning for Explainable Brain Age Prediction", WACV
       2024, arXiv:2306.09858.
.. [2] Cuturi, "Sinkhorn Distances: Lightspeed Computation of Optimal Transport", NeurIPS 2013.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from expert.features.sinkhorn import block_size, onto_marginals, potentials


class TransportPlan(NamedTuple):
    """Entropic transport plans, and the error of their marginals."""

    flow: Tensor
    """(B, P, M, M) plans; rows are the image's patches, each plan sums to 1."""
    marginal_error: Tensor
    """(B, P) largest absolute deviation of a plan's row and column sums from its marginals."""
    iterations: Tensor
    """(B, P) Sinkhorn iterations until the error of each plan was below the tolerance."""


def pairwise_distance(x: Tensor, y: Tensor) -> Tensor:
    """Euclidean distance between every row of one set and every row of another.

    One matrix product for all pairs. In single precision its cancellation costs up to 4e-5 of a
    small distance; displayed results are computed in double precision (`expert.comparison`).

    Parameters
    ----------
    x : (..., M, C) Tensor
    y : (..., N, C) Tensor

    Returns
    -------
    (..., M, N) Tensor
        The gradient is 0 where two rows are equal.
    """
    return torch.cdist(x, y, compute_mode="use_mm_for_euclid_dist")


def grid_indices(grid: tuple[int, ...], like: Tensor) -> Tensor:
    """Indices of all patches of a grid, in C order.

    Parameters
    ----------
    grid : tuple of int
        Patches per axis.
    like : Tensor
        Gives data type and device.

    Returns
    -------
    (M, axes) Tensor
    """
    axes = [torch.arange(n, dtype=like.dtype, device=like.device) for n in grid]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(grid))


def spatial_prior(weight: float, grid: tuple[int, ...], like: Tensor) -> Tensor:
    """What a spatial prior adds to the cost of the matching of patches that are apart.

    Distances do not include it. A plan with a prior is weaker evidence of a correspondence,
    which is stated wherever such a plan is shown.

    Parameters
    ----------
    weight : float
        Per patch of distance, in the unit of the cost.
    grid : tuple of int
        Patches per axis.
    like : Tensor
        Gives data type and device.

    Returns
    -------
    (M, M) Tensor
    """
    places = grid_indices(grid, like)
    return weight * pairwise_distance(places, places)


def patch_cost(features: Tensor, prototypes: Tensor) -> Tensor:
    """Euclidean distance between every patch of every image and every patch of every prototype.

    Parameters
    ----------
    features : (B, C, *grid) Tensor
        Patches of the images.
    prototypes : (P, C, *grid) Tensor
        Patches of the prototypes.

    Returns
    -------
    (B, P, M, M) Tensor
        ``cost[b, p, i, j] = ||features[b, :, i] - prototypes[p, :, j]||``, for M patches each.

    Raises
    ------
    ValueError
        The numbers of channels differ.

    References
    ----------
    .. [1] Hesse et al., "Prototype Learning for Explainable Brain Age Prediction", WACV 2024,
           arXiv:2306.09858, patch distances.
    """
    if features.shape[1] != prototypes.shape[1]:
        raise ValueError(
            f"features have {features.shape[1]} channels, prototypes {prototypes.shape[1]}"
        )
    images, channels = features.shape[:2]
    f = features.flatten(2).transpose(1, 2).reshape(-1, channels)
    p = prototypes.flatten(2).transpose(1, 2).reshape(-1, channels)
    cost = pairwise_distance(f, p)
    return cost.reshape(
        images, -1, prototypes.shape[0], p.shape[0] // prototypes.shape[0]
    ).transpose(1, 2)


def transport_plan(
    cost: Tensor,
    regularization: float = 0.1,
    *,
    source: Tensor | None = None,
    target: Tensor | None = None,
    tolerance: float = 1e-6,
    max_iterations: int = 2000,
    rounded: bool = False,
) -> TransportPlan:
    """Entropic optimal transport of each image's patches onto each prototype's patches.

    The plan T minimises ``sum_ij T_ij C_ij - regularization * H(T)``, H being the entropy, with row
    sums `source` and column sums `target`. Every plan is iterated until *its own* marginals are
    met, so that a result does not depend on the rest of the batch (the published code stops on the
    largest change over the whole batch). No gradient passes through the plans; `transport_distance`
    has one.

    Parameters
    ----------
    cost : (B, P, M, M) Tensor
        Patch distances, >= 0.
    regularization : float
        Entropic regularisation, in the unit of `cost`.
    source : (B, M) Tensor, optional
        Mass of the images' patches, rows sum to 1; uniform by default.
    target : (P, M) Tensor, optional
        Mass of the prototypes' patches, rows sum to 1; uniform by default.
    tolerance : float
        Bound on the L2 norm of the row-marginal error of each plan.
    max_iterations : int
        Bound on the iterations of each plan; the remaining error is in ``marginal_error``.
    rounded : bool
        Whether plans that reach this bound are rounded to their marginals (`onto_marginals`).

    Returns
    -------
    TransportPlan

    References
    ----------
    .. [1] Cuturi, "Sinkhorn Distances: Lightspeed Computation of Optimal Transport", NeurIPS 2013.
    """
    cost = cost.detach()
    images, prototypes, rows, columns = cost.shape
    flat = cost.flatten(0, 1)
    a = cost.new_full((images, rows), 1.0 / rows) if source is None else source
    b = cost.new_full((prototypes, columns), 1.0 / columns) if target is None else target
    a = a[:, None].expand(-1, prototypes, -1).flatten(0, 1)
    b = b[None].expand(images, -1, -1).flatten(0, 1)
    flow = torch.empty_like(flat)
    error, iterations = torch.empty_like(flat[:, 0, 0]), a.new_zeros(len(a), dtype=torch.long)
    size = block_size(rows * columns, cost.device)
    for start in range(0, len(flat), size):
        few = slice(start, start + size)
        kernel = flat[few] / -regularization
        found = potentials(kernel, a[few], b[few], tolerance, max_iterations)
        plans = found.plans(kernel)
        if rounded and len(found.unfinished):
            late = found.unfinished
            plans[late] = onto_marginals(plans[late], a[few][late], b[few][late])
        error[few] = torch.maximum(
            (plans.sum(dim=2) - a[few]).abs().amax(dim=1),
            (plans.sum(dim=1) - b[few]).abs().amax(dim=1),
        )
        flow[few], iterations[few] = plans, found.iterations
    return TransportPlan(
        flow=flow.view(cost.shape),
        marginal_error=error.view(images, prototypes),
        iterations=iterations.view(images, prototypes),
    )


def image_distance(flow: Tensor, cost: Tensor, scale: Tensor | float) -> Tensor:
    """Distance between images and prototypes: the cost of transporting the patches.

    ``d = scale * sum_ij flow_ij cost_ij``

    Parameters
    ----------
    flow : (B, P, M, M) Tensor
        Transport plan, rows are the image's patches; each plan sums to 1.
    cost : (B, P, M, M) Tensor
        Euclidean distance of patch features, >= 0.
    scale : () Tensor or float
        Learned factor from feature distances to label units.

    Returns
    -------
    (B, P) Tensor
        Distances in label units (years, weeks, ...).

    References
    ----------
    .. [1] Hesse et al., "Prototype Learning for Explainable Brain Age Prediction", WACV 2024,
           arXiv:2306.09858, image-level distance.
    """
    return scale * (flow * cost).sum(dim=(-2, -1))


# --- without transport ----------------------------------------------------------------------------
def position_plan(source: Tensor, prototypes: int) -> TransportPlan:
    """Plans that match every patch to the same place of each prototype.

    Parameters
    ----------
    source : (B, M) Tensor
        Mass of the images' patches, rows sum to 1.
    prototypes : int
        Number of prototypes, P.

    Returns
    -------
    TransportPlan
        Diagonal plans with the images' mass. The prototypes' mass is not used, and the marginal
        error is given as 0.
    """
    flow = torch.diag_embed(source)[:, None].expand(-1, prototypes, -1, -1)
    none = source.new_zeros((len(source), prototypes))
    return TransportPlan(flow, none, none.long())


def position_distance(features: Tensor, prototypes: Tensor, source: Tensor) -> Tensor:
    """Distance of images and prototypes whose patches are matched by position, without any plan.

    The same as the cost of `position_plan`, at a fraction of the memory.

    Parameters
    ----------
    features : (B, C, *grid) Tensor
    prototypes : (P, C, *grid) Tensor
    source : (B, M) Tensor
        Mass of the images' patches, rows sum to 1.

    Returns
    -------
    (B, P) Tensor
        ``sum_i source[b, i] ||features[b, :, i] - prototypes[p, :, i]||``.
    """
    # Relative to the prototypes' mean: less of a small distance is lost to rounding.
    middle = prototypes.detach().mean(0).flatten(1)
    f, p = features.flatten(2) - middle, prototypes.flatten(2) - middle
    apart = pairwise_distance(f.permute(2, 0, 1), p.permute(2, 0, 1))
    return torch.einsum("mbp,bm->bp", apart, source)


def average_match(
    features: Tensor, prototypes: Tensor, source: Tensor, target: Tensor
) -> tuple[TransportPlan, Tensor]:
    """The distance of the mean features, written as plans and costs.

    Parameters
    ----------
    features : (B, C, *grid) Tensor
    prototypes : (P, C, *grid) Tensor
    source, target : (B, M) and (P, M) Tensor
        Mass of the patches, rows sum to 1.

    Returns
    -------
    plan : TransportPlan
        Every patch is matched to all others, in proportion to their mass.
    cost : (B, P, M, M) Tensor
        Signed: the difference of two patches along the line between the mean features, so that
        ``sum(flow * cost) = ||mean of the image - mean of the prototype||``.
    """
    f, p = features.flatten(2), prototypes.flatten(2)
    away = (
        torch.einsum("bcm,bm->bc", f, source)[:, None] - torch.einsum("pcm,pm->pc", p, target)[None]
    )
    along = away / away.square().sum(-1, keepdim=True).clamp_min(1e-12).sqrt()
    cost = (
        torch.einsum("bcm,bpc->bpm", f, along)[..., :, None]
        - torch.einsum("pcm,bpc->bpm", p, along)[..., None, :]
    )
    flow = source[:, None, :, None] * target[None, :, None, :]
    none = source.new_zeros(flow.shape[:2])
    return TransportPlan(flow, none, none.long()), cost
