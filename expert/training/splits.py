"""Cross-validation folds by subject."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from expert.datasets.prepared_dataset import CohortArrays
from expert.datasets.table import read_table
from expert.training.recipe import Recipe


def split(cohort: CohortArrays, folds: int, seed: int) -> list[np.ndarray]:
    """Rows held out in each fold: whole subjects, similar label distributions.

    Parameters
    ----------
    cohort : CohortArrays
        Subjects and labels.
    folds : int
        Number of folds, at least 2.
    seed : int
        Decides which of several subjects with neighbouring labels enters which fold.

    Returns
    -------
    list of numpy.ndarray
        Rows held out by each fold.
    """
    return split_subjects(cohort.subjects, cohort.labels, folds, seed)


def split_subjects(
    subjects: np.ndarray, labels: np.ndarray, folds: int, seed: int
) -> list[np.ndarray]:
    """`split` by subjects (N,) and labels (N,) alone."""
    names = np.unique(subjects)
    label = np.array([labels[subjects == name].mean() for name in names])
    ordered = names[np.argsort(label, kind="stable")]
    generator = np.random.default_rng(seed)
    rounds = -(-len(ordered) // folds)
    fold = np.concatenate([generator.permutation(folds) for _ in range(rounds)])[: len(ordered)]
    return [np.flatnonzero(np.isin(subjects, ordered[fold == number])) for number in range(folds)]


def fold_rows(
    recipe: Recipe, table: str | Path, folds: int
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Folds of a table, without preparing its images.

    Parameters
    ----------
    recipe : Recipe
        Its label column and seed are used.
    table : str or pathlib.Path
        CSV, see `expert.datasets.table.read_table`.
    folds : int
        Number of folds.

    Returns
    -------
    labels : numpy.ndarray
        (N,) label of each row.
    subjects : numpy.ndarray
        (N,) int, subject of each row.
    parts : list of numpy.ndarray
        Rows held out by each fold.
    """
    entries = read_table(table, label_column=recipe.label_column)
    labels = np.array([entry.label for entry in entries], dtype=float)
    subjects = np.unique([entry.subject for entry in entries], return_inverse=True)[1]
    return labels, subjects, split_subjects(subjects, labels, folds, recipe.schedule.seed)
