"""Sinkhorn iterations: potentials of entropic plans, and the slope of their cost.

Plans are iterated in blocks that stay in a core's cache: memory that is written for the first time
costs more than the sums themselves.

References
----------
.. [1] Cuturi, "Sinkhorn Distances: Lightspeed Computation of Optimal Transport", NeurIPS 2013.
.. [2] Schmitzer, "Stabilized Sparse Scaling Algorithms for Entropy Regularized Transport Problems",
       SIAM J. Sci. Comput. 2019 (absorption of the potentials between rounds of iterations).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Potentials(NamedTuple):
    """Potentials of N plans ``exp(kernel + u + v)``."""

    u: Tensor
    """(N, M)."""
    v: Tensor
    """(N, K)."""
    iterations: Tensor
    """(N,) long."""
    unfinished: Tensor
    """Indices of the plans whose marginals are not met."""

    def plans(self, kernel: Tensor) -> Tensor:
        """(N, M, K) plans of the kernel (N, M, K)."""
        return torch.exp(kernel + self.u[:, :, None] + self.v[:, None, :])


def block_size(entries: int, device: torch.device) -> int:
    """Number of plans with so many entries that are iterated at a time, at least 1."""
    return max(1, (2**17 if device.type == "cpu" else 2**26) // max(entries, 1))


def potentials(
    kernel: Tensor, a: Tensor, b: Tensor, tolerance: float, max_iterations: int
) -> Potentials:
    """Iterate every plan until its own marginals are met; no gradient passes.

    Parameters
    ----------
    kernel : (N, M, K) Tensor
        Negative cost, divided by the regularisation.
    a, b : (N, M) and (N, K) Tensor
        Row and column sums, > 0.
    tolerance : float
        Bound on the L2 norm of the row-marginal error of each plan.
    max_iterations : int
        Bound on the iterations of each plan.

    Returns
    -------
    Potentials
    """
    # Potentials with which the largest entry of each row and column is 1: no sum underflows.
    u = -kernel.amax(dim=2)
    v = -(kernel + u[:, :, None]).amax(dim=1)
    iterations = torch.zeros(len(a), dtype=torch.long, device=kernel.device)
    active = torch.arange(len(a), device=kernel.device)
    some: Tensor | slice = slice(None)  # all: nothing is copied
    length, done = 5, 0
    while len(active) and done < max_iterations:
        length = min(length, max_iterations - done)
        absorbed = kernel[some] + u[some, :, None] + v[some, None, :]
        du, dv, sums = _scale(absorbed, a[some], b[some], length)
        u[some] += du
        v[some] += dv
        done += length
        iterations[some] = done
        active = active[(sums - a[some]).norm(dim=1) > tolerance]
        some = active
        length = min(length * 2, 80)
    return Potentials(u, v, iterations, active)


def _scale(kernel: Tensor, a: Tensor, b: Tensor, length: int) -> tuple[Tensor, Tensor, Tensor]:
    """Iterations on ``exp(kernel)`` (N, M, K): log potentials (N, M), (N, K) and row sums (N, M).

    The exponential form is several times faster; a block that overflows is repeated in the log
    domain.
    """
    scaled, product = torch.exp(kernel), torch.empty_like(kernel)
    g = torch.ones_like(b)
    f = a / torch.mul(scaled, g[:, None, :], out=product).sum(2)
    for step in range(length):
        g = b / torch.mul(scaled, f[:, :, None], out=product).sum(1)
        sums = torch.mul(scaled, g[:, None, :], out=product).sum(2)
        if step + 1 < length:
            f = a / sums
    u, v = torch.log(f), torch.log(g)
    if bool(torch.isfinite(u).all() and torch.isfinite(v).all()):
        return u, v, f * sums
    out = _log_domain()(kernel, a, b, max_iter=length, tol=-1.0, grad="detach")
    return *out["potentials"], out["T"].sum(2)


@cache
def _log_domain() -> Callable[..., dict[str, Any]]:
    """POT's batch solver in the log domain.

    POT imports every array library that is installed; JAX would reserve three quarters of the
    memory of a graphics card.
    """
    for library in ("JAX", "CUPY", "TENSORFLOW"):
        os.environ.setdefault(f"POT_BACKEND_DISABLE_{library}", "1")
    from ot.batch import bregman_log_projection_batch

    solver: Callable[..., dict[str, Any]] = bregman_log_projection_batch
    return solver


def onto_marginals(flow: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """Plans rounded to their marginals: they change by at most twice the marginal error.

    Parameters
    ----------
    flow : (N, M, M) Tensor
        Plans that almost meet their marginals.
    source, target : (N, M) Tensor
        Row and column sums.

    Returns
    -------
    (N, M, M) Tensor

    References
    ----------
    .. [1] Altschuler, Weed, Rigollet, "Near-linear time approximation algorithms for optimal
           transport via Sinkhorn iteration", NeurIPS 2017, algorithm 2.
    """
    tiny = torch.finfo(flow.dtype).tiny
    flow = flow * (source / flow.sum(2).clamp_min(tiny)).clamp(max=1)[:, :, None]
    flow = flow * (target / flow.sum(1).clamp_min(tiny)).clamp(max=1)[:, None, :]
    rows, columns = (source - flow.sum(2)).clamp_min(0), (target - flow.sum(1)).clamp_min(0)
    return (
        flow + rows[:, :, None] * columns[:, None, :] / rows.sum(1).clamp_min(tiny)[:, None, None]
    )


def slope(flow: Tensor, cost: Tensor, count: int) -> Tensor:
    """Derivative of ``sum(flow * cost)`` by the kernel of the plans, at a fixed cost.

    Implicit differentiation: reverse differentiation of `count` iterations that start, and stay, at
    these plans. The derivative converges with `count` as the plans do with their iterations.

    Parameters
    ----------
    flow : (N, M, K) Tensor
        Plans that (nearly) meet their marginals.
    cost : (N, M, K) Tensor
    count : int
        Iterations, at least 1.

    Returns
    -------
    (N, M, K) Tensor
    """
    product = flow * cost
    rows, columns = flow.sum(2), flow.sum(1)
    to_rows, to_columns = product.sum(2), product.sum(1)
    row_total, column_total = torch.zeros_like(rows), torch.zeros_like(columns)
    for _ in range(count):
        by_column = -to_columns / columns
        by_row = -(to_rows + torch.bmm(flow, by_column[:, :, None])[:, :, 0]) / rows
        row_total += by_row
        column_total += by_column
        to_rows = torch.zeros_like(to_rows)
        to_columns = torch.bmm(by_row[:, None], flow)[:, 0]
    return product.addcmul_(flow, row_total[:, :, None] + column_total[:, None, :])
