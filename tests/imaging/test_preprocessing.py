"""Tests of `expert.imaging.preprocessing`."""

from __future__ import annotations

import numpy as np
import pytest

from expert.errors import InputError
from expert.imaging.preprocessing import WHITE, prepare
from expert.imaging.registration import Registration
from expert.imaging.resampling import resample_to_template
from expert.imaging.template import load_template
from expert.schema import InputSettings
from expert.training.recipe import read_recipe


def test_a_model_that_measures_sizes_refuses_an_image_without_one(tiny_recipe, squares):
    from expert.imaging.volume import read_volume

    recipe = read_recipe(tiny_recipe).input
    sized = type(recipe).model_validate(recipe.model_dump() | {"sized": True})
    image = squares.parent / "square-03.png"
    with pytest.raises(InputError, match="--pixel-size-mm"):
        prepare(read_volume(image), sized)
    assert prepare(read_volume(image, pixel_size_mm=1.0), sized).images.any()
    assert prepare(read_volume(image), recipe).images.any()
    with pytest.raises(ValueError, match="plain images"):
        type(recipe)(sized=True)
    assert "sized" not in recipe.model_dump()


RECIPE = InputSettings(intensity="white matter")


def test_prepared_white_matter(known_head):
    head, registration = known_head
    prepared = prepare(head, RECIPE, registration=registration)
    view = prepared.affines[2]
    template = load_template("wm")
    grid = view[:, [2, 0, 1, 3]]
    wm = (
        resample_to_template(template, Registration.known(np.eye(4)), grid, (1, *RECIPE.shape))[0]
        > 250
    )
    assert np.median(prepared.images[2][wm]) == pytest.approx(255 * WHITE, abs=8)
