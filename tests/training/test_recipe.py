"""Tests of `expert.training.recipe`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from expert.errors import RecipeError
from expert.model_file import load_model, shipped_models
from expert.training.recipe import Recipe, read_recipe


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": None}, "name"),
        ({"architecture": {"prototypes": 1}}, "prototypes"),
        ({"typo": 1}, "typo"),
        ({"input": {"space": "image", "shape": [33, 32]}}, "stride"),
    ],
)
def test_bad_recipes_name_the_field(tiny_recipe, change, message, tmp_path):
    document = yaml.safe_load(tiny_recipe.read_text())
    document.update(change)
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(RecipeError, match=message) as caught:
        read_recipe(path)
    assert "\n" not in str(caught.value)


def test_shipped_recipes_are_valid_and_made_the_shipped_models():

    recipes = {
        path.stem: read_recipe(path)
        for path in (Path(__file__).parents[2] / "recipes").glob("*.yaml")
    }
    assert all(recipe.name == name for name, recipe in recipes.items())
    for name in shipped_models():
        recipe, model = recipes[name], load_model(name)
        made = json.loads(json.dumps(model.info.training.recipe))
        assert made == recipe.model_dump(mode="json", exclude={"card"}), name
        assert model.info.card == recipe.card, name


def test_what_members_cannot_do_is_told(members_recipe):
    document = members_recipe.model_dump()
    document["schedule"] |= {"validation": 0.2}
    with pytest.raises(ValueError, match=r"architecture\.members and architecture\.guide need"):
        Recipe.model_validate(document)


def test_losses_that_need_images_are_refused(tissue_recipe):
    for name in ("equivariance", "consistency"):
        document = tissue_recipe.model_dump()
        document["losses"][name] = 1.0
        with pytest.raises(ValueError, match="histogram"):
            Recipe.model_validate(document)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"floor": True}, "floor is no longer supported"),
        ({"planes": 3}, "prototypes of 3 planes need 3 explained planes, not 2"),
        ({"matching": "average"}, "guide is for matching by transport"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(planes_recipe, change, said):
    document = planes_recipe.model_dump()
    document["architecture"] |= change
    with pytest.raises(ValueError, match=said):
        Recipe.model_validate(document)
