"""Tests of `expert.evaluation.matching_quality`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.hand_made import (
    FLAT,
    Nothing,
    Pixels,
    Position,
    Restless,
    both,
    cohort,
    grid_of,
    measured,
    network,
    picture,
    pictures,
    prototypes,
)

from expert.evaluation.explanation_metrics import measure_explanations
from expert.evaluation.matching_quality import (
    chance_level,
    measure_plans,
    patch_centers,
    self_match,
    shifted_match,
)
from expert.model import PrototypeRegressor
from expert.schema import Architecture


@both
def test_what_sees_content_follows_it(recipe):
    found, chance = self_match(
        network(recipe, Pixels(grid_of(recipe)), *prototypes(recipe)), *picture(recipe)
    )
    assert found["shift"] == 1
    assert found["contrast"] == 1
    assert chance["shift"] < 0.06
    # Mirrored boxes hold mirrored pixels: noise does not look like its mirror image.
    assert found["flip"] < 0.5


@both
def test_what_knows_only_its_place_does_not(recipe):
    found, _ = self_match(
        network(recipe, Position(grid_of(recipe)), *prototypes(recipe)), *picture(recipe)
    )
    assert found["shift"] == 0
    assert found["contrast"] == 1
    assert found["flip"] == pytest.approx(1 / grid_of(recipe)[-1])  # the middle column
    assert found["flip, same place"] == 1
    assert found["mean"] == pytest.approx(
        np.mean([found[name] for name in ("shift", "flip", "rotation", "contrast")])
    )
    out = measured(recipe, Position(grid_of(recipe)))
    for figures in (out.prototypes, out.between_subjects):
        assert figures["displacement_mm"].value < 0.1
        assert figures["displacement_mm"].chance > 50
        assert figures["best_share"].value > 0.99
        assert figures["side_confusion"].value < 0.01


@both
@pytest.mark.parametrize("matching", ["position", "average"])
def test_a_model_that_does_not_match_is_measured_as_it_is(recipe, matching):
    net = network(recipe, Pixels(grid_of(recipe)), *prototypes(recipe), matching=matching)
    found, _ = self_match(net, *picture(recipe))
    if matching == "position":
        assert found["shift"] == 0
        assert found["flip, same place"] == 1
    else:
        assert found["shift"] == pytest.approx(1 / np.prod(grid_of(recipe)))


@both
def test_places_are_followed_in_others_only_by_what_they_have_in_common(recipe):
    common = pictures(recipe, 1, 7)[0].astype(float)
    one, other = (
        np.clip(common + np.random.default_rng(n).normal(0, 10, common.shape), 0, 255)
        for n in range(2)
    )
    content = np.full(recipe.shape, 255)
    found = {}
    for backbone in (Pixels, Position, Restless):
        found[backbone], chance = shifted_match(
            network(recipe, backbone(grid_of(recipe)), *prototypes(recipe)),
            one,
            content,
            other,
            content,
        )
    assert found[Pixels] == 1
    assert found[Position] == 0
    assert found[Restless] < 0.2
    assert 0.01 < chance < 0.06


@both
def test_a_plan_that_says_nothing_is_chance(recipe):
    out = measured(recipe, Nothing(grid_of(recipe)))
    cells = np.prod(grid_of(recipe))
    for name in out.prototypes:
        assert out.prototypes[name].value == pytest.approx(out.prototypes[name].chance)
    assert out.prototypes["best_share"].value == pytest.approx(1 / cells)
    assert out.prototypes["side_confusion"].value == pytest.approx(2 / 5)  # two of five columns
    assert out.self_match["shift"].value == pytest.approx(
        1 / cells, rel=1e-3
    )  # ties count as what they are


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_an_untrained_network_is_not_above_chance(seed):
    torch.manual_seed(seed)
    architecture = Architecture(widths=(8,), pool=2, channels=16, prototypes=3, radius=60.0)
    net = PrototypeRegressor(architecture, (6, 5)).eval().requires_grad_(False)
    with torch.no_grad():
        net.prototypes.data = net.backbone(
            torch.from_numpy(pictures(FLAT, 3, 5)).float()[:, None] / 255
        )
    out = measure_explanations(net, FLAT, cohort(FLAT, pictures(FLAT, 5, 6)), subjects=3)
    # The largest of thirty random shares is above their mean, and the padding tells the picture's
    # edges apart: yet no match.
    assert out.prototypes["best_share"].value < 0.2
    assert out.prototypes["displacement_mm"].value > 0.5 * out.prototypes["displacement_mm"].chance
    assert out.prototypes["side_confusion"].value > 0.1


def test_mass_on_background_and_on_the_other_side():
    centers = patch_centers(FLAT, (6, 5), 3.0)
    assert centers[:5, 0].tolist() == [-64, -32, 0, 32, 64]
    own, partners = np.ones(30, dtype=bool), np.ones((1, 30), dtype=bool)
    partners[0, :10] = False
    mirror = np.eye(30)[np.flip(np.arange(30).reshape(6, 5), 1).ravel()][None] / 30
    away = measure_plans(mirror, own, partners, np.ones(1), centers)
    assert away.side_confusion == 1
    assert away.background_mass == pytest.approx(1 / 3)
    assert away.best_share == 1
    assert away.displacement_mm == pytest.approx((128 + 64 + 0 + 64 + 128) / 5)
    one_cell_down = np.eye(30)[np.roll(np.arange(30), -5)][None] / 30
    down = measure_plans(one_cell_down, own & (np.arange(30) < 25), partners, np.ones(1), centers)
    assert down.displacement_mm == pytest.approx(32)
    assert down.side_confusion == 0
    # Partners count by weight; what has none does not count.
    two = np.concatenate([mirror, np.eye(30)[None] / 30])
    assert (
        measure_plans(
            two, own, partners.repeat(2, 0), np.array([0.0, 2.0]), centers
        ).displacement_mm
        == 0
    )
    assert (
        measure_plans(two, own, partners.repeat(2, 0), np.array([1.0, 3.0]), centers).side_confusion
        == 0.25
    )
    assert chance_level(own, partners, np.ones(1), centers).background_mass == pytest.approx(1 / 3)
    assert np.isnan(measure_plans(mirror, ~own, partners, np.ones(1), centers).best_share)
    assert np.isnan(measure_plans(mirror, own, partners, np.ones(1), None).displacement_mm)
