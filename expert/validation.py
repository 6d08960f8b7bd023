"""What held-out subjects teach: figures for the card, the interval, and what is unlike the training data."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from expert.cohort_arrays import CohortArrays
from expert.errors import InputError
from expert.evaluation import bias_line, effective_prototypes, errors
from expert.familiarity import Reference, calibrate, calibrate_signs, fit, known_signs, score_signs
from expert.recipe import Recipe
from expert.schema import Calibration, Familiarity

if TYPE_CHECKING:
    from expert.tasks import PrototypeTask

LEVEL = 0.9


def predict(task: PrototypeTask, cohort: CohortArrays) -> dict[str, np.ndarray]:
    """(N,) each: prediction, whether any view fell back, nearest distance, effective prototypes."""
    import torch

    from expert.model import weighted_prediction

    distance = task.distances(cohort)
    labels = task.network.prototype_labels.double()
    radius = task.recipe.architecture.radius
    by = task.recipe.architecture.weights
    views = [weighted_prediction(torch.from_numpy(distance[:, v]), labels, radius, by) for v in range(distance.shape[1])]
    shares = np.mean([(v.weights / v.weights.sum(1, keepdim=True)).numpy() for v in views], axis=0)
    return {
        "prediction": np.mean([v.prediction.numpy() for v in views], axis=0),
        "fallback": np.any([v.fallback.numpy() for v in views], axis=0),
        "nearest": distance.mean(axis=1).min(axis=1),
        "effective": np.array([effective_prototypes(row[None]) for row in shares]),
    }


def gather(
    recipe: Recipe, cohort: CohortArrays, parts: list[np.ndarray], folder: Path, plain: bool
) -> tuple[dict[str, float], Calibration | None]:
    """Held-out predictions of all folds: figures for the card, interval and limit for the model."""
    if not parts:
        return {"training_mean": float(cohort.labels.mean())}, None
    count = len(cohort.labels)
    table = {
        name: np.full(count, np.nan) for name in ("prediction", "fallback", "nearest", "effective", "plain", "fold", "mean")
    }
    distinct, signs = [], []
    for number, test in enumerate(parts):
        out = json.loads((folder / f"fold{number}" / "result.json").read_text())
        for name in ("prediction", "fallback", "nearest", "effective"):
            table[name][test] = out[name]
        table["fold"][test], table["mean"][test] = number, out["training_mean"]
        distinct.append(out["distinct"])
        signs += out.get("signs", [])  # a run of an earlier version has none
        beside = folder / f"fold{number}" / "plain.json"
        if plain:
            table["plain"][test] = json.loads(beside.read_text())["prediction"]
    residual = np.abs(table["prediction"] - cohort.labels)
    figures = errors(table["prediction"], cohort.labels, 0.0)
    validation = {
        **{k: float(v) for k, v in asdict(figures).items()},
        "mean_predictor_mae": float(np.abs(table["mean"] - cohort.labels).mean()),
        "folds": float(len(parts)),
        "coverage": float(1 - table["fallback"].mean()),
        "distinct_prototypes": float(np.mean(distinct)),
        "effective_prototypes": float(table["effective"].mean()),
        "training_mean": float(cohort.labels.mean()),
    }
    if plain:
        beside_figures = errors(table["plain"], cohort.labels, 0.0)
        validation |= {"plain_mae": beside_figures.mae, "plain_r": beside_figures.r}
        difference = residual - np.abs(table["plain"] - cohort.labels)
        resamples = np.random.default_rng(0).integers(0, count, (2000, count))
        low, high = np.percentile(difference[resamples].mean(axis=1), [2.5, 97.5])
        validation |= {
            "minus_plain_mae": float(difference.mean()),
            "minus_plain_low": float(low),
            "minus_plain_high": float(high),
        }
    planes = cohort.planes(recipe.input.positions_mm) if len(cohort.positions_mm) > 1 else [0]
    grid = tuple(n // recipe.architecture.stride for n in recipe.input.shape)
    familiarity = calibrate(Reference.of(cohort, planes, grid), signs) if len(signs) == count else None
    calibration = _limits(table["prediction"], cohort.labels, table["nearest"], familiarity)
    rows = {name: values.tolist() for name, values in table.items() if not np.isnan(values).all()}
    (folder / "cross_validation.json").write_text(json.dumps({"figures": validation, "labels": cohort.labels.tolist(), **rows}))
    return validation, calibration


def _limits(prediction: np.ndarray, labels: np.ndarray, nearest: np.ndarray, familiarity: Familiarity | None) -> Calibration:
    """Split-conformal half width, 95th percentile of the nearest distances, and bias of kept-out images, all (N,)."""
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
    out = predict(task, cohort)
    mean = float(task.cohort.labels.mean())
    figures = errors(out["prediction"], cohort.labels, mean)
    validation = {
        **{k: float(v) for k, v in asdict(figures).items()},
        "coverage": float(1 - out["fallback"].mean()),
        "distinct_prototypes": float(len(np.unique(task.sources[:, 0].numpy()))),
        "effective_prototypes": float(out["effective"].mean()),
        "training_mean": mean,
    }
    familiarity = fit(task.network.eval(), task.recipe.input, task.cohort, cohort)
    return validation, _limits(out["prediction"], cohort.labels, out["nearest"], familiarity)


@dataclass(frozen=True)
class FalseAlarms:
    """Held-out images of a finished run, each scored by scales and limit of the other folds."""

    folds: int
    images: int
    flagged: int
    by_sign: dict[str, int]


def false_alarms(run: str | Path) -> FalseAlarms:
    """How many images kept out of the folds of a finished training would be called unlike its training data.

    Parameters
    ----------
    run : folder that `expert train --folds` left: the signs of each fold's held-out images are read, and scored by scales and
        limit of the other folds, which had no share in them

    Raises
    ------
    InputError
        There are no two folds, one is damaged, or has no signs (runs of earlier versions).
    """
    folder = Path(run)
    found: list[list[dict[str, float]]] = []
    for path in sorted(folder.glob("fold*/result.json")):
        try:
            kept = [{k: float(v) for k, v in one.items()} for one in json.loads(path.read_text(encoding="utf-8"))["signs"]]
            known_signs(kept)  # complete?
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{path} holds no signs of held-out images: it is damaged, or of a run of an earlier version."
            ) from error
        found.append(kept)
    if len(found) < 2:
        raise InputError(f"The folder {folder} has {len(found)} finished folds: give the run of an 'expert train --folds'.")
    names = known_signs([one for kept in found for one in kept])  # the same of all folds
    found = [[{name: one[name] for name in names} for one in kept] for kept in found]
    flagged: Counter[str] = Counter()
    for number, kept in enumerate(found):
        center, spread, limit = calibrate_signs([one for n, others in enumerate(found) if n != number for one in others])
        scored = [score_signs(center, spread, one) for one in kept]
        flagged.update(sign for score, sign in scored if score > limit)
    return FalseAlarms(len(found), sum(map(len, found)), flagged.total(), dict(flagged))
