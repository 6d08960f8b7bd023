"""Tests of `expert.comparison`."""

from __future__ import annotations

import numpy as np

from expert.comparison import compare_images
from expert.model_file import load_model


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
