"""Figures, prediction interval and novelty limits from held-out subjects."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from expert.attribution import effective_prototypes
from expert.conformal import conformal_quantile
from expert.datasets.prepared_dataset import CohortArrays
from expert.evaluation.bootstrap import mean_interval
from expert.evaluation.metrics import bias_line, errors
from expert.files import write_text
from expert.novelty import INDICATORS, Reference, calibrate, ood_indicators
from expert.schema import Calibration, Familiarity
from expert.training.recipe import Recipe

if TYPE_CHECKING:
    from expert.training.prototype_module import PrototypeModule

LEVEL = 0.9
"""Share of new images whose label the prediction interval is to contain."""


def evaluate_holdout(
    module: PrototypeModule, cohort: CohortArrays, usual: Reference
) -> tuple[dict[str, np.ndarray], list[dict[str, float]]]:
    """Predict held-out subjects as the model will be used: converged plans, double precision.

    Parameters
    ----------
    module : PrototypeModule
        Trained.
    cohort : CohortArrays
        N subjects that it was not trained on.
    usual : Reference
        Image statistics of its training images.

    Returns
    -------
    table : dict of numpy.ndarray
        (N,) each: ``prediction``, ``covered`` (whether a prototype is in radius), ``nearest``
        (distance of the nearest prototype) and ``effective`` (effective number of prototypes).
    indicators : list of dict
        N dictionaries of out-of-distribution indicators, see `expert.novelty`.
    """
    from expert.comparison import compare_images

    network, found, rows = module.network.eval(), [], []
    for images, content, quality in zip(
        cohort.images[:, module.views], cohort.content[:, module.views], cohort.quality, strict=True
    ):
        result = compare_images(network, images, content)
        effective = effective_prototypes(result.shares[None])
        rows.append((result.prediction, result.covered, result.nearest_distance, effective))
        found.append(ood_indicators(usual, network.grid, images, content, float(quality), result))
    names = ("prediction", "covered", "nearest", "effective")
    columns = zip(*rows, strict=True)
    return {name: np.array(column) for name, column in zip(names, columns, strict=True)}, found


def covered(fold: dict[str, Any], recipe: Recipe) -> np.ndarray:
    """Whether a prototype is in radius of each held-out image of a fold.

    Earlier versions recorded only which images used the fallback, which never happens with relative
    weights. The nearest distance they recorded is a mean over the planes.

    Parameters
    ----------
    fold : dict
        Content of the fold's ``result.json``.
    recipe : Recipe
        Of the training.

    Returns
    -------
    numpy.ndarray
        (N,) 1 or 0; NaN where an earlier version did not record it.
    """
    if "covered" in fold:
        return np.asarray(fold["covered"], dtype=float)
    if recipe.architecture.weights == "cut":
        return 1.0 - np.asarray(fold["fallback"], dtype=float)
    near = (np.asarray(fold["nearest"]) <= recipe.architecture.radius).astype(float)
    one_by_one = (
        not recipe.architecture.planes_combined
        and len(recipe.input.shape) == 2
        and len(recipe.input.positions_mm) > 1
    )
    return np.full_like(near, np.nan) if one_by_one and recipe.input.space == "mni" else near


def aggregate_folds(
    recipe: Recipe, cohort: CohortArrays, parts: Sequence[np.ndarray], folder: Path, plain: bool
) -> tuple[dict[str, float], Calibration | None]:
    """Combine the held-out predictions of all folds, and write ``cross_validation.json``.

    Parameters
    ----------
    recipe : Recipe
        Of the training.
    cohort : CohortArrays
        All subjects.
    parts : sequence of numpy.ndarray
        Rows held out by each fold; empty without cross-validation.
    folder : pathlib.Path
        Folder of the run, which holds the finished folds.
    plain : bool
        Whether the folds include the regression baseline.

    Returns
    -------
    figures : dict
        Name to value, for the model card.
    calibration : Calibration or None
        Interval and limits; None without folds.
    """
    if not parts:
        return {"training_mean": float(cohort.labels.mean())}, None
    count = len(cohort.labels)
    table = {
        name: np.full(count, np.nan)
        for name in ("prediction", "covered", "nearest", "effective", "plain", "fold", "mean")
    }
    distinct, indicators = [], []
    for number, test in enumerate(parts):
        place = folder / f"fold{number}"
        out = json.loads((place / "result.json").read_text())
        for name in ("prediction", "nearest", "effective"):
            table[name][test] = out[name]
        table["covered"][test] = covered(out, recipe)
        table["fold"][test], table["mean"][test] = number, out["training_mean"]
        distinct.append(out["distinct"])
        # Runs of earlier versions have no indicators, or other ones.
        indicators += [one for one in out.get("signs", []) if set(INDICATORS) <= set(one)]
        if plain:
            table["plain"][test] = json.loads((place / "plain.json").read_text())["prediction"]
    figures = {
        **_error_figures(table["prediction"], cohort, 0.0),
        "mean_predictor_mae": float(np.abs(table["mean"] - cohort.labels).mean()),
        "folds": float(len(parts)),
        "coverage": float(table["covered"].mean()),
        "distinct_prototypes": float(np.mean(distinct)),
        "effective_prototypes": float(table["effective"].mean()),
        "training_mean": float(cohort.labels.mean()),
    }
    if plain:
        figures |= _baseline_figures(table["prediction"], table["plain"], cohort)
    familiarity = None
    if len(indicators) == count:
        usual = Reference.of(cohort, cohort.explained_planes(recipe.input), recipe.grid)
        familiarity = calibrate(usual, indicators)
    calibration = _limits(table["prediction"], cohort.labels, table["nearest"], familiarity)
    rows = {name: values.tolist() for name, values in table.items() if not np.isnan(values).all()}
    document = {"figures": figures, "labels": cohort.labels.tolist(), **rows}
    write_text(folder / "cross_validation.json", json.dumps(document))
    return figures, calibration


def calibrate_on_holdout(
    module: PrototypeModule, cohort: CohortArrays
) -> tuple[dict[str, float], Calibration]:
    """Figures and limits of the final model from images that it was not trained on.

    Parameters
    ----------
    module : PrototypeModule
        Trained.
    cohort : CohortArrays
        Held-out subjects.

    Returns
    -------
    figures : dict
        Name to value, for the model card.
    calibration : Calibration
        Interval and limits.
    """
    training = module.cohort
    usual = Reference.of(training, module.views, module.network.grid)
    table, indicators = evaluate_holdout(module, cohort, usual)
    mean = float(training.labels.mean())
    shown = training.subjects[module.sources[:, 0].numpy()]
    figures = {
        **_error_figures(table["prediction"], cohort, mean),
        "coverage": float(table["covered"].mean()),
        "distinct_prototypes": float(len(np.unique(shown))),
        "effective_prototypes": float(table["effective"].mean()),
        "training_mean": mean,
    }
    familiarity = calibrate(usual, indicators)
    return figures, _limits(table["prediction"], cohort.labels, table["nearest"], familiarity)


def _error_figures(prediction: np.ndarray, cohort: CohortArrays, mean: float) -> dict[str, float]:
    figures = errors(prediction, cohort.labels, mean, cohort.subjects)
    return {name: float(value) for name, value in asdict(figures).items()}


def _baseline_figures(
    prediction: np.ndarray, baseline: np.ndarray, cohort: CohortArrays
) -> dict[str, float]:
    """Figures of the regression baseline, and the difference of the absolute errors to it."""
    figures = errors(baseline, cohort.labels, 0.0)
    difference = np.abs(prediction - cohort.labels) - np.abs(baseline - cohort.labels)
    low, high = mean_interval(difference, cohort.subjects)
    return {
        "plain_mae": figures.mae,
        "plain_r": figures.r,
        "minus_plain_mae": float(difference.mean()),
        "minus_plain_low": low,
        "minus_plain_high": high,
    }


def _limits(
    prediction: np.ndarray, labels: np.ndarray, nearest: np.ndarray, familiarity: Familiarity | None
) -> Calibration:
    """Interval, limit of the nearest distance and bias from held-out images, all (N,).

    The half width is the split-conformal quantile of the absolute errors, the limit the 95th
    percentile of the nearest distances.
    """
    residual = np.abs(prediction - labels)
    return Calibration(
        level=LEVEL,
        half_width=conformal_quantile(residual, LEVEL),
        nearest_distance_limit=float(np.percentile(nearest, 95)),
        images=len(residual),
        familiarity=familiarity,
        bias=bias_line(prediction, labels),
    )
