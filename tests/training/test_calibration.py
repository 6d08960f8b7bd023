"""Tests of `expert.training.calibration`."""

from __future__ import annotations

import csv

import pytest
from helpers.squares import draw_squares

from expert.errors import InputError
from expert.model_file import load_model
from expert.training.pipeline import train
from expert.training.recipe import read_recipe


def test_calibration_from_images_kept_out(tiny_recipe, squares, tmp_path):
    kept = draw_squares(tmp_path / "kept", 12, 5)
    model = load_model(
        train(
            read_recipe(tiny_recipe), squares, tmp_path / "m.safetensors", calibration=kept, jobs=1
        )
    )
    assert model.info.calibration.images == 12
    with pytest.raises(InputError, match="training images too"):
        train(
            read_recipe(tiny_recipe),
            squares,
            tmp_path / "n.safetensors",
            calibration=squares,
            jobs=1,
        )
    # Other images of the same people are refused as well.
    mine, theirs = (tmp_path / name for name in ("mine.csv", "theirs.csv"))
    for target, source in ((mine, squares), (theirs, kept)):
        with source.open() as file:
            rows = list(csv.DictReader(file))
        told = [
            f"{n},{source.parent / row['file']},{row['label']},1.0" for n, row in enumerate(rows)
        ]
        target.write_text("subject,file,label,pixel_size_mm\n" + "\n".join(told))
    with pytest.raises(
        InputError, match="12 subjects of the calibration table are training subjects too"
    ):
        train(
            read_recipe(tiny_recipe), mine, tmp_path / "n.safetensors", calibration=theirs, jobs=1
        )
