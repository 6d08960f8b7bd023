"""Sites that can be held out, and the interval under shift from their errors."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from expert.datasets.prepared_dataset import CohortArrays
from expert.datasets.table import Entry
from expert.schema import Calibration
from expert.training.recipe import Recipe
from expert.training.site_validation import held_out_sites, site_figures


def cohort(sites: list[str]) -> CohortArrays:
    """Subjects without images."""
    labels = np.linspace(20, 80, len(sites))
    entries = tuple(
        Entry(f"s{n}", f"{n}.png", Path(f"{n}.png"), label, None, "0" * 64, site)
        for n, (label, site) in enumerate(zip(labels, sites, strict=True))
    )
    empty = np.zeros((len(sites), 1, 8, 8), np.uint8)
    unknown = np.full((len(sites), 4, 4), np.nan)
    return CohortArrays(empty, empty, labels, unknown, labels * np.nan, (None,), entries)


def recipe(prototypes: int) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "r",
            "dataset": "d",
            "licence": "l",
            "input": {"space": "image", "shape": [64, 64], "center_mm": [0, 0]},
            "architecture": {"prototypes": prototypes, "widths": [8], "channels": 4},
        }
    )


def test_a_site_is_held_out_if_enough_subjects_remain():
    both = cohort(["North"] * 6 + ["South"] * 3)
    assert list(held_out_sites(recipe(2), both)) == ["North", "South"]
    found = held_out_sites(recipe(4), both)
    assert list(found) == ["South"]
    np.testing.assert_array_equal(found["South"], [6, 7, 8])
    assert held_out_sites(recipe(2), cohort(["North"] * 5)) == {}
    assert held_out_sites(recipe(2), cohort([""] * 5)) == {}


def test_figures_and_half_width(tmp_path):
    both = cohort(["North"] * 6 + ["South"] * 4)
    usual = Calibration(half_width=2.0, nearest_distance_limit=1.0, images=10)
    parts = [np.arange(0, 10, 2), np.arange(1, 10, 2), *held_out_sites(recipe(5), both).values()]
    for number, rows in enumerate(parts):
        shift = 1.0 if number < 2 else 7.0
        (tmp_path / f"fold{number}").mkdir()
        (tmp_path / f"fold{number}" / "result.json").write_text(
            json.dumps({"prediction": (both.labels[rows] + shift).tolist()})
        )
    figures, half = site_figures(recipe(5), both, parts, tmp_path, usual)
    assert [(one.name, one.kind) for one in figures] == [
        ("North", "cross-validation"),
        ("South", "cross-validation"),
        ("South", "site held out"),
    ]
    assert [one.mae for one in figures] == pytest.approx([1.0, 1.0, 7.0])
    assert figures[2].mean_error == pytest.approx(7.0)
    assert half == pytest.approx(2.0 + 7.0)
    assert figures[2].interval_coverage == 1.0


def test_without_an_error_of_the_site_the_half_width_is_the_usual_one(tmp_path):
    both = cohort(["North"] * 6 + ["South"] * 4)
    usual = Calibration(half_width=20.0, nearest_distance_limit=1.0, images=10)
    parts = [np.arange(10), np.arange(6, 10)]
    for number, rows in enumerate(parts):
        (tmp_path / f"fold{number}").mkdir()
        (tmp_path / f"fold{number}" / "result.json").write_text(
            json.dumps({"prediction": both.labels[rows].tolist()})
        )
    assert site_figures(recipe(5), both, parts, tmp_path, usual)[1] == 20.0


def test_one_site_needs_no_table(tmp_path):
    one = cohort([""] * 4)
    usual = Calibration(half_width=2.0, nearest_distance_limit=1.0, images=4)
    (tmp_path / "fold0").mkdir()
    (tmp_path / "fold0" / "result.json").write_text(json.dumps({"prediction": [0, 0, 0, 0]}))
    assert site_figures(recipe(2), replace(one), [np.arange(4)], tmp_path, usual) == ((), None)
