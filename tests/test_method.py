"""The method's parts: transport, weights, projection, losses, and a batch that changes nobody's
answer."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from expert.comparison import compare_images
from expert.evaluation.metrics import collapse, errors
from expert.explanation import effective_prototypes
from expert.losses import (
    alignment_loss,
    consistency_loss,
    equivariance_loss,
    metric_loss,
    prediction_loss,
)
from expert.model import PrototypeRegressor, weighted_prediction
from expert.model_file import load_model
from expert.projection import nearest_images, spread_over_labels
from expert.schema import Architecture
from expert.training.augmentation import moved, new_places
from expert.training.recipe import Augmentation
from expert.transport import image_distance, patch_cost, transport_plan


def random_grids(seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(3, 16, 4, 3, generator=generator), torch.rand(
        5, 16, 4, 3, generator=generator
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


def test_gradients_flow_through_the_plan():
    features, prototypes = random_grids()
    features.requires_grad_()
    cost = patch_cost(features, prototypes)
    image_distance(transport_plan(cost, 0.1).flow, cost, torch.tensor(10.0)).sum().backward()
    assert features.grad is not None
    assert torch.isfinite(features.grad).all()
    assert features.grad.abs().sum() > 0


@pytest.mark.parametrize("dimensions", [2, 3])
def test_one_image_alone_is_the_same_image_among_thirty(dimensions):
    torch.manual_seed(0)
    shape = (64, 32) if dimensions == 2 else (32, 32, 32)
    architecture = Architecture(
        dimensions=dimensions,
        widths=(8, 16),
        pool=1,
        channels=16,
        prototypes=7,
        marginals="content",
    )
    grid = architecture.grid(shape)
    network = PrototypeRegressor(architecture, grid).eval()
    images = torch.rand(30, 1, *shape)
    content = torch.rand(30, *shape)
    with torch.inference_mode():
        together, _ = network(images, content)
        _, all_comparisons = network(images, content)
        for n in (0, 17):
            alone, comparison = network(images[n : n + 1], content[n : n + 1])
            torch.testing.assert_close(
                alone.prediction[0], together.prediction[n], atol=1e-5, rtol=1e-5
            )
            torch.testing.assert_close(
                comparison.distance[0], all_comparisons.distance[n], atol=1e-5, rtol=1e-5
            )


def test_prediction_is_the_weighted_mean_and_falls_back_to_the_nearest():
    labels = torch.tensor([20.0, 40.0, 60.0])
    distance = torch.tensor([[1.0, 2.0, 9.0], [7.0, 6.0, 8.0]])
    out = weighted_prediction(distance, labels, 5.0)
    weights = [math.exp(-(d**2) / (2 * (5 / 3) ** 2)) for d in (1.0, 2.0)]
    assert out.prediction[0].item() == pytest.approx(
        (weights[0] * 20 + weights[1] * 40) / sum(weights), rel=1e-6
    )
    assert out.fallback.tolist() == [False, True]
    assert out.prediction[1].item() == 40.0


def test_losses_are_zero_where_they_should_be():
    labels, prototypes = torch.tensor([30.0, 50.0]), torch.tensor([30.0, 60.0])
    gaps = (labels[:, None] - prototypes[None]).abs()
    assert metric_loss(gaps, labels, prototypes).item() == 0
    assert metric_loss(gaps + 1, labels, prototypes).item() == pytest.approx(1)
    features, _ = random_grids()
    far = features + 0
    # Mirroring the features column by column is what a perfectly equivariant network would do.
    assert consistency_loss(far * 100, far.flip(-1) * 100, 0.0).item() == pytest.approx(0, abs=1e-6)
    mass = torch.full((3, 12), 1 / 12)
    aligned = torch.eye(16)[:, :12].reshape(1, 16, 4, 3).repeat(3, 1, 1, 1) * 10
    assert alignment_loss(aligned, aligned, mass) < alignment_loss(aligned, aligned.flip(-1), mass)
    exact = torch.tensor([[0.0, 9.0], [9.0, 0.0]])
    assert prediction_loss(exact, prototypes, prototypes, 5.0).item() == pytest.approx(0, abs=1e-3)


def test_a_prototype_of_the_same_subject_can_be_left_out_of_the_losses():
    prototypes = torch.tensor([20.0, 50.0, 80.0])
    distance = torch.tensor([[0.0, 28.0, 61.0], [31.0, 0.0, 29.0]])
    labels = torch.tensor([20.0, 50.0])
    others = torch.tensor([[False, True, True], [True, False, True]])
    # The errors of the four pairs left are 2, 1, 1, 1; far apart, every pair has the weight of the
    # leak.
    assert metric_loss(
        distance, labels, prototypes, sigma=1.0, others=others
    ).item() == pytest.approx(5 / 4)
    assert prediction_loss(distance, labels, prototypes, 30.0).item() < 1
    assert prediction_loss(distance, labels, prototypes, 5.0, others).item() == pytest.approx(30)
    everyone = torch.ones_like(others)
    assert metric_loss(distance, labels, prototypes, others=everyone) == metric_loss(
        distance, labels, prototypes
    )
    assert prediction_loss(distance, labels, prototypes, 9.0, everyone) == prediction_loss(
        distance, labels, prototypes, 9.0
    )


def test_projection_variants():
    distance = np.array([[0.1, 0.2, 5.0], [3.0, 3.0, 3.0], [0.3, 0.1, 0.2], [1.0, 1.0, 0.1]])
    labels = np.array([20.0, 40.0, 60.0, 62.0])
    subjects = np.array(["a", "b", "c", "c"])
    wanted = np.array([21.0, 59.0, 61.0])
    published = nearest_images(distance, labels, subjects, wanted, window=None, distinct=False)
    assert published.tolist() == [0, 2, 3]
    aware = nearest_images(
        distance, labels, subjects, np.array([41.0, 59.0, 61.0]), window=5.0, distinct=False
    )
    assert aware.tolist() == [1, 2, 3]
    distinct = nearest_images(distance, labels, subjects, wanted, window=None, distinct=True)
    assert len(set(subjects[distinct])) == 3


def test_prototypes_start_spread_over_the_labels():
    labels = np.concatenate([np.linspace(20, 30, 90), np.linspace(30, 90, 10)])
    rows = spread_over_labels(labels, 8)
    assert len(set(rows.tolist())) == 8
    assert np.sort(labels[rows])[-1] > 80
    assert np.sort(labels[rows])[0] < 25


def test_figures():
    truth = np.linspace(20, 80, 61)
    perfect = errors(truth, truth, 50.0)
    assert perfect.mae == 0
    assert perfect.r == pytest.approx(1)
    assert perfect.mean_predictor_mae == pytest.approx(np.abs(truth - 50).mean())
    assert effective_prototypes(np.array([[0.5, 0.3, 0.1, 0.1]])) == 2
    assert collapse(truth, truth, 15.0, 40, 40) == ""
    assert "mean" in collapse(np.full(61, 50.0), truth, 15.1, 40, 40)
    assert collapse(truth, truth, 15.0, 3, 40) != ""


@pytest.mark.parametrize("grid", [(6, 5), (3, 4, 5)])
def test_cells_are_found_where_they_went(grid):
    torch.manual_seed(2)
    shape = tuple(8 * n for n in grid)
    # A picture that tells, in each of its pixels, where that is: what is read at a cell's new place
    # must be its old one.
    where = torch.stack(
        torch.meshgrid(*[(torch.arange(n) + 0.5) / n for n in shape], indexing="ij")
    )
    settings = Augmentation(rotation_deg=20.0, scale=0.2, shift=0.2)
    for axis, plane in enumerate(where):
        images = plane.expand(7, 1, *shape)
        new, _, theta = moved(images, torch.ones(7, *shape), settings, flip=0.5)
        places = new_places(theta, grid)
        pixels = ((places + 0.5) * 8 - 0.5).round().long()
        cells = torch.stack(
            torch.meshgrid(*[torch.arange(n) for n in grid], indexing="ij"), -1
        ).reshape(-1, len(grid))
        inside = ((pixels > 1) & (pixels < torch.tensor(shape) - 2)).all(-1)
        assert inside.any()
        for image, patch in inside.nonzero().tolist():
            read = new[(image, 0, *pixels[image, patch].tolist())].item()
            assert read == pytest.approx((cells[patch, axis].item() + 0.5) / grid[axis], abs=0.03)


def test_equivariance_rewards_features_that_go_with_the_content():
    torch.manual_seed(0)
    features = torch.rand(2, 32, 4, 4)
    theta = torch.tensor(
        [[[1.0, 0, 0.5], [0, 1, 0]], [[-1.0, 0, 0], [0, 1, 0]]]
    )  # one cell to the left; mirrored
    places = new_places(theta, (4, 4))
    mass = torch.full((2, 16), 1 / 16)
    gone = torch.stack([features[0].roll(-1, -1), features[1].flip(-1)])
    stayed = features
    good, bad = (
        equivariance_loss(features, other, places, mass, 0.5).item() for other in (gone, stayed)
    )
    assert good < 0.6 * bad


def test_a_spatial_prior_guides_the_plan_and_is_no_part_of_the_distance():
    torch.manual_seed(1)
    plain = Architecture(widths=(8, 16), channels=16, prototypes=3, radius=5.0)
    guided = plain.model_copy(update={"prior": 1.0})
    network = PrototypeRegressor(plain, (4, 4)).eval()
    features, mass = torch.rand(2, 16, 4, 4), torch.full((2, 16), 1 / 16)
    with torch.inference_mode():
        free = network.compare(features, mass)
        network.architecture = guided
        held = network.compare(features, mass)
    torch.testing.assert_close(held.cost, free.cost)
    torch.testing.assert_close(held.distance, network.scale * (held.flow * held.cost).sum((-2, -1)))
    assert (held.distance >= free.distance - 1e-4).all()
    same_place = [
        comparison.flow.diagonal(dim1=-2, dim2=-1).sum(-1).mean() for comparison in (free, held)
    ]
    assert same_place[1] > 0.9 > 0.5 > same_place[0]
    assert "prior" not in plain.model_dump()
    assert guided.model_dump()["prior"] == 1.0


def test_relative_weights_are_the_cut_ones_within_the_radius_and_go_on_beyond_it():
    labels = torch.tensor([20.0, 40.0, 60.0]).double()
    near = torch.tensor([[1.0, 2.0, 2.5]]).double()
    cut, relative = (
        weighted_prediction(near, labels, 3.0, weights) for weights in ("cut", "relative")
    )
    torch.testing.assert_close(cut.prediction, relative.prediction)
    far = torch.tensor([[300.0, 301.0, 390.0], [-2.0, -1.0, 50.0]]).double()
    out = weighted_prediction(far, labels, 3.0, "relative")
    assert not out.fallback.any()
    assert out.weights.max(1).values.tolist() == [1.0, 1.0]
    assert out.prediction[0].item() == pytest.approx(20, abs=1e-9)
    assert out.prediction[1].item() == pytest.approx(
        30
    )  # below 0 counts as 0: both are as near as can be


def test_a_prototype_is_in_radius_or_not_however_weights_are_made(tiny_model_file):
    network = load_model(tiny_model_file).network
    images = np.random.default_rng(1).integers(
        0, 255, (1, *load_model(tiny_model_file).info.input.shape), dtype=np.uint8
    )
    content = np.full_like(images, 255)
    for weights in ("cut", "relative"):
        for factor, near in ((0.99, False), (1.01, True)):
            nearest = compare_images(network, images, content).nearest_distance
            network.architecture = network.architecture.model_copy(
                update={"radius": nearest * factor, "weights": weights}
            )
            result = compare_images(network, images, content)
            assert result.covered is near
            assert result.fallback is (weights == "cut" and not near)


def test_a_learned_floor_of_costs_is_refused_and_an_unused_one_is_ignored():
    settings = {"widths": [8, 16], "channels": 16, "prototypes": 3}
    assert Architecture.model_validate(settings | {"floor": False}) == Architecture(**settings)
    assert Architecture.model_validate(settings | {"floor": None}) == Architecture(**settings)
    with pytest.raises(ValueError, match="floor is no longer supported: remove it and train"):
        Architecture.model_validate_json(json.dumps(settings | {"floor": True}))


def test_training_by_position_is_the_plan_that_stays_in_place():
    torch.manual_seed(1)
    settings = Architecture(widths=(8, 16), channels=16, prototypes=3, matching="position")
    network = PrototypeRegressor(settings, (4, 4)).eval()
    features, mass = torch.rand(2, 16, 4, 4), torch.rand(2, 16).softmax(-1)
    with torch.inference_mode():
        exact = network.compare(features, mass).distance
        torch.testing.assert_close(network.training_distance(features, mass), exact)
        network.architecture = settings.model_copy(update={"matching": "transport", "prior": 1.0})
        torch.testing.assert_close(
            network.training_distance(features, mass, by_position=True), exact
        )
        network.prototype_mass.copy_(mass[0].expand(3, -1))
        held = network.compare(features[:1].double(), mass[:1].double()).distance
        torch.testing.assert_close(held, exact[:1].double(), atol=0.02, rtol=0.02)
