"""Measures of explanations, held to networks made by hand of which the answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hand_made import (
    FLAT,
    GAIN,
    SOLID,
    Neighbour,
    Nothing,
    OneCell,
    Pixels,
    Position,
    Restless,
    cohort,
    grid_of,
    network,
    pictures,
)

from expert.backbone import Backbone
from expert.comparison import compare_images
from expert.errors import InputError
from expert.evaluation import deletion as occlusion
from expert.evaluation.bootstrap import over_subjects
from expert.evaluation.explanation_metrics import measure_explanations
from expert.evaluation.fidelity import exactness, jaccard, stability
from expert.evaluation.matching_quality import (
    cell_centers,
    chance_of,
    follows,
    measure_plans,
    self_match,
)
from expert.evaluation.perturbations import known_changes, rotated_cells, shifted
from expert.model import PrototypeRegressor
from expert.schema import Architecture
from studies.untrained_baseline import untrained

both = pytest.mark.parametrize("recipe", [FLAT, SOLID], ids=["2D", "3D"])


def measured(recipe, backbone, **settings):
    images = pictures(recipe, 6, 1)
    net = network(recipe, backbone, images[:3], np.array([20.0, 50.0, 80.0]), **settings)
    return measure_explanations(net, recipe, cohort(recipe, images), subjects=4)


# --- correspondence -------------------------------------------------------------------------------
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
        found[backbone], chance = follows(
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
    centers = cell_centers(FLAT, (6, 5), 3.0)
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
    assert chance_of(own, partners, np.ones(1), centers).background_mass == pytest.approx(1 / 3)
    assert np.isnan(measure_plans(mirror, ~own, partners, np.ones(1), centers).best_share)
    assert np.isnan(measure_plans(mirror, own, partners, np.ones(1), None).displacement_mm)


@both
def test_cells_that_left_or_became_background_are_left_out(recipe):
    image, content = picture(recipe)
    changes = {}
    for change in known_changes(image, content, grid_of(recipe)):
        changes.setdefault(change.name, []).append(change)
    assert len(changes["shift"]) == len(recipe.shape)
    last = changes["shift"][-1]
    away = last.partner.reshape(grid_of(recipe))[..., -1]
    assert (away == -1).all()
    assert (last.partner >= 0).sum() == last.partner.size * (1 - 1 / grid_of(recipe)[-1])
    assert not last.image[..., :8].any()
    assert np.array_equal(last.image[..., 8:], image[..., :-8])
    content = np.zeros_like(content)
    content[..., 16:24] = 255  # one column of cells in the middle
    found, chance = self_match(
        network(recipe, Pixels(grid_of(recipe)), *prototypes(recipe)), image, content
    )
    assert found["shift"] == 1
    assert chance["flip"] == pytest.approx(1 / (np.prod(grid_of(recipe)) / 5))


def test_the_true_cell_of_a_rotation_is_where_the_centre_went():
    image = np.zeros(FLAT.shape)
    for cell, true in enumerate(rotated_cells(FLAT.shape, (6, 5), 10.0)):
        row, column = divmod(cell, 5)
        image[:] = 0
        image[row * 8 + 3 : row * 8 + 5, column * 8 + 3 : column * 8 + 5] = 255
        moved = next(c for c in known_changes(image, image, (6, 5)) if c.name == "rotation").image
        if true >= 0:
            place = np.array(np.nonzero(moved > 100)).mean(axis=1)
            assert abs(place - (np.array(divmod(true, 5)) * 8 + 3.5)).max() < 5
    assert rotated_cells(FLAT.shape, (6, 5), 0.0).tolist() == list(range(30))
    assert rotated_cells((10, 20, 20), (1, 2, 2), 90.0).tolist() in ([1, 3, 0, 2], [2, 0, 3, 1])


def test_the_subject_itself_does_not_speak_for_itself():
    images = pictures(FLAT, 2, 3)
    moved = shifted(images, 8, 2)  # the prototypes: each subject, and each a cell to the side
    shown = np.concatenate([images, moved])
    net = network(FLAT, Pixels((6, 5)), shown, np.array([20.0, 30.0, 40.0, 50.0]), radius=100.0)
    arrays = cohort(FLAT, images)
    with_itself = measure_explanations(net, FLAT, arrays, subjects=2)
    without = measure_explanations(
        net, FLAT, arrays, subjects=2, source_subjects=["s0", "s1", "x", "y"]
    )
    assert without.own_left_out == 2
    assert with_itself.own_left_out == 0
    assert (
        without.prototypes["displacement_mm"].value
        > with_itself.prototypes["displacement_mm"].value + 5
    )
    assert without.distinct_prototypes == 4
    # All prototypes show the subject itself: nothing to measure, nothing said.
    alone = measure_explanations(net, FLAT, arrays, subjects=1, source_subjects=["s0"] * 4)
    other = measure_explanations(net, FLAT, arrays, subjects=1, source_subjects=["s1"] * 4)
    assert [m.prototypes["best_share"] is None for m in (alone, other)].count(True) == 1


# --- trust ----------------------------------------------------------------------------------------
@both
def test_an_explanation_adds_up_and_a_false_one_does_not(recipe):
    net = network(recipe, Pixels(grid_of(recipe)), *prototypes(recipe))
    image, content = picture(recipe)
    result = compare_images(net, image[None], content[None])
    exact = exactness(net, image[None], content[None], result)
    assert max(exact.prediction, exact.distance, exact.shares) < 1e-10
    assert exact.forward < 1e-3
    assert exact.marginal_error < 1e-4
    assert (
        exactness(
            net, image[None], content[None], replace(result, distances=result.distances + 0.5)
        ).distance
        > 0.4
    )
    false = replace(result, view_shares=np.roll(result.view_shares, 1, axis=1) * 1.1)
    assert exactness(net, image[None], content[None], false).prediction > 1
    assert exactness(net, image[None], content[None], false).shares == pytest.approx(0.1)


@both
def test_stability_of_the_steady_and_of_the_restless(recipe):
    image, content = picture(recipe)
    outcome = {}
    for backbone in (Position, Restless):
        net = network(
            recipe,
            backbone(grid_of(recipe)),
            pictures(recipe, 12, 9),
            np.linspace(20, 80, 12),
            radius=500.0,
        )
        result = compare_images(net, image[None], content[None])
        outcome[backbone] = stability(net, image[None], content[None], result, 0)
    assert set(outcome[Position]) == {"noise", "shift of 1", "shift of 2", "flip"}
    for steady in outcome[Position].values():
        assert (steady.prototypes, steady.matches) == (1, 1)
        assert steady.prediction < 1e-9
    for restless in outcome[Restless].values():
        assert restless.matches < 0.3
        assert restless.prototypes < 0.9
        assert restless.prediction > 0


def test_jaccard():
    assert jaccard([1, 2, 3], [3, 2, 1]) == 1
    assert jaccard([1, 2], [2, 3]) == pytest.approx(1 / 3)


# --- occlusion ------------------------------------------------------------------------------------
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
    real = occlusion.pull
    monkeypatch.setattr(occlusion, "pull", lambda *args: 1 / (1e-3 + np.abs(real(*args))))
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


# --- all together ---------------------------------------------------------------------------------
def test_the_control_is_of_the_same_kind_and_untrained():
    images = pictures(FLAT, 8, 1)
    architecture = Architecture(widths=(4,), pool=2, channels=8, prototypes=5, radius=6.0)
    net = PrototypeRegressor(architecture, (6, 5))
    (one, sources), (again, _) = (untrained(net, FLAT, cohort(FLAT, images), 3) for _ in range(2))
    assert torch.equal(one.prototypes, again.prototypes)
    assert not torch.equal(
        one.prototypes, untrained(net, FLAT, cohort(FLAT, images), 4)[0].prototypes
    )
    assert len({*sources}) == 5
    out = measure_explanations(one, FLAT, cohort(FLAT, images), subjects=3, source_subjects=sources)
    assert out.own_left_out > 0
    assert not np.isnan(compare_images(one, images[:1], np.full_like(images[:1], 255)).prediction)


def test_intervals_are_over_subjects():
    figure = over_subjects([1.0, 3.0, np.nan], [0.5, 0.7, 9.0])
    assert (figure.value, figure.subjects, figure.chance) == (2.0, 2, 0.6)
    assert figure.low == 1
    assert figure.high == 3
    assert over_subjects([np.nan]) is None
    # Five images of one subject are no five subjects.
    whose = np.repeat(np.arange(6), 5)
    values = np.random.default_rng(1).normal(0, 1, 6)[whose]
    images, people = over_subjects(values), over_subjects(values, subjects=whose)
    assert people.value == images.value
    assert people.subjects == 6
    assert people.high - people.low > 1.8 * (images.high - images.low)
    assert over_subjects(values, subjects=[f"{n:02}" for n in range(30)]) == images
    wide, narrow = over_subjects(np.arange(5.0)), over_subjects(np.arange(500.0) / 100)
    assert wide.high - wide.low > 5 * (narrow.high - narrow.low)


def test_the_same_seed_gives_the_same_figures_and_another_draws_others():
    images = pictures(FLAT, 8, 1)
    net = network(FLAT, Pixels((6, 5)), images[:3], np.array([20.0, 50.0, 80.0]), radius=100.0)
    arrays = cohort(FLAT, images)
    told = []
    one, two = (
        measure_explanations(
            net, FLAT, arrays, subjects=3, progress=lambda stage, part: told.append((stage, part))
        )
        for _ in range(2)
    )
    assert one == two
    assert told[-1] == ("explain", 1.0)
    assert one != measure_explanations(net, FLAT, arrays, subjects=3, seed=5)
    assert (one.subjects, one.views, one.cell) == (3, 1, (8, 8))
    assert all(isinstance(name, str) and isinstance(value, str) for name, value in one.lines())
    with pytest.raises(InputError, match="At least one"):
        measure_explanations(net, FLAT, arrays, subjects=0)


def test_a_single_subject_is_measured_as_far_as_can_be():
    images = pictures(FLAT, 1, 1)
    net = network(FLAT, Pixels((6, 5)), pictures(FLAT, 3, 2), np.array([20.0, 50.0, 80.0]))
    out = measure_explanations(net, FLAT, cohort(FLAT, images))
    assert out.between_subjects["best_share"] is None
    assert out.deletion["gain"] is None
    assert out.self_match["shift"].value == 1
    assert ("deletion: area between the two", "not available") in out.lines()


def prototypes(recipe):
    return pictures(recipe, 3, 2), np.array([20.0, 50.0, 80.0])


def picture(recipe):
    image = pictures(recipe, 1, 7)[0]
    return image, np.full_like(image, 255)
