"""Tests of `studies.outcome`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from expert.datasets.table import read_table
from expert.errors import InputError
from expert.training.run_folder import run_fingerprint
from studies.cross_validation import cross_validate
from studies.outcome import pooled_measures


def test_folds_of_another_budget_table_or_recipe_are_not_told_as_these(
    benched, squares_recipe, squares
):
    path, variants = benched
    same = {"variants": variants, "folds": 2, "budget": 0.5, "subjects": 3, "run": False}
    wider = squares_recipe.model_copy(
        update={"architecture": squares_recipe.architecture.model_copy(update={"radius": 9.0})}
    )
    renamed = squares_recipe.model_copy(update={"version": "2", "card": "Other words."})
    for other, changes in (
        (squares_recipe, {"budget": 1.0}),
        (squares_recipe, {"folds": 3}),
        (wider, {}),
    ):
        with pytest.raises(InputError, match="another recipe, budget, table or number of folds"):
            cross_validate([other], squares, path.parent, **same | changes)
    # Another image, another pixel size.
    entries = read_table(squares)
    known, swapped = (
        run_fingerprint(squares_recipe, of, 2)
        for of in (entries, (entries[1], entries[0], *entries[2:]))
    )
    assert known != swapped
    assert known != run_fingerprint(
        squares_recipe, (replace(entries[0], pixel_size_mm=2.0), *entries[1:]), 2
    )
    assert cross_validate([renamed], squares, path.parent, **same).read_text() == path.read_text()


def test_folds_are_models_and_intervals_are_over_them():
    def figure(value, half, subjects):
        return {
            "x": {
                "value": value,
                "low": value - half,
                "high": value + half,
                "subjects": subjects,
                "chance": None,
            }
        }

    single = pooled_measures([figure(value, 0.0, 1) for value in (1.0, 2.0, 6.0)])["x"]
    assert (single.value, single.subjects) == (3.0, 3)
    assert single.high - single.value == pytest.approx(
        4.3027 * np.sqrt(7) / np.sqrt(3), rel=1e-4
    )  # t of 2 degrees
    several = pooled_measures([figure(1.0, 0.1, 4), figure(2.0, 0.1, 4)])["x"]
    assert several.low < 0 < 3 < several.high  # models that disagree, though each is sure
    alone = pooled_measures([figure(1.0, 0.5, 4)])["x"]
    assert (alone.low, alone.high) == (0.5, 1.5)
