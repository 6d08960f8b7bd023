"""Train one cross-validation fold and predict its held-out images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from expert.datasets.prepared_dataset import CohortArrays, load_cohort
from expert.datasets.table import read_table
from expert.files import write_text
from expert.novelty import Reference
from expert.training.calibration import evaluate_holdout
from expert.training.ensemble import member_folders
from expert.training.processes import agreed, is_first
from expert.training.prototype_module import PrototypeModule
from expert.training.recipe import Recipe
from expert.training.splits import split
from expert.training.stages import fit_prototypes, fit_regression


def trained_fold(
    recipe: Recipe,
    table: str | Path,
    run: Path,
    fold: int,
    folds: int,
    *,
    prepared: str | Path | None = None,
) -> tuple[PrototypeModule, CohortArrays, CohortArrays]:
    """Read a finished fold of `expert.training.train`.

    Parameters
    ----------
    recipe : Recipe
        Of the training.
    table : str or pathlib.Path
        Of the training.
    run : pathlib.Path
        Folder of the run.
    fold : int
        Number of the fold, from 0.
    folds : int
        Number of folds.
    prepared : str or pathlib.Path, optional
        Folder of the prepared images; None: in `run`.

    Returns
    -------
    module : PrototypeModule
        The trained module.
    training : CohortArrays
        Subjects it was trained on.
    held_out : CohortArrays
        Subjects it was not trained on.
    """
    entries = read_table(table, label_column=recipe.label_column)
    cohort = load_cohort(entries, recipe.input, Path(prepared or run / "prepared"))
    test = split(cohort, folds, recipe.schedule.seed)[fold]
    training = cohort.select(np.setdiff1d(np.arange(len(cohort.labels)), test))
    module = fit_prototypes(recipe, training, run / f"fold{fold}", recipe.schedule.seed + fold)
    return module, module.cohort, cohort.select(test)


def run_fold(
    recipe: Recipe, cohort: CohortArrays, test: np.ndarray, folder: Path, plain: bool, seed: int
) -> None:
    """Train a fold and write its held-out predictions; what is finished is not repeated.

    Parameters
    ----------
    recipe : Recipe
        How to train.
    cohort : CohortArrays
        All subjects.
    test : numpy.ndarray
        Rows of `cohort` to hold out.
    folder : pathlib.Path
        Folder of the fold; gets ``result.json`` and, with `plain`, ``plain.json``.
    plain : bool
        Also train the regression baseline.
    seed : int
        Seed of the fold.
    """
    result, baseline = folder / "result.json", folder / "plain.json"
    training = cohort.select(np.setdiff1d(np.arange(len(cohort.labels)), test))
    held_out = cohort.select(test)
    if agreed(not result.exists()):
        module = fit_prototypes(recipe, training, folder, seed)
    if is_first() and not result.exists():
        usual = Reference.of(module.cohort, module.views, module.network.grid)
        found, indicators = evaluate_holdout(module, held_out, usual)
        out: dict[str, Any] = {name: value.tolist() for name, value in found.items()}
        out["signs"] = indicators
        out["training_mean"] = float(training.labels.mean())
        out["distinct"] = len(np.unique(module.cohort.subjects[module.sources[:, 0].numpy()]))
        write_text(result, json.dumps(out))
    if plain and agreed(not baseline.exists()):
        epochs = recipe.warmup.epochs + recipe.schedule.epochs
        planes = held_out.explained_planes(recipe.input)
        trained = [
            fit_regression(recipe.member, training, place, "plain", epochs, own)
            for place, own in member_folders(recipe, folder, seed)
        ]
        if not is_first():
            return
        predictions = [module.predict_cohort(held_out, planes) for module in trained]
        document = {"prediction": np.mean(predictions, axis=0).tolist()}
        write_text(baseline, json.dumps(document))
