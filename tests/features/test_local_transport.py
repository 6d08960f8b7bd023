"""Plans between neighbouring patches: layouts, marginals, and agreement with plans of all pairs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from expert.backbone import Members
from expert.comparison import dense
from expert.features.local_transport import (
    local_plan,
    match_neighbours,
    neighbourhood,
    neighbours,
    other_layout,
    pair_distance,
)
from expert.schema import Architecture
from expert.transport import grid_indices, transport_plan

GRID = (3, 4, 2)
COUNT = 24


def mass(rows: int, seed: int = 0) -> torch.Tensor:
    values = torch.rand(rows, COUNT, generator=torch.Generator().manual_seed(seed)).double() + 0.5
    return values / values.sum(1, keepdim=True)


def costs(near: object, rows: int = 2) -> torch.Tensor:
    """Squared distances of the patches, and a little noise; (rows, M, K) by image."""
    place = grid_indices(GRID, torch.zeros(1).double())
    every = (torch.cdist(place, place) ** 2).expand(rows, -1, -1).clone()
    every += 0.3 * torch.rand(every.shape, generator=torch.Generator().manual_seed(5)).double()
    partners = near.partners  # type: ignore[attr-defined]
    padded = torch.nn.functional.pad(every, (0, 1), value=torch.inf)
    return padded.gather(2, partners.expand(rows, -1, -1))


def test_neighbours_are_within_reach() -> None:
    near = neighbourhood(GRID, 1.5)
    place = grid_indices(GRID, torch.zeros(1)).numpy()
    apart = np.linalg.norm(place[:, None] - place[None], axis=2)
    for patch, found in enumerate(near.partners.numpy()):
        assert set(found[found < COUNT]) == set(np.flatnonzero(apart[patch] <= 1.5))
    assert near.offsets[len(near.offsets) // 2].tolist() == [0, 0, 0]


def test_the_two_layouts_hold_the_same_pairs() -> None:
    near = neighbourhood(GRID, 2.0)
    by_image = torch.rand(2, COUNT, len(near.offsets))
    by_image[:, near.partners == COUNT] = 0
    by_prototype = other_layout(by_image, near.sources)
    assert torch.equal(other_layout(by_prototype, near.partners), by_image)
    matrix = dense(by_image[0].numpy(), near.partners.numpy())
    partner = int(near.partners[3, -1])
    assert partner < COUNT
    assert matrix[3, partner] == by_image[0, 3, -1]
    assert np.allclose(matrix.sum(0), by_prototype[0].sum(1).numpy(), atol=1e-5)


def test_neighbours_of_values() -> None:
    near = neighbourhood(GRID, 1.0)
    found = neighbours(torch.arange(COUNT).float(), near.partners, -1.0)
    assert torch.equal(found[near.partners < COUNT], near.partners[near.partners < COUNT].float())
    assert (found[near.partners == COUNT] == -1).all()


def test_with_every_pair_in_reach_it_is_the_plan_of_all_pairs() -> None:
    near = neighbourhood(GRID, 9.0)
    source, target = mass(1)[0], mass(2, 1)
    cost = costs(near)
    plan = local_plan(cost, source, target, near, 0.5, tolerance=1e-10)
    every = torch.zeros(1, 2, COUNT, COUNT).double()
    for row in range(2):
        finite = torch.where(cost[row].isinf(), 0.0, cost[row])
        every[0, row] = torch.from_numpy(dense(finite.numpy(), near.partners.numpy()))
    known = transport_plan(every, 0.5, source=source[None], target=target, tolerance=1e-10)
    for row in range(2):
        found = dense(plan.flow[row].numpy(), near.partners.numpy())
        assert np.abs(found - known.flow[0, row].numpy()).max() < 1e-8
    assert plan.marginal_error.max() < 1e-8


@pytest.mark.parametrize("relaxation", [0.0, 0.5])
def test_rows_are_exact_and_columns_as_strict_as_asked(relaxation: float) -> None:
    near = neighbourhood(GRID, 2.0)
    source, target = mass(1)[0], mass(2, 1)
    plan = local_plan(costs(near), source, target, near, 0.3, relaxation=relaxation)
    assert torch.allclose(plan.flow.sum(2), source.expand(2, -1), atol=1e-12)
    error = float(plan.marginal_error.max()) * COUNT
    assert error < 1e-4 if relaxation == 0 else 1e-3 < error < 2


def test_relaxed_plans_minimise_their_objective() -> None:
    near = neighbourhood(GRID, 2.0)
    source, target, cost = mass(1)[0], mass(2, 1)[:1], costs(near, 1)
    plan = local_plan(cost, source, target, near, 0.3, relaxation=0.5, tolerance=1e-12).flow

    def objective(flow: torch.Tensor) -> float:
        sums = other_layout(flow, near.sources).sum(2)
        pairs = flow > 0
        entropy = -(flow[pairs] * flow[pairs].log()).sum()
        divergence = (sums * (sums / target).log() - sums + target).sum()
        return float((flow[pairs] * cost[pairs]).sum() - 0.3 * entropy + 0.5 * divergence)

    best, generator = objective(plan), torch.Generator().manual_seed(1)
    for _ in range(20):
        other = plan * (0.1 * torch.randn(plan.shape, generator=generator).double()).exp()
        other = other * (source / other.sum(2))[..., None]
        assert objective(other) > best


def test_pair_distance() -> None:
    own, others = torch.rand(COUNT, 3, 5).double(), torch.rand(2, 5, COUNT).double()
    expected = (own[None] - others.permute(0, 2, 1)[:, :, None]).square().sum(3)
    assert torch.allclose(pair_distance(own, others), expected, atol=1e-12)


def test_versions_of_one_image_have_the_plan_of_the_image() -> None:
    settings = Architecture(
        dimensions=3, backbone="histogram", bins=4, places=GRID, widths=(), pool=2, channels=3,
        prototypes=2, reach=1.5, coordinates=True, relaxation=0.2, regularization=0.3,
    )  # fmt: skip
    backbone, near = Members(settings), neighbourhood(GRID, 1.5)
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(3, settings.latent + 5, *GRID, generator=generator)
    images[1, 3:6] = images[0, 3:6]  # the same coordinates, other grey values
    others = torch.rand(2, settings.latent, *GRID, generator=generator)
    source, target = mass(1).expand(3, -1).float(), mass(2).float()

    def matched(rows: slice) -> tuple[torch.Tensor, ...]:
        with torch.no_grad():
            return match_neighbours(
                settings, near, backbone.with_maps_of, images[rows], others, source[rows], target
            )

    together = matched(slice(0, 3))
    for row in range(3):
        for part, alone in zip(together, matched(slice(row, row + 1)), strict=True):
            torch.testing.assert_close(part[row], alone[0])
    assert torch.equal(together[0][0], together[0][1])
    assert not torch.equal(together[0][0], together[0][2])
