"""Train one cross-validation fold and predict the images it holds out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from expert.datasets.prepared_dataset import CohortArrays, load_cohort
from expert.datasets.table import read_table
from expert.novelty import Reference
from expert.training.calibration import examine
from expert.training.recipe import Recipe
from expert.training.splits import split
from expert.training.stages import fit_prototypes, fit_regression, members

if TYPE_CHECKING:
    from expert.training.prototype_module import PrototypeTask


def trained_fold(
    recipe: Recipe,
    table: str | Path,
    run: Path,
    fold: int,
    folds: int,
    *,
    prepared: str | Path | None = None,
) -> tuple[PrototypeTask, CohortArrays, CohortArrays]:
    """A fold that `train` has finished, with the subjects it was trained on and those it held
    out."""
    entries = read_table(table, label_column=recipe.label_column)
    cohort = load_cohort(entries, recipe.input, Path(prepared or run / "prepared"))
    test = split(cohort, folds, recipe.schedule.seed)[fold]
    training = cohort.select(np.setdiff1d(np.arange(len(cohort.labels)), test))
    task = fit_prototypes(recipe, training, run / f"fold{fold}", recipe.schedule.seed + fold)
    return task, task.cohort, cohort.select(test)


def run_fold(
    recipe: Recipe, cohort: CohortArrays, test: np.ndarray, folder: Path, plain: bool, seed: int
) -> None:
    result, rows = folder / "result.json", np.arange(len(cohort.labels))
    if not result.exists():
        training, held_out = cohort.select(np.setdiff1d(rows, test)), cohort.select(test)
        task = fit_prototypes(recipe, training, folder, seed)
        found, signs = examine(
            task, held_out, Reference.of(task.cohort, task.views, task.network.grid)
        )
        out: dict[str, Any] = {name: value.tolist() for name, value in found.items()} | {
            "signs": signs
        }
        out["training_mean"] = float(training.labels.mean())
        out["distinct"] = len(np.unique(task.cohort.subjects[task.sources[:, 0].numpy()]))
        result.write_text(json.dumps(out))
    beside = folder / "plain.json"
    if plain and not beside.exists():
        training, held_out = cohort.select(np.setdiff1d(rows, test)), cohort.select(test)
        epochs = recipe.warmup.epochs + recipe.schedule.epochs
        planes = (
            held_out.planes(recipe.input.positions_mm) if len(held_out.positions_mm) > 1 else [0]
        )
        heads = [
            fit_regression(recipe.member, training, place, "plain", epochs, own).predict_cohort(
                held_out, planes
            )
            for place, own in members(recipe, folder, seed)
        ]
        beside.write_text(json.dumps({"prediction": np.mean(heads, axis=0).tolist()}))
