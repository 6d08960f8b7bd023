"""Tests of `expert.training.run_folder`."""

from __future__ import annotations

import csv

import pytest
from helpers.squares import changed

from expert.errors import ExpertError
from expert.training.pipeline import train
from expert.training.recipe import read_recipe


def test_the_folder_of_a_run_is_of_one_split(tiny_recipe, squares, tmp_path):
    recipe, folder = (
        changed(read_recipe(tiny_recipe), schedule={"epochs": 1}, warmup={"epochs": 1}),
        tmp_path / "run",
    )

    def fold(table, folds, **words):
        one = recipe.model_copy(update=words)
        return train(
            one, table, tmp_path / "m.safetensors", folds=folds, only_fold=0, run=folder, jobs=1
        )

    fold(squares, 3)
    fold(squares, 3, version="2", card="Other words.")
    with pytest.raises(ExpertError, match="number of folds"):
        fold(squares, 4)
    with squares.open() as file:
        rows = list(csv.DictReader(file))
    lines = [
        f"{n // 2},{squares.parent / row['file']},{row['label']},1.0" for n, row in enumerate(rows)
    ]
    (tmp_path / "pairs.csv").write_text("subject,file,label,pixel_size_mm\n" + "\n".join(lines))
    with pytest.raises(ExpertError, match="another recipe, table"):
        fold(tmp_path / "pairs.csv", 3)
