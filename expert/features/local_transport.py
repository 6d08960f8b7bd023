"""Transport between neighbouring patches: plans whose partners are at most a few patches apart.

A plan between two grids of M patches has M x M entries. Between registered heads, distant patches
have no part in it, so that only the K neighbours of each patch are kept: M x K entries. Arrays
(..., M, K) are in one of two layouts: *by image*, entry (i, k) is the pair of patch i of the image
and patch ``i + offset_k`` of the prototype; *by prototype*, entry (j, k) is the pair of patch j of
the prototype and patch ``j - offset_k`` of the image.

`match_neighbours` compares images with prototypes by such plans.

References
----------
.. [1] Cuturi, "Sinkhorn Distances: Lightspeed Computation of Optimal Transport", NeurIPS 2013.
.. [2] Chizat et al., "Scaling algorithms for unbalanced optimal transport problems", Mathematics of
       Computation 2018 (relaxed marginals).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from expert.schema import Architecture

BLOCK = 65
"""Prototypes matched at a time: more need more memory, fewer more time."""


class Neighbourhood(NamedTuple):
    """Pairs of patches of two equal grids that are close to each other."""

    grid: tuple[int, ...]
    """Patches per axis."""
    offsets: np.ndarray
    """(K, axes) int, patches; ascending, so that the middle one is 0."""
    partners: Tensor
    """(M, K) long: patch ``i + offset_k``; M where it is outside the grid."""
    sources: Tensor
    """(M, K) long: patch ``j - offset_k``; M where it is outside the grid."""


@lru_cache(maxsize=8)
def neighbourhood(grid: tuple[int, ...], reach: float) -> Neighbourhood:
    """All pairs of patches at most `reach` patches apart.

    Parameters
    ----------
    grid : tuple[int, ...]
        Patches per axis.
    reach : float
        Largest distance of the centres, in patches.

    Returns
    -------
    Neighbourhood
    """
    steps = [range(-min(int(reach), n - 1), min(int(reach), n - 1) + 1) for n in grid]
    near = [o for o in itertools.product(*steps) if np.hypot.reduce(o) <= reach]
    offsets, size = np.array(near), np.array(grid)
    places = np.stack(np.unravel_index(np.arange(int(size.prod())), grid), -1)

    def index(found: np.ndarray) -> Tensor:
        inside = np.asarray(((found >= 0) & (found < size)).all(-1))
        flat = np.ravel_multi_index(
            tuple(np.moveaxis(np.where(inside[..., None], found, 0), -1, 0)), grid
        )
        return torch.from_numpy(np.where(inside, flat, size.prod()))

    return Neighbourhood(
        grid,
        offsets,
        index(places[:, None] + offsets[None]),
        index(places[:, None] - offsets[None]),
    )


def neighbours(values: Tensor, index: Tensor, outside: float = 0.0) -> Tensor:
    """Values of the neighbours of each patch.

    Parameters
    ----------
    values : (..., M) Tensor
    index : (M, K) Tensor
        `Neighbourhood.partners` or `Neighbourhood.sources`.
    outside : float
        Value where there is no such patch.

    Returns
    -------
    (..., M, K) Tensor
    """
    padded = torch.nn.functional.pad(values, (0, 1), value=outside)
    return padded[..., index]


def other_layout(values: Tensor, index: Tensor, outside: float = 0.0) -> Tensor:
    """Pairs of patches in the other of the two layouts.

    Parameters
    ----------
    values : (..., M, K) Tensor
    index : (M, K) Tensor
        `Neighbourhood.partners` to get the layout by image, `Neighbourhood.sources` to get the
        layout by prototype.
    outside : float
        Value where there is no such pair.

    Returns
    -------
    (..., M, K) Tensor
    """
    padded = torch.nn.functional.pad(values, (0, 0, 0, 1), value=outside)
    return padded[..., index, torch.arange(index.shape[1])]


class LocalPlan(NamedTuple):
    """Plans between neighbouring patches."""

    flow: Tensor
    """(P, M, K) by image; row sums are the image's mass."""
    marginal_error: Tensor
    """(P,) largest deviation of a plan's sums from the mass of the image's or prototype's patches.
    """
    iterations: int


