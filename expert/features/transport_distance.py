"""Transport distances of many images to many prototypes, without keeping the plans.

A plan of M patches has M x M entries. Where only distances are needed, in training and to choose
the prototypes' images, costs and plans are computed block by block and dropped. With a gradient,
one array of the size of all plans is kept for the backward pass.

References
----------
.. [1] Hesse et al., "Prototype Learning for Explainable Brain Age Prediction", WACV 2024,
       arXiv:2306.09858, image-level distance.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from expert.features.sinkhorn import block_size, potentials, slope

BLOCK = 8
"""Blocks of plans whose costs are computed by one matrix product."""


class Iterations(NamedTuple):
    """How far plans are iterated."""

    tolerance: float
    """Bound on the L2 norm of the row-marginal error."""
    most: int
    """Bound on the iterations."""
    gradient: int
    """Iterations of the derivative, where one is needed; at least 1."""


def transport_distance(
    features: Tensor,
    prototypes: Tensor,
    source: Tensor,
    target: Tensor,
    regularization: float,
    iterations: Iterations,
    prior: Tensor | None = None,
    kept: Tensor | None = None,
) -> Tensor:
    """Cost of transporting the patches of every image onto those of every prototype.

    The same as `expert.transport.patch_cost`, `transport_plan` and `image_distance` one after the
    other, with a scale of 1.

    Parameters
    ----------
    features, prototypes : (B, C, M) and (P, C, M) Tensor
        Patch features; a gradient passes to both.
    source, target : (B, M) and (P, M) Tensor
        Mass of the patches, > 0, rows sum to 1; no gradient passes.
    regularization : float
        Entropic regularisation, in the unit of the distance.
    iterations : Iterations
    prior : (M, M) Tensor, optional
        Added to the distance of the patches for the plans, not for the cost.
    kept : (M,) bool Tensor, optional
        Patches that take part, as if the others had no mass; by default all.

    Returns
    -------
    (B, P) Tensor
    """
    if kept is not None and not kept.all():
        features, prototypes = features[:, :, kept], prototypes[:, :, kept]
        source, target = (m[:, kept] / m[:, kept].sum(1, keepdim=True) for m in (source, target))
        prior = None if prior is None else prior[kept][:, kept]
    own, others = (p.transpose(1, 2).contiguous() for p in (features, prototypes))
    if not torch.is_grad_enabled():  # a parameter would seem to need a gradient
        own, others = own.detach(), others.detach()
    distance: Tensor = _Distance.apply(  # type: ignore[no-untyped-call]
        own, others, source, target, regularization, iterations, prior
    )
    return distance


class _Distance(torch.autograd.Function):
    """The distances (B, P) of patches (B, M, C) and (P, M, C)."""

    @staticmethod
    def forward(
        ctx: Any,
        own: Tensor,
        others: Tensor,
        source: Tensor,
        target: Tensor,
        regularization: float,
        iterations: Iterations,
        prior: Tensor | None,
    ) -> Tensor:
        patches = own.shape[1]
        out = own.new_empty(len(own), len(others))
        weights = None
        if any(ctx.needs_input_grad[:2]):  # in the layout of the matrix products
            weights = own.new_empty(len(own), patches, len(others), patches)
        lengths = [torch.linalg.vector_norm(p, dim=2).square_() for p in (own, others)]
        for rows, columns in _blocks(len(own), len(others), patches, own.device):
            cost = _distances(own, others, lengths, rows, columns)
            a = source[rows, None].expand(*cost.shape[:2], -1).flatten(0, 1)
            b = target[columns].expand(*cost.shape[:2], -1).flatten(0, 1)
            every = cost.flatten(0, 1)
            found = every.new_empty(len(every))
            for few in _parts(len(every), block_size(patches**2, own.device)):
                some = every[few]
                kernel = (some if prior is None else some + prior) / -regularization
                flow = potentials(
                    kernel, a[few], b[few], iterations.tolerance, iterations.most
                ).plans(kernel)
                found[few] = (flow * some).sum((1, 2))
                if weights is not None:
                    change = slope(flow, some, iterations.gradient)
                    gradient = flow.sub_(change, alpha=1 / regularization)
                    every[few] = torch.where(some > 0, gradient / some, 0.0)
            out[rows, columns] = found.view(cost.shape[:2])
            if weights is not None:
                weights[rows, :, columns] = cost.transpose(1, 2)
        ctx.save_for_backward(own, others, weights)
        return out

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        own, others, weights = ctx.saved_tensors
        to_own, to_others = torch.zeros_like(own), torch.zeros_like(others)
        every, into = others.flatten(0, 1), to_others.flatten(0, 1)
        for row, images in enumerate(own):
            weighted = (weights[row] * upstream[0][row][None, :, None]).flatten(1)
            to_own[row] = images * weighted.sum(1)[:, None] - weighted @ every
            into += every * weighted.sum(0)[:, None]
            into.addmm_(weighted.T, images, alpha=-1)
        return to_own, to_others, None, None, None, None, None


def _distances(
    own: Tensor, others: Tensor, lengths: list[Tensor], rows: slice, columns: slice
) -> Tensor:
    """(B, P, M, M) distances of some patches of (B, M, C) and (P, M, C), by their squared norms."""
    images, prototypes, patches = own[rows], others[columns], own.shape[1]
    first, second = lengths[0][rows].flatten(), lengths[1][columns].flatten()
    squared = torch.addmm(second, images.flatten(0, 1), prototypes.flatten(0, 1).T, alpha=-2)
    apart = squared.add_(first[:, None]).clamp_min_(0).sqrt_()
    return apart.view(len(images), patches, -1, patches).transpose(1, 2).contiguous()


def _blocks(
    images: int, prototypes: int, patches: int, device: torch.device
) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of the distances whose costs are computed at a time."""
    size = BLOCK * block_size(patches**2, device)
    wide = min(size, prototypes)
    for rows in _parts(images, max(1, size // wide)):
        for columns in _parts(prototypes, wide):
            yield rows, columns


def _parts(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))
