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


def test_a_fetal_head_is_prepared_in_its_frame():
    from dataclasses import replace

    from helpers.drawn_heads import drawn_head

    from expert.features.head_frame import circumference_of

    settings = InputSettings(space="ellipse", shape=(80, 112))
    prepared = prepare(drawn_head(60.0), settings)
    assert not prepared.refusal
    outline = prepared.outline
    assert circumference_of(prepared.images[0]) == pytest.approx(outline.circumference, abs=0.01)
    assert not prepared.shown[0, 0].any()
    assert not prepared.content[0, 0].any()
    place = prepared.affines[0] @ [39.5, 55.5, 0, 1]
    assert np.allclose(place[:2], outline.center)
    known = prepare(drawn_head(60.0), settings, outline=outline)
    assert np.array_equal(known.images, prepared.images)
    with pytest.raises(InputError, match="--pixel-size-mm"):
        prepare(replace(drawn_head(), spacing_known=False), settings)
    with pytest.raises(InputError, match="constant"):
        prepare(replace(drawn_head(), data=np.full((90, 90), 7, np.uint8)), settings)


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
