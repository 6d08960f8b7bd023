"""Tests of `expert.transport`."""

from __future__ import annotations

import torch
from helpers.hand_made import random_grids

from expert.transport import (
    average_match,
    image_distance,
    patch_cost,
    position_plan,
    transport_plan,
)


def test_cost_is_the_distance_of_every_pair_of_patches():
    features, prototypes = random_grids()
    cost = patch_cost(features, prototypes)
    assert cost.shape == (3, 5, 12, 12)
    expected = (features[1].flatten(1)[:, 7] - prototypes[2].flatten(1)[:, 4]).norm()
    torch.testing.assert_close(cost[1, 2, 7, 4], expected)


def test_plans_keep_their_marginals_and_the_plan_of_an_image_with_itself_is_the_diagonal():
    features, prototypes = random_grids()
    plan = transport_plan(patch_cost(features, prototypes).double(), 0.1)
    assert plan.marginal_error.max() <= 1e-4
    torch.testing.assert_close(
        plan.flow.sum(-1), torch.full((3, 5, 12), 1 / 12, dtype=torch.float64), atol=1e-5, rtol=0
    )
    own = transport_plan(patch_cost(features, features).double(), 0.02).flow
    share = own[range(3), range(3)].diagonal(dim1=-2, dim2=-1) * 12
    assert share.min() > 0.99


def test_plans_that_do_not_converge_in_time_are_put_onto_their_marginals():
    features, prototypes = random_grids()
    cost = patch_cost(features, prototypes).double()
    short, long = (transport_plan(cost, 0.02, max_iterations=steps) for steps in (20, 20_000))
    mended = transport_plan(cost, 0.02, max_iterations=20, rounded=True)
    assert short.marginal_error.max() > 1e-3
    assert mended.marginal_error.max() < 1e-12
    assert mended.flow.min() >= 0
    # Not farther from the plan that was meant than twice what was missing in rows and columns.
    missing = (short.flow.sum(-1) - 1 / 12).abs().sum(-1) + (short.flow.sum(-2) - 1 / 12).abs().sum(
        -1
    )
    assert ((mended.flow - short.flow).abs().sum((-1, -2)) <= 2 * missing + 1e-12).all()
    torch.testing.assert_close(
        transport_plan(cost, 0.02, max_iterations=20_000, rounded=True).flow,
        long.flow,
        atol=1e-5,
        rtol=0,
    )


def test_cost(reference_case):
    torch.testing.assert_close(
        patch_cost(reference_case["features"], reference_case["prototypes"]),
        reference_case["cost"],
        rtol=1e-5,
        atol=1e-6,
    )


def test_plan_and_distance(reference_case):
    plan = transport_plan(reference_case["cost"], 0.1)
    assert plan.marginal_error.max() <= 1e-4
    torch.testing.assert_close(
        plan.flow, reference_case["flow_converged"].float(), rtol=0, atol=1e-4
    )
    distance = image_distance(plan.flow, reference_case["cost"], reference_case["scale"])
    torch.testing.assert_close(
        distance, reference_case["distance_converged"].float(), rtol=0, atol=1e-4
    )


def test_the_distance_of_averages_splits_over_the_patches():
    generator = torch.Generator().manual_seed(1)
    features, prototypes = (
        torch.rand(3, 8, 4, 3, generator=generator),
        torch.rand(5, 8, 4, 3, generator=generator),
    )
    source = torch.rand(3, 12, generator=generator).softmax(-1)
    target = torch.rand(5, 12, generator=generator).softmax(-1)
    plan, cost = average_match(features, prototypes, source, target)
    distance = image_distance(plan.flow, cost, 1.0)
    means = [
        (grid.flatten(2) * mass[:, None]).sum(-1)
        for grid, mass in ((features, source), (prototypes, target))
    ]
    torch.testing.assert_close(distance, torch.cdist(*means))
    torch.testing.assert_close(plan.flow.sum(-1), source[:, None].expand(-1, 5, -1))


def test_the_distance_by_position_looks_at_the_same_place_only():
    generator = torch.Generator().manual_seed(1)
    features, prototypes = (
        torch.rand(3, 8, 4, 3, generator=generator),
        torch.rand(5, 8, 4, 3, generator=generator),
    )
    source = torch.rand(3, 12, generator=generator).softmax(-1)
    distance = image_distance(position_plan(source, 5).flow, patch_cost(features, prototypes), 1.0)
    same = (features[:, None] - prototypes[None]).norm(dim=2).flatten(2)
    torch.testing.assert_close(distance, (same * source[:, None]).sum(-1))
