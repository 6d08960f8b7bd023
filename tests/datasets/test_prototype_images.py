"""Tests of `expert.datasets.prototype_images`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from helpers.squares import changed

from expert.datasets.derived_images import grey_pixels, pixels_checksum
from expert.datasets.fetching import cache_folder, public_address
from expert.datasets.prepared_dataset import load_cohort
from expert.datasets.prototype_images import prototype_image
from expert.datasets.table import read_table
from expert.model_file import load_model
from expert.training.pipeline import train
from expert.training.recipe import read_recipe


def test_a_prototype_by_reference_is_shown_at_its_own_pixel_size(tiny_recipe, squares, tmp_path):
    table = tmp_path / "table.csv"
    rows = squares.read_text().replace(",1.0", ",1.7").splitlines()
    table.write_text("\n".join(rows))
    for image in squares.parent.glob("*.png"):
        (tmp_path / image.name).write_bytes(image.read_bytes())
    recipe = changed(read_recipe(tiny_recipe), prototype_images="reference")
    model = load_model(
        train(recipe, table, tmp_path / "m.safetensors", prepared=tmp_path / "prepared", jobs=1)
    )
    cohort = load_cohort(read_table(table), recipe.input, tmp_path / "prepared")
    own = {entry.name: image[0] for entry, image in zip(cohort.entries, cohort.images, strict=True)}
    for number, prototype in enumerate(model.info.prototypes):
        image, message = prototype_image(model, number, tmp_path)
        assert not message
        pixels = grey_pixels(tmp_path / prototype.reference.file)
        assert prototype.reference.pixels_sha256 == pixels_checksum(pixels)
        np.testing.assert_array_equal(image, own[prototype.reference.file])


def test_the_prototypes_of_fetal_heads_can_be_made_from_public_originals(hc18, fetal_model):
    for number, prototype in list(enumerate(fetal_model.info.prototypes))[::10]:
        reference = prototype.reference
        assert public_address(reference).startswith("https://zenodo.org/")
        found = next(hc18.rglob(reference.file.rsplit("/", 1)[-1]))
        assert reference.pixels_sha256 == pixels_checksum(grey_pixels(found))
        image, message = prototype_image(fetal_model, number, hc18)
        assert not message
        assert image.shape == fetal_model.info.input.shape
        assert not image[0].any()


def test_rendered_images_of_public_data_sets_are_kept(referring):
    model = load_model(referring.file)
    first, message = prototype_image(model, 0, referring.data)
    assert not message
    (kept,) = (cache_folder().parent / "rendered").iterdir()
    again, message = prototype_image(model, 0)  # without the folder
    np.testing.assert_array_equal(again, first)
    assert not message
    kept.write_bytes(kept.read_bytes()[:100])
    assert prototype_image(model, 0)[0] is None
    np.testing.assert_array_equal(prototype_image(model, 0, referring.data)[0], first)
    np.testing.assert_array_equal(prototype_image(model, 0)[0], first)


def test_images_that_are_not_public_stay_in_their_folder(referring):
    model = load_model(referring.file)
    own = model.info.prototypes[0].reference.model_copy(update={"dataset": "our clinic"})
    prototypes = (
        model.info.prototypes[0].model_copy(update={"reference": own}),
        *model.info.prototypes[1:],
    )
    model = replace(model, info=model.info.model_copy(update={"prototypes": prototypes}))
    assert prototype_image(model, 0, referring.data / "IXI")[0] is not None
    assert not (cache_folder().parent / "rendered").exists()
    assert prototype_image(model, 0)[0] is None
