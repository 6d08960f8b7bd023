"""Potentials of many plans, and the derivative of their cost."""

from __future__ import annotations

import torch

from expert.features import sinkhorn
from expert.features.sinkhorn import block_size, onto_marginals, potentials, slope


def problem(count: int = 4, rows: int = 6, columns: int = 5, sharp: float = 10.0):
    random = torch.Generator().manual_seed(3)
    cost = torch.rand(count, rows, columns, generator=random, dtype=torch.double)
    a, b = (
        (torch.rand(count, n, generator=random, dtype=torch.double) + 0.2) for n in (rows, columns)
    )
    return cost, -sharp * cost, a / a.sum(1, keepdim=True), b / b.sum(1, keepdim=True)


def test_plans_meet_their_marginals_and_each_ends_by_itself():
    _, kernel, a, b = problem()
    kernel[1] *= 8  # takes longer than the others
    found = potentials(kernel, a, b, 1e-9, 100_000)
    plans = found.plans(kernel)
    torch.testing.assert_close(plans.sum(2), a, atol=1e-8, rtol=0)
    torch.testing.assert_close(plans.sum(1), b, atol=1e-12, rtol=0)
    assert len(found.unfinished) == 0
    assert found.iterations[1] > found.iterations[0]
    alone = potentials(kernel[:1], a[:1], b[:1], 1e-9, 100_000)
    torch.testing.assert_close(alone.plans(kernel[:1])[0], plans[0])


def test_plans_that_run_out_of_iterations_are_named():
    _, kernel, a, b = problem(sharp=200.0)
    found = potentials(kernel, a, b, 1e-12, 7)
    assert found.unfinished.tolist() == [0, 1, 2, 3]
    assert found.iterations.tolist() == [7] * 4
    rounded = onto_marginals(found.plans(kernel), a, b)
    torch.testing.assert_close(rounded.sum(2), a)
    torch.testing.assert_close(rounded.sum(1), b)


def test_what_overflows_is_solved_in_the_log_domain(monkeypatch):
    _, kernel, a, b = problem(sharp=3000.0)
    used = []
    solver = sinkhorn._log_domain()
    monkeypatch.setattr(
        sinkhorn, "_log_domain", lambda: lambda *x, **y: used.append(1) or solver(*x, **y)
    )
    kernel, a, b = (part.float() for part in (kernel, a, b))
    a = torch.where(torch.arange(6) == 0, 1e-30, a)
    found = potentials(kernel, a, b, 1e-4, 400)
    assert used
    assert torch.isfinite(found.plans(kernel)).all()


def test_the_slope_is_that_of_finite_differences():
    cost, kernel, a, b = problem(2)

    def value(kernel: torch.Tensor) -> torch.Tensor:
        return (potentials(kernel, a, b, 1e-13, 100_000).plans(kernel) * cost).sum()

    flow = potentials(kernel, a, b, 1e-13, 100_000).plans(kernel)
    found, step = slope(flow, cost, 200), 1e-5
    for place in [(0, 0, 0), (0, 3, 2), (1, 5, 4)]:
        more, less = kernel.clone(), kernel.clone()
        more[place] += step
        less[place] -= step
        expected = (value(more) - value(less)) / (2 * step)
        torch.testing.assert_close(found[place], expected, rtol=1e-4, atol=1e-9)


def test_a_block_holds_at_least_one_plan():
    assert block_size(10**9, torch.device("cpu")) == 1
    assert block_size(900, torch.device("cpu")) > 100