def local_plan(
    cost: Tensor,
    source: Tensor,
    target: Tensor,
    near: Neighbourhood,
    regularization: float,
    *,
    relaxation: float = 0.0,
    tolerance: float = 1e-6,
    max_iterations: int = 1000,
) -> LocalPlan:
    """Entropic optimal transport of one image's patches onto neighbouring patches of prototypes.

    The plan T minimises ``sum T C - regularization * H(T) + relaxation * KL(T' 1 | target)`` with
    row sums `source`. The mass of an image need not be where the prototype's is: a part of the
    brain may be missing or larger. So the column sums are not forced, and deviate where meeting
    them costs more than `relaxation` per unit of mass.

    Parameters
    ----------
    cost : (P, M, K) Tensor
        By image; infinite where there is no partner.
    source : (M,) Tensor
        Mass of the image's patches, sums to 1.
    target : (P, M) Tensor
        Mass of the prototypes' patches, rows sum to 1.
    near : Neighbourhood
    regularization : float
        Entropic regularisation, in the unit of `cost`.
    relaxation : float
        Weight of the column sums, in the unit of `cost`; 0: they are met exactly, as far as the
        neighbourhood allows.
    tolerance : float
        Bound on the mean change of the logarithm of the columns' factors by an iteration.
    max_iterations : int

    Returns
    -------
    LocalPlan
    """
    tiny = torch.finfo(cost.dtype).tiny
    rows, columns, power = source.reshape(near.grid), target.reshape(-1, *near.grid), 1.0
    if relaxation:
        power = relaxation / (relaxation + regularization)
    relative = torch.exp((cost.amin(2, keepdim=True) - cost) / regularization)
    # Offsets first: each is a shift of whole grids, and no pair is looked up by its index.
    kernel = relative.permute(2, 0, 1).reshape(len(near.offsets), -1, *near.grid).contiguous()
    v, count = torch.ones_like(columns), 0
    active = torch.ones(len(columns), dtype=torch.bool, device=cost.device)
    while count < max_iterations and bool(active.any()):
        count += 1
        u = rows / _row_sums(kernel, v, near).clamp_min(tiny)
        new = (columns / _column_sums(kernel, u, near).clamp_min(tiny)) ** power
        change = ((new / v).log().abs() * columns).flatten(1).sum(1)
        # A plan that is finished stays as it is: it does not depend on the other prototypes.
        v = torch.where(active.reshape(-1, *[1] * len(near.grid)), new, v)
        active &= change >= tolerance
    flow = relative * neighbours(v.flatten(1), near.partners)
    flow = flow * (source / flow.sum(2).clamp_min(tiny))[..., None]
    sums = other_layout(flow, near.sources).sum(2)
    return LocalPlan(flow, (sums - target).abs().amax(1), count)


def _windows(near: Neighbourhood) -> list[tuple[slice, ...]]:
    """For each offset, where the partners of all patches lie in a grid padded by `_margin`."""
    return [
        (
            slice(None),
            *(
                slice(m + o, m + o + n)
                for m, o, n in zip(_margin(near), offset, near.grid, strict=True)
            ),
        )
        for offset in near.offsets.tolist()
    ]


def _margin(near: Neighbourhood) -> list[int]:
    return [int(n) for n in np.abs(near.offsets).max(0)]


def _row_sums(kernel: Tensor, v: Tensor, near: Neighbourhood) -> Tensor:
    """(P, *grid) sums over the partners, of a kernel (K, P, *grid) times v (P, *grid)."""
    padding = [side for margin in reversed(_margin(near)) for side in (margin, margin)]
    padded, out = torch.nn.functional.pad(v, padding), torch.zeros_like(v)
    for part, window in zip(kernel, _windows(near), strict=True):
        out.addcmul_(part, padded[window])
    return out


def _column_sums(kernel: Tensor, u: Tensor, near: Neighbourhood) -> Tensor:
    """(P, *grid) sums over the sources, of a kernel (K, P, *grid) times u (P, *grid)."""
    margin = _margin(near)
    padded = u.new_zeros(len(u), *(n + 2 * m for n, m in zip(near.grid, margin, strict=True)))
    for part, window in zip(kernel, _windows(near), strict=True):
        padded[window].addcmul_(part, u)
    return padded[(slice(None), *(slice(m, m + n) for m, n in zip(margin, near.grid, strict=True)))]


