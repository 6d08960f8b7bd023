"""Tests of `expert.comparison`."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from expert.comparison import compare_images
from expert.features.grey_values import to_unit
from expert.model import PrototypeRegressor
from expert.model_file import load_model
from expert.schema import Architecture


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


@pytest.mark.parametrize("reach", [0.0, 1.5])
def test_a_prototype_s_own_image_has_no_distance_in_place(reach):
    torch.manual_seed(0)
    architecture = Architecture(
        dimensions=2, backbone="histogram", bins=6, places=(3, 3), widths=(), pool=4, channels=4,
        prototypes=3, weights="relative", marginals="content", regularization=0.5, reach=reach,
    )  # fmt: skip
    network = PrototypeRegressor(architecture, (3, 3)).double().eval()
    images = np.random.default_rng(0).integers(1, 255, (3, 12, 12)).astype(np.uint8)
    content = np.full_like(images, 255)
    with torch.no_grad():
        found = network.backbone(to_unit(images)[:, None].double())
        network.prototypes.copy_(found[:, : architecture.latent])
        network.prototype_mass.copy_(network.image_mass(to_unit(content)))
    result = compare_images(network, images[1:2], content[1:2])
    in_place = result.distances_in_place()
    assert in_place.shape == (1, 3)
    assert in_place[0, 1] < 1e-6
    assert min(in_place[0, 0], in_place[0, 2]) > 0.01
    assert result.distances[0, 1] > 0.01  # a plan spreads over patches that differ
