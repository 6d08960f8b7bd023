"""Cross-validation folds by subject."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from expert.datasets.prepared_dataset import CohortArrays
from expert.datasets.table import read_table
from expert.training.recipe import Recipe

if TYPE_CHECKING:
    pass


def split(cohort: CohortArrays, folds: int, seed: int) -> list[np.ndarray]:
    """Rows held out in each fold: whole subjects, every fold with about the same spread of labels.

    Parameters
    ----------
    cohort : subjects and labels
    folds : at least 2
    seed : which of the neighbours in label goes where
    """
    return split_subjects(cohort.subjects, cohort.labels, folds, seed)


def split_subjects(
    subjects: np.ndarray, labels: np.ndarray, folds: int, seed: int
) -> list[np.ndarray]:
    """`split` by subjects (N,) and labels (N,) alone."""
    people = np.unique(subjects)
    label = np.array([labels[subjects == person].mean() for person in people])
    ordered = people[np.argsort(label, kind="stable")]
    generator = np.random.default_rng(seed)
    fold = np.concatenate([generator.permutation(folds) for _ in range(-(-len(ordered) // folds))])[
        : len(ordered)
    ]
    return [np.flatnonzero(np.isin(subjects, ordered[fold == number])) for number in range(folds)]


def fold_rows(
    recipe: Recipe, table: str | Path, folds: int
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Labels (N,) and subjects (N,) of a table, and the rows that each fold holds out; no image is
    looked at."""
    entries = read_table(table, label_column=recipe.label_column)
    labels = np.array([entry.label for entry in entries], dtype=float)
    subjects = np.unique([entry.subject for entry in entries], return_inverse=True)[1]
    return labels, subjects, split_subjects(subjects, labels, folds, recipe.schedule.seed)