def pair_distance(own: Tensor, others: Tensor) -> Tensor:
    """Squared Euclidean distance of the patches of each pair.

    Parameters
    ----------
    own : (M, K, C) Tensor
        Of the image's patches, by prototype.
    others : (P, C, M) Tensor

    Returns
    -------
    (P, M, K) Tensor
        By prototype.
    """
    middle = others.mean(0)  # relative to the mean, less of a small distance is lost to rounding
    own, others = own - middle.T[:, None], (others - middle).permute(2, 1, 0)
    squared = torch.baddbmm(own.square().sum(2)[..., None], own, others, alpha=-2)  # (M, K, P)
    squared = squared.add_(others.square().sum(1)[:, None])
    return squared.clamp_min(0).permute(2, 0, 1)


def match_neighbours(
    settings: Architecture,
    near: Neighbourhood,
    with_maps_of: Callable[[Tensor, Tensor], Tensor],
    features: Tensor,
    others: Tensor,
    source: Tensor,
    target: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Match patches of images with neighbouring patches of prototypes.

    A patch of an image is compared with a patch of a prototype by the linear map of the
    prototype's patch. Patches are matched by their anatomical coordinates, if there are any;
    otherwise by the same comparison and the spatial prior.

    Parameters
    ----------
    settings : Architecture
        With `reach`.
    near : Neighbourhood
    with_maps_of : callable
        `expert.backbone.Members.with_maps_of`.
    features, others : (B, C, *grid) and (P, C, *grid) Tensor
        As `expert.backbone.Members` returns them, those of prototypes without histograms.
    source, target : (B, M) and (P, M) Tensor
        Mass of the patches, rows sum to 1.

    Returns
    -------
    flow, cost : (B, P, M, K) Tensor
        By image; row sums of the plans are the mass of the patches.
    marginal_error : (B, P) Tensor
    """
    compared, flat = settings.n_compared_channels, others.flatten(2)
    known: tuple[Tensor, Tensor] | None = None
    plans: dict[int, LocalPlan] = {}
    images = []
    for own, mass in zip(features, source, strict=True):
        read = with_maps_of(own, near.sources).permute(2, 0, 1)
        places = own[compared : compared + 3].flatten(1)
        same = known and torch.equal(known[0], places) and torch.equal(known[1], mass)
        if not (same and settings.coordinates):
            known, plans = (places, mass), {}
        # Otherwise they are versions of one image, whose plans do not depend on its grey values.
        parts = []
        for start in range(0, len(flat), BLOCK):
            rows = slice(start, start + BLOCK)
            cost = pair_distance(read, flat[rows, :compared]).sqrt()
            if start not in plans:
                plans[start] = local_plan(
                    _matching_cost(settings, near, cost, places, flat[rows, compared:]),
                    mass.float(),
                    target[rows].float(),
                    near,
                    settings.regularization,
                    relaxation=settings.relaxation,
                )
            # In the precision of the features, the rows sum to the mass of the patches.
            flow = plans[start].flow.to(cost)
            flow = flow * (mass / flow.sum(2).clamp_min(1e-30))[..., None]
            error = plans[start].marginal_error.to(cost)
            parts.append((flow, other_layout(cost, near.partners), error))
        images.append([torch.cat(part) for part in zip(*parts, strict=True)])
    if len(images) == 1:  # no copy
        flow, cost, error = (part[None] for part in images[0])
    else:
        flow, cost, error = (torch.stack(part) for part in zip(*images, strict=True))
    return flow, cost, error


def _matching_cost(
    settings: Architecture, near: Neighbourhood, cost: Tensor, places: Tensor, others: Tensor
) -> Tensor:
    """(P, M, K) what plans minimise, by image, from the cost (P, M, K) by prototype."""
    if settings.coordinates:
        moved = neighbours(places, near.sources)
        matching = pair_distance(moved.permute(1, 2, 0), others[:, :3])
    else:
        apart = torch.from_numpy(np.linalg.norm(near.offsets, axis=1)).to(cost)
        matching = cost + settings.prior * apart
    matching = matching.masked_fill(near.sources == len(near.sources), torch.inf)
    return other_layout(matching, near.partners, torch.inf).float()
