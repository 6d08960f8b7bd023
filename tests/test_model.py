"""Tests of `expert.model`."""

from __future__ import annotations

import json
import math

import pytest
import torch

from expert.model import PrototypeRegressor, prototype_weights, weighted_prediction
from expert.schema import Architecture


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


def test_weights_and_prediction(reference_case):
    radius = float(reference_case["radius"])
    out = weighted_prediction(
        reference_case["distance"], reference_case["prototype_labels"], radius
    )
    # The reference reports a fallback as weight 1 for the nearest prototype, as
    # `weighted_prediction` does.
    torch.testing.assert_close(out.weights, reference_case["weights"], rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(
        out.prediction, reference_case["prediction"].reshape(-1), rtol=1e-5, atol=1e-5
    )
    inside = (reference_case["distance"] <= radius).any(dim=1)
    assert torch.equal(out.fallback, ~inside)
    raw = prototype_weights(reference_case["distance"], radius)
    torch.testing.assert_close(raw[inside], reference_case["weights"][inside], rtol=1e-5, atol=1e-7)
    assert (raw[~inside] == 0).all()


def test_a_plane_is_held_against_the_same_plane_of_the_prototypes():
    torch.manual_seed(0)
    settings = {
        "backbone": "histogram",
        "widths": (4,),
        "pool": 4,
        "channels": 3,
        "prototypes": 2,
        "regularization": 0.05,
    }
    both = PrototypeRegressor(Architecture(**settings, planes=3), (4, 4))
    features, mass = torch.rand(5, 3, 4, 4), torch.full((5, 16), 1 / 16)
    with torch.inference_mode():
        for plane in range(3):
            alone = PrototypeRegressor(Architecture(**settings), (4, 4))
            alone.prototypes.copy_(both.prototypes[2 * plane : 2 * plane + 2])
            held, wanted = both.compare(features, mass, plane), alone.compare(features, mass)
            torch.testing.assert_close(held.distance, wanted.distance)
            torch.testing.assert_close(held.flow, wanted.flow)
        planes = torch.tensor([2, 0, 1, 2, 0])
        mixed = both.training_distance(features, mass, by_position=True, planes=planes)
        for row, plane in enumerate(planes.tolist()):
            one = both.training_distance(
                features[row : row + 1], mass[:1], by_position=True, planes=torch.tensor([plane])
            )
            torch.testing.assert_close(mixed[row], one[0])


def test_patches_are_matched_by_the_guide_and_compared_by_the_rest():
    torch.manual_seed(1)
    settings = Architecture(
        backbone="histogram",
        widths=(4,),
        pool=4,
        channels=3,
        guide=2,
        prototypes=2,
        regularization=0.01,
    )
    network = PrototypeRegressor(settings, (2, 2))
    place = 5 * torch.tensor([[0.0, 0, 1, 1], [0, 1, 0, 1]]).reshape(
        1, 2, 2, 2
    )  # another one in every cell
    told = torch.rand(3, 3, 2, 2)
    with torch.inference_mode():
        # The prototypes hold the image's cells in another order: the guide finds them whatever they
        # hold.
        order = torch.tensor([2, 0, 3, 1])
        moved = place.flatten(2)[:, :, order].reshape(1, 2, 2, 2)
        network.prototypes.copy_(torch.cat([told[1:], moved.expand(2, -1, -1, -1)], 1))
        held = network.compare(torch.cat([told[:1], place], 1).double(), torch.full((1, 4), 0.25))
    found = held.flow[0, 0].argmax(1)
    assert torch.equal(order[found], torch.arange(4))
    cost = (told[0].flatten(1)[:, :, None] - told[1].flatten(1)[:, None, :]).norm(dim=0)
    torch.testing.assert_close(held.cost[0, 0].float(), cost, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("by_position", [False, True])
def test_a_part_of_a_training_batch_has_the_distances_of_the_whole(by_position):
    torch.manual_seed(0)
    settings = {"widths": (8,), "pool": 1, "channels": 4, "prototypes": 3, "marginals": "content"}
    network = PrototypeRegressor(Architecture(**settings), (2, 3))
    network.prototype_mass[:, -1] = 1e-4  # nearly empty, and so it is in the first image
    features, mass = torch.rand(2, 4, 2, 3), torch.full((2, 6), 1 / 6)
    mass[0] = torch.tensor([0.2, 0.2, 0.2, 0.2, 0.19, 0.01])
    whole = network.training_distance(features, mass, by_position=by_position)
    alone = network.training_distance(features[:1], mass[:1], by_position=by_position)
    part = network.training_distance(
        features[:1], mass[:1], by_position=by_position, heaviest=mass.amax(0, keepdim=True)
    )
    torch.testing.assert_close(part, whole[:1])
    assert not torch.allclose(alone, whole[:1])
