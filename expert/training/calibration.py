"""What held-out subjects teach: figures for the card, the interval, and what is unlike the training
data."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from expert.datasets.prepared_dataset import CohortArrays
from expert.evaluation.bootstrap import mean_interval
from expert.evaluation.metrics import bias_line, errors
from expert.explanation import effective_prototypes
from expert.novelty import SIGNS, Reference, calibrate, signs
from expert.schema import Calibration, Familiarity
from expert.training.recipe import Recipe

if TYPE_CHECKING:
    from expert.training.prototype_module import PrototypeTask

LEVEL = 0.9


def examine(
    task: PrototypeTask, cohort: CohortArrays, usual: Reference
) -> tuple[dict[str, np.ndarray], list[dict[str, float]]]:
    """Hold kept-out subjects against a trained network as it will be used: by converged plans, in
    double precision.

    Parameters
    ----------
    task : trained
    cohort : subjects that it was not trained on
    usual : what its training images look like

    Returns
    -------
    (N,) each: prediction, whether a prototype was in radius, nearest distance, effective prototypes
    signs of being unlike the training data, see `expert.novelty.signs`
    """
    from expert.comparison import compare_images

    network, found, rows = task.network.eval(), [], []
    for images, content, quality in zip(
        cohort.images[:, task.views], cohort.content[:, task.views], cohort.quality, strict=True
    ):
        result = compare_images(network, images, content)
        effective = effective_prototypes(result.shares[None])
        rows.append((result.prediction, result.covered, result.nearest_distance, effective))
        found.append(signs(usual, network.grid, images, content, float(quality), result))
    names = ("prediction", "covered", "nearest", "effective")
    return {
        name: np.array(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)
    }, found


def covered(fold: dict[str, Any], recipe: Recipe) -> np.ndarray:
    """(N,) whether a prototype was in radius for each held-out image of a fold's `result.json`.

    Earlier versions wrote down only who fell back on the nearest prototype, which with relative
    weights nobody does; the nearest distance they wrote is a mean over planes (NaN where these
    decide one by one).
    """
    if "covered" in fold:
        return np.asarray(fold["covered"], dtype=float)
    if recipe.architecture.weights == "cut":
        return 1.0 - np.asarray(fold["fallback"], dtype=float)
    near = (np.asarray(fold["nearest"]) <= recipe.architecture.radius).astype(float)
    one_by_one = (
        recipe.architecture.planes == 1
        and len(recipe.input.shape) == 2
        and len(recipe.input.positions_mm) > 1
    )
    return np.full_like(near, np.nan) if one_by_one and recipe.input.space == "mni" else near


def gather(
    recipe: Recipe, cohort: CohortArrays, parts: list[np.ndarray], folder: Path, plain: bool
) -> tuple[dict[str, float], Calibration | None]:
    """Held-out predictions of all folds: figures for the card, interval and limit for the model."""
    if not parts:
        return {"training_mean": float(cohort.labels.mean())}, None
    count = len(cohort.labels)
    table = {
        name: np.full(count, np.nan)
        for name in ("prediction", "covered", "nearest", "effective", "plain", "fold", "mean")
    }
    distinct, told = [], []
    for number, test in enumerate(parts):
        out = json.loads((folder / f"fold{number}" / "result.json").read_text())
        for name in ("prediction", "nearest", "effective"):
            table[name][test] = out[name]
        table["covered"][test] = covered(out, recipe)
        table["fold"][test], table["mean"][test] = number, out["training_mean"]
        distinct.append(out["distinct"])
        told += [
            one for one in out.get("signs", []) if set(SIGNS) <= set(one)
        ]  # a run of an earlier version has none, or others
        beside = folder / f"fold{number}" / "plain.json"
        if plain:
            table["plain"][test] = json.loads(beside.read_text())["prediction"]
    residual = np.abs(table["prediction"] - cohort.labels)
    figures = errors(table["prediction"], cohort.labels, 0.0, cohort.subjects)
    validation = {
        **{k: float(v) for k, v in asdict(figures).items()},
        "mean_predictor_mae": float(np.abs(table["mean"] - cohort.labels).mean()),
        "folds": float(len(parts)),
        "coverage": float(table["covered"].mean()),
        "distinct_prototypes": float(np.mean(distinct)),
        "effective_prototypes": float(table["effective"].mean()),
        "training_mean": float(cohort.labels.mean()),
    }
    if plain:
        beside_figures = errors(table["plain"], cohort.labels, 0.0)
        validation |= {"plain_mae": beside_figures.mae, "plain_r": beside_figures.r}
        difference = residual - np.abs(table["plain"] - cohort.labels)
        low, high = mean_interval(difference, cohort.subjects)
        validation |= {
            "minus_plain_mae": float(difference.mean()),
            "minus_plain_low": low,
            "minus_plain_high": high,
        }
    planes = cohort.planes(recipe.input.positions_mm) if len(cohort.positions_mm) > 1 else [0]
    grid = recipe.grid
    familiarity = (
        calibrate(Reference.of(cohort, planes, grid), told) if len(told) == count else None
    )
    calibration = _limits(table["prediction"], cohort.labels, table["nearest"], familiarity)
    rows = {name: values.tolist() for name, values in table.items() if not np.isnan(values).all()}
    (folder / "cross_validation.json").write_text(
        json.dumps({"figures": validation, "labels": cohort.labels.tolist(), **rows})
    )
    return validation, calibration


def _limits(
    prediction: np.ndarray, labels: np.ndarray, nearest: np.ndarray, familiarity: Familiarity | None
) -> Calibration:
    """Split-conformal half width, 95th percentile of the nearest distances, and bias of kept-out
    images, all (N,)."""
    residual = np.abs(prediction - labels)
    count = len(residual)
    rank = min(int(np.ceil((count + 1) * LEVEL)), count)
    return Calibration(
        level=LEVEL,
        half_width=float(np.sort(residual)[rank - 1]),
        nearest_distance_limit=float(np.percentile(nearest, 95)),
        images=count,
        familiarity=familiarity,
        bias=bias_line(prediction, labels),
    )


def kept_out(task: PrototypeTask, cohort: CohortArrays) -> tuple[dict[str, float], Calibration]:
    """Figures and limits of the final model on images kept out of its training."""
    usual = Reference.of(task.cohort, task.views, task.network.grid)
    out, found = examine(task, cohort, usual)
    mean = float(task.cohort.labels.mean())
    figures = errors(out["prediction"], cohort.labels, mean, cohort.subjects)
    validation = {
        **{k: float(v) for k, v in asdict(figures).items()},
        "coverage": float(out["covered"].mean()),
        "distinct_prototypes": float(
            len(np.unique(task.cohort.subjects[task.sources[:, 0].numpy()]))
        ),
        "effective_prototypes": float(out["effective"].mean()),
        "training_mean": mean,
    }
    return validation, _limits(
        out["prediction"], cohort.labels, out["nearest"], calibrate(usual, found)
    )
