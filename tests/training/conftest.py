"""Fixtures of the tests of training: drawn squares, and drawings in template space."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers.hand_made import FLAT, cohort
from scipy import ndimage

from expert.datasets.prepared_dataset import load_cohort
from expert.datasets.table import read_table
from expert.training.recipe import Recipe, read_recipe


@pytest.fixture(scope="session")
def squares_recipe(tiny_recipe):
    return read_recipe(tiny_recipe)


@pytest.fixture(scope="session")
def squares_cohort(squares, squares_recipe, tmp_path_factory):
    """The drawn squares as arrays: 24 subjects, brighter with their label."""
    folder = tmp_path_factory.mktemp("prepared")
    return load_cohort(read_table(squares), squares_recipe.input, folder, jobs=1)


@pytest.fixture(scope="session")
def registered_cohort():
    """Eight drawings (48 x 40) in template space: a common pattern, each with its own noise."""
    generator = np.random.default_rng(0)
    common = ndimage.gaussian_filter(generator.normal(0, 1, FLAT.shape), 3)
    common = 60 + 140 * (common - common.min()) / np.ptp(common)
    images = np.clip(common + generator.normal(0, 5, (8, *FLAT.shape)), 1, 255).astype(np.uint8)
    arrays = cohort(FLAT, images)
    entries = tuple(replace(entry, sha256=f"{n:064x}") for n, entry in enumerate(arrays.entries))
    return replace(arrays, entries=entries)


@pytest.fixture(scope="session")
def registered_recipe():
    """A recipe for the drawings in template space, with a histogram backbone and a guide."""
    return Recipe.model_validate(
        {
            "name": "drawings",
            "dataset": "drawings",
            "licence": "none needed",
            "start": "subjects",
            "input": FLAT.model_dump(),
            "architecture": {
                "backbone": "histogram",
                "bins": 6,
                "widths": [4],
                "pool": 8,
                "channels": 4,
                "prototypes": 3,
                "guide": 4,
                "radius": 20.0,
            },
            "augmentation": {"copies": 2},
            "guide": {"epochs": 2, "batch": 4, "views": 1},
            "schedule": {"epochs": 2, "batch": 4, "views": 1},
            "losses": {"consistency": 0.0},
        }
    )
