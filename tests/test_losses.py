"""Tests of `expert.losses`."""

from __future__ import annotations

import pytest
import torch
from helpers.hand_made import random_grids

from expert.losses import (
    alignment_loss,
    consistency_loss,
    equivariance_loss,
    metric_loss,
    prediction_loss,
)
from expert.training.augmentation import new_places


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


def test_losses(reference_case):
    loss = metric_loss(
        reference_case["distance"], reference_case["labels"], reference_case["prototype_labels"]
    )
    torch.testing.assert_close(
        loss, reference_case["metric_loss"].reshape(()), rtol=1e-5, atol=1e-6
    )
    loss = consistency_loss(reference_case["features"], reference_case["features_flipped"])
    torch.testing.assert_close(
        loss, reference_case["consistency_loss"].reshape(()), rtol=1e-5, atol=1e-6
    )


def test_alignment_with_the_best_mirrored_copy():
    torch.manual_seed(0)
    features, mass = torch.rand(2, 4, 3, 5), torch.full((2, 15), 1 / 15)
    turned = torch.stack([features[0].flip(-1), features[1].flip(-2)])
    mirrors = ((), (-1,), (-2,), (-2, -1))
    best = alignment_loss(features, turned, mass, mirrors=mirrors)
    torch.testing.assert_close(best, alignment_loss(features, features, mass))
    assert best < alignment_loss(features, turned, mass)
