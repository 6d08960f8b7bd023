"""Distances without plans: the same as with them, and with the same gradient as by autograd."""

from __future__ import annotations

import pytest
import torch

from expert.features import transport_distance as module
from expert.features.transport_distance import Iterations, transport_distance
from expert.transport import image_distance, patch_cost, transport_plan

CONVERGED = Iterations(1e-12, 5000, 300)


@pytest.fixture
def problem() -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(2)

    def draw(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=random, dtype=torch.double)

    source, target = (draw(n, 12) + 0.3 for n in (3, 5))
    return [
        draw(3, 8, 12),
        draw(5, 8, 12),
        source / source.sum(1, keepdim=True),
        target / target.sum(1, keepdim=True),
    ]


@pytest.mark.parametrize("plans", [1, 4, 1000])
def test_distances_are_those_of_the_plans(problem, monkeypatch, plans):
    monkeypatch.setattr(module, "block_size", lambda entries, device: plans)
    features, prototypes, source, target = problem
    prior = torch.rand(12, 12, generator=torch.Generator().manual_seed(4)).double()
    for added in (None, prior):
        found = transport_distance(*problem, 0.1, CONVERGED, added)
        cost = patch_cost(features[..., None], prototypes[..., None])
        plan = transport_plan(
            cost if added is None else cost + added,
            0.1,
            source=source,
            target=target,
            tolerance=1e-12,
            max_iterations=5000,
        )
        torch.testing.assert_close(found, image_distance(plan.flow, cost, 1.0))


def test_patches_that_are_left_out_count_as_without_mass(problem):
    features, prototypes, source, target = problem
    kept = torch.arange(12) % 3 > 0
    some = [part[..., kept] for part in (source, target)]
    expected = transport_distance(
        features[..., kept],
        prototypes[..., kept],
        *(part / part.sum(1, keepdim=True) for part in some),
        0.1,
        CONVERGED,
    )
    torch.testing.assert_close(transport_distance(*problem, 0.1, CONVERGED, kept=kept), expected)


def test_the_gradient_is_that_of_autograd_through_the_iterations(problem):
    features, prototypes, source, target = problem
    weights = torch.rand(3, 5, generator=torch.Generator().manual_seed(5)).double()

    def by_autograd() -> torch.Tensor:
        kernel = -patch_cost(features[..., None], prototypes[..., None]) / 0.2
        v = torch.zeros(3, 5, 12, dtype=torch.double)
        for _ in range(300):
            u = source[:, None].log() - (kernel + v[:, :, None]).logsumexp(3)
            v = target.log() - (kernel + u[..., None]).logsumexp(2)
        flow = (kernel + u[..., None] + v[:, :, None]).exp()
        return (flow * -0.2 * kernel).sum((2, 3))

    found = []
    for distance in (
        by_autograd,
        lambda: transport_distance(features, prototypes, source, target, 0.2, CONVERGED),
    ):
        for part in (features, prototypes):
            part.grad = None
            part.requires_grad_()
        value = distance()
        (value * weights).sum().backward()
        found.append((value.detach(), features.grad, prototypes.grad))
    for expected, held in zip(*found, strict=True):
        torch.testing.assert_close(held, expected, rtol=1e-6, atol=1e-9)


def test_a_patch_that_equals_another_has_a_finite_gradient(problem):
    features, _, source, _ = problem
    features = features.clone().requires_grad_()
    same = features.detach().clone()
    transport_distance(features, same, source, source, 0.1, CONVERGED).sum().backward()
    assert torch.isfinite(features.grad).all()


def test_without_a_gradient_nothing_of_the_size_of_the_plans_is_kept(problem, monkeypatch):
    kept = []
    slope = module.slope
    monkeypatch.setattr(module, "slope", lambda *a: kept.append(1) or slope(*a))
    problem[1] = torch.nn.Parameter(problem[1])
    with torch.inference_mode():
        transport_distance(*problem, 0.1, CONVERGED)
    assert not kept
    transport_distance(*problem, 0.1, CONVERGED)
    assert kept
