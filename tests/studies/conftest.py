"""Fixtures of these tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from expert.datasets.phantom import write_cohort
from expert.training.recipe import read_recipe
from studies.cross_validation import cross_validate


@pytest.fixture(scope="session")
def squares_recipe(tiny_recipe):
    return read_recipe(tiny_recipe)


@pytest.fixture(scope="session")
def benched(squares_recipe, squares, tmp_path_factory):
    folder = tmp_path_factory.mktemp("benchmark")
    variants = ["average", "position", "published projection"]
    return cross_validate(
        [squares_recipe], squares, folder, variants=variants, folds=2, budget=0.5, subjects=3
    ), variants


@pytest.fixture(scope="session")
def heads(tmp_path_factory) -> Path:
    """A table of three synthetic heads."""
    return write_cohort(tmp_path_factory.mktemp("somebody") / "heads", 3, 41)
