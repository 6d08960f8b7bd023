"""Tests of `studies.ablation`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from expert.errors import RecipeError
from expert.model import PrototypeRegressor
from expert.training.recipe import read_recipe
from studies.ablation import BASE, VARIANTS, Variant, scale_epochs, select_variants


def test_every_variant_changes_what_it_says_or_nothing(squares_recipe):
    for variant in VARIANTS:
        if "architecture.stride" in variant.changes:  # below
            continue
        if variant.only:
            assert variant.of(squares_recipe) is squares_recipe
            continue
        if variant.name == "alignment":
            with pytest.raises(RecipeError, match="aligned images"):
                variant.of(squares_recipe)
            continue
        changed = variant.of(squares_recipe).model_dump()
        for field, value in variant.changes.items():
            if value == "published":
                value = (
                    0,
                    squares_recipe.schedule.epochs // 4,
                    squares_recipe.schedule.epochs // 3,
                )
                changed["projection"]["every"] = squares_recipe.projection.every
            part, _, name = field.rpartition(".")
            one, other = (
                getattr(of, part) if part else of
                for of in (variant.of(squares_recipe), squares_recipe)
            )
            now, before = getattr(one, name), getattr(other, name)
            assert now == (
                pytest.approx(before * float(value[1:]))
                if isinstance(value, str) and value[0] == "×"
                else value
            )
            (changed[part] if part else changed)[name] = before
        assert type(squares_recipe).model_validate(changed) == squares_recipe
    with pytest.raises(RecipeError, match="which no recipe has"):
        Variant("odd", "", {"architecture.colour": 1}).of(squares_recipe)
    with pytest.raises(RecipeError, match="stride"):
        Variant("odd", "", {"architecture.pool": 3}).of(squares_recipe)
    with pytest.raises(RecipeError, match="There is no variant 'none'"):
        select_variants(["none"])
    assert [variant.name for variant in select_variants(["position"])] == [BASE, "position"]


def test_variants_of_a_recipe_with_place_maps():
    recipe = read_recipe(Path(__file__).parents[2] / "recipes" / "brain-age-coarse.yaml")
    variants = {variant.name: variant for variant in VARIANTS if variant.only}
    one = variants["one function"].of(recipe).architecture
    assert (one.places, one.widths) == ((), (64, 64))
    assert not variants["free prototypes"].of(recipe).projection.every_step


def test_the_stride_is_halved_by_the_pooling_or_else_by_the_last_stage(squares_recipe):
    finer, coarser = (Variant("", "", {"architecture.stride": factor}) for factor in ("÷2", "×2"))
    stride, settings = squares_recipe.architecture.stride, squares_recipe.architecture
    for pool, widths in ((1, settings.widths), (2, settings.widths[:-1])):
        same = squares_recipe.model_copy(
            update={"architecture": settings.model_copy(update={"pool": pool, "widths": widths})}
        )
        assert same.architecture.stride == stride
        half = finer.of(same).architecture
        assert (half.stride, half.pool) == (stride // 2, 1)
    wide = squares_recipe.model_copy(
        update={
            "input": squares_recipe.input.model_copy(update={"shape": (4 * stride, 6 * stride)})
        }
    )
    assert coarser.of(wide).architecture.stride == 2 * stride
    one = squares_recipe.model_copy(
        update={"architecture": settings.model_copy(update={"pool": 1, "widths": (8,)})}
    )
    assert finer.of(one) == one


def test_averages_are_trained_as_averages():
    recipe = read_recipe(Path(__file__).parents[2] / "recipes" / "ixi-axial.yaml")
    (average,) = (variant.of(recipe) for variant in VARIANTS if variant.name == "average")
    assert recipe.schedule.by_position
    assert not average.schedule.by_position
    network = PrototypeRegressor(average.architecture, average.grid)
    features = torch.rand(
        2, average.architecture.latent, *average.grid, generator=torch.Generator().manual_seed(1)
    )
    mass = torch.full((2, int(np.prod(average.grid))), 1 / np.prod(average.grid))
    trained = network.training_distance(features, mass, by_position=average.schedule.by_position)
    torch.testing.assert_close(trained, network.compare(features, mass).distance)


def test_a_smaller_budget_moves_the_projections_with_the_epochs(squares_recipe):
    short = scale_epochs(squares_recipe, 0.5)
    assert (short.warmup.epochs, short.schedule.epochs, short.projection.every) == (2, 2, 1)
    assert scale_epochs(squares_recipe, 1.0) is squares_recipe
