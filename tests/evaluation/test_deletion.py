"""Tests of `expert.evaluation.deletion`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.hand_made import (
    FLAT,
    GAIN,
    Neighbour,
    OneCell,
    Pixels,
    Position,
    both,
    grid_of,
    network,
    picture,
    pictures,
    prototypes,
)

from expert.backbone import Backbone
from expert.comparison import compare_images
from expert.evaluation import deletion as occlusion
from expert.evaluation.deletion import deletion, predictions
from expert.model_file import load_model
from expert.schema import Architecture


@both
def test_deletion_finds_the_one_cell_that_counts(recipe, monkeypatch):
    grid = grid_of(recipe)
    cell = int(np.prod(grid)) // 2
    box = occlusion.cell_slices(recipe.shape, grid, cell)
    shown = pictures(recipe, 5, 2)
    levels = np.linspace(40, 240, 5)
    for image, level in zip(shown, levels, strict=True):
        image[box] = level
    net = network(
        recipe,
        OneCell(grid, cell),
        shown,
        levels / 3,
        radius=40.0,
        regularization=0.0375 * np.sqrt(8 ** len(grid)),
    )
    net.scale.data.fill_(
        np.prod(grid) * 85 / (GAIN * np.sqrt(8 ** len(grid)))
    )  # a distance is a difference of labels
    image, mean = pictures(recipe, 2, 4)
    image[box], mean[box] = 200, 90
    content = np.full_like(image, 255)

    def gone():
        result = compare_images(net, image[None], content[None])
        return occlusion.deletion(net, image, content, mean, result, 0, 1)

    found = gone()
    assert found.ordered > 20
    assert found.gain > 0.25 * found.ordered
    # Pulled in the wrong order it comes last, and the measure says so.
    real = occlusion.contribution_to_prediction
    monkeypatch.setattr(
        occlusion, "contribution_to_prediction", lambda *args: 1 / (1e-3 + np.abs(real(*args)))
    )
    assert gone().gain < -0.25 * found.ordered


@pytest.mark.parametrize(("radius", "fallback"), [(1e-3, True), (100.0, False)])
def test_deletion_says_nothing_where_nothing_pulls(radius, fallback):
    shown = pictures(FLAT, 3, 2)
    net = network(FLAT, Pixels((6, 5)), shown, np.array([2.0, 2.0, 2.0]), radius=radius)
    image, mean = pictures(FLAT, 2, 4)
    content = np.full_like(image, 255)
    result = compare_images(net, image[None], content[None])
    assert result.fallback == fallback
    assert occlusion.deletion(net, image, content, mean, result, 0, 1) is None


@both
def test_response_from_outside_the_box(recipe):
    (image, content), mean = picture(recipe), pictures(recipe, 1, 8)[0]
    grid = grid_of(recipe)

    def outside(backbone):
        return occlusion.outside_response(
            network(recipe, backbone, *prototypes(recipe)), image, content, mean
        )

    class Mixed(Pixels):
        def forward(self, images):
            return Pixels.forward(self, images) + 0.5 * Pixels.forward(self, images).roll(1, -1)

    assert outside(Pixels(grid)) == 0
    assert outside(Neighbour(grid)) == 1
    assert 0.25 < outside(Mixed(grid)) < 0.45
    assert np.isnan(outside(Position(grid)))


@pytest.mark.parametrize(("widths", "pool"), [((2,), 1), ((2, 2), 1), ((2, 2), 2)])
def test_the_receptive_field_is_that_of_the_gradient(widths, pool):
    architecture = Architecture(widths=widths, pool=pool, channels=2, prototypes=2)
    torch.manual_seed(0)
    backbone = Backbone(architecture).eval()
    for parameter in backbone.parameters():
        parameter.data.abs_()  # nothing cancels, nothing is cut off
    reached = torch.zeros(256)
    for _ in range(20):
        image = torch.rand(1, 1, 256, 256, requires_grad=True)
        features = backbone.trunk(image)
        features[0, :, features.shape[2] // 2, features.shape[3] // 2].sum().backward()
        reached += image.grad[0, 0].abs().sum(1)
    rows = torch.nonzero(reached)[:, 0]
    assert int(rows[-1] - rows[0]) + 1 == occlusion.receptive_field(architecture)


def test_the_published_backbone_sees_435_pixels():
    assert occlusion.receptive_field(Architecture()) == 435


def test_deleting_a_patch_moves_the_common_answer(planes_model_file, planes_recipe, planes_cohort):
    network, views = (
        load_model(planes_model_file).network,
        planes_cohort.planes(planes_recipe.input.positions_mm),
    )
    images, content = (
        planes_cohort.images[0, views].astype(np.float32),
        planes_cohort.content[0, views],
    )
    result = compare_images(network, images, content)
    others = np.delete(result.distances, 1, axis=0)
    answers = predictions(network, np.stack([images[1], images[1] / 2]), content[1], 1, others)
    assert answers[0] == pytest.approx(result.prediction)
    darker = compare_images(network, np.stack([images[0], images[1] / 2]), content)
    assert answers[1] == pytest.approx(darker.prediction)
    assert answers[1] != pytest.approx(answers[0], abs=1e-6)
    gone = deletion(network, images[1], content[1], images[1] / 2, result, 1, seed=0)
    assert gone is not None
    assert gone.ordered > 0
