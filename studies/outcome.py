"""Results of one variant of a recipe over its held-out folds."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from expert.conformal import conformal_quantile
from expert.evaluation.bootstrap import Estimate, mean_over_subjects
from expert.evaluation.metrics import Errors, bias_corrected, bias_line, errors
from expert.training.calibration import LEVEL, covered
from studies.ablation import BASE, PLAIN

if TYPE_CHECKING:
    from studies.cross_validation import Job


@dataclass(frozen=True)
class Outcome:
    """Results of one variant of one recipe, all held-out folds together."""

    variant: str
    folds: int
    """Number of finished folds."""
    prediction: np.ndarray
    """(N,) label units; NaN in folds that are not finished."""
    figures: Errors
    minus_base: Estimate | None = None
    """Mean difference of |error| from the recipe itself, on the same held-out subjects; label
    units."""
    coverage: float | None = None
    """Fraction of images with a prototype within the radius."""
    effective: float | None = None
    """Mean number of effective prototypes."""
    distinct: float | None = None
    """Mean number of different subjects among the prototypes."""
    interval: float | None = None
    """Fraction of subjects inside the 90 % interval from the other folds' errors."""
    half_width: float | None = None
    corrected_mae: float | None = None
    """MAE after the correction of the age bias by a line fitted on the other folds."""
    corrected_slope: float | None = None
    measures: dict[str, Estimate] = field(default_factory=dict)
    """Means over the measured subjects of all folds."""


def read_outcomes(
    jobs: Sequence[Job], labels: np.ndarray, subjects: np.ndarray, parts: list[np.ndarray]
) -> list[Outcome]:
    """Results of a recipe's variants and of its regression baseline.

    Parameters
    ----------
    jobs : sequence of Job
        All jobs of one recipe.
    labels, subjects : (N,) ndarray
        Of the table's images.
    parts : list of arrays
        Held-out rows of each fold.

    Returns
    -------
    list of Outcome
        The recipe itself first, then the regression baseline, then the variants, without those
        that have no finished fold.
    """
    tables = {job.variant: _read(job, parts, len(labels)) for job in jobs if job.fold == 0}
    base = next(job.folder for job in jobs if job.variant == BASE)
    plain = np.full(len(labels), np.nan)
    for number, rows in enumerate(parts):
        beside = base / f"fold{number}" / "plain.json"
        if beside.exists():
            plain[rows] = json.loads(beside.read_text())["prediction"]
    own = tables[BASE]
    cohort = labels, subjects, parts
    out = [_outcome(name, table, cohort, own["prediction"]) for name, table in tables.items()]
    if np.isfinite(plain).any():
        baseline = {"prediction": plain, "mean": own["mean"]}
        out.insert(1, _outcome(PLAIN, baseline, cohort, own["prediction"]))
    return [outcome for outcome in out if outcome.folds]


def _read(job: Job, parts: list[np.ndarray], count: int) -> dict[str, Any]:
    """Results of all folds of the job's variant, as one value per image."""
    place = job.folder
    table: dict[str, Any] = {
        name: np.full(count, np.nan)
        for name in ("prediction", "covered", "effective", "mean", "distinct")
    }
    table["measures"] = []
    for number, rows in enumerate(parts):
        done, measured = (
            place / f"fold{number}" / "result.json",
            place / f"fold{number}" / "measures.json",
        )
        if done.exists():
            out = json.loads(done.read_text())
            for name in ("prediction", "effective"):
                table[name][rows] = out[name]
            table["covered"][rows] = covered(out, job.recipe)
            table["mean"][rows], table["distinct"][rows] = out["training_mean"], out["distinct"]
        if measured.exists():
            table["measures"].append(json.loads(measured.read_text()))
    return table


def _outcome(
    name: str,
    table: dict[str, Any],
    cohort: tuple[np.ndarray, np.ndarray, list[np.ndarray]],
    base: np.ndarray,
) -> Outcome:
    prediction, (labels, subjects, parts) = table["prediction"], cohort
    there = np.isfinite(prediction)
    done = [rows for rows in parts if np.isfinite(prediction[rows]).all()]
    if not done:
        return Outcome(name, 0, prediction, errors(labels, labels, 0.0))
    figures = errors(prediction[there], labels[there], 0.0, subjects[there])
    mean_mae = float(np.abs(table["mean"][there] - labels[there]).mean())
    figures = Errors(**{**asdict(figures), "mean_predictor_mae": mean_mae})
    both = there & np.isfinite(base)
    difference = np.abs(prediction - labels)[both] - np.abs(base - labels)[both]
    inside, half, corrected = _cross_calibrated(prediction, labels, done)
    residual = corrected - labels[there] if corrected is not None else None

    def mean(column: str) -> float | None:
        values = table.get(column)
        return (
            None if values is None or not np.isfinite(values).any() else float(np.nanmean(values))
        )

    return Outcome(
        variant=name,
        folds=len(done),
        prediction=prediction,
        figures=figures,
        minus_base=None
        if name == BASE or not both.any()
        else mean_over_subjects(difference, subjects=subjects[both]),
        coverage=mean("covered"),
        effective=mean("effective"),
        distinct=mean("distinct"),
        interval=inside,
        half_width=half,
        corrected_mae=None if residual is None else float(np.abs(residual).mean()),
        corrected_slope=None
        if residual is None
        else float(np.polyfit(labels[there], residual, 1)[0]),
        measures=pooled_measures(table.get("measures", [])),
    )


def _cross_calibrated(
    prediction: np.ndarray, labels: np.ndarray, done: list[np.ndarray]
) -> tuple[float | None, float | None, np.ndarray | None]:
    """Interval coverage, mean half width, and bias-corrected predictions.

    The interval and the correction of each fold come from the *other* folds.
    """
    if len(done) < 2:
        return None, None, None
    inside, halves, corrected = [], [], prediction.copy()
    for rows in done:
        others = np.concatenate([other for other in done if other is not rows])
        half = conformal_quantile(np.abs(prediction[others] - labels[others]), LEVEL)
        inside += (np.abs(prediction[rows] - labels[rows]) <= half).tolist()
        halves.append(half)
        corrected[rows] = bias_corrected(
            prediction[rows], bias_line(prediction[others], labels[others])
        )
    return float(np.mean(inside)), float(np.mean(halves)), corrected[np.isfinite(prediction)]


def pooled_measures(folds: list[dict[str, Any]]) -> dict[str, Estimate]:
    """Combine the measures of several folds: means weighted by the number of subjects.

    Each fold is a separate model, so that the interval is that of the mean over folds (Student's
    t). A single fold keeps its own interval.

    Parameters
    ----------
    folds : list of dict
        `ExplanationMeasures` of each fold, as in `measures.json`.

    Returns
    -------
    dict of str to Estimate
        By name, such as "self_match: mean".
    """
    from scipy.stats import t as student

    found: dict[str, list[dict[str, Any]]] = {}
    for fold in folds:
        for name, estimate in _flat(fold):
            found.setdefault(name, []).append(estimate)
    out = {}
    for name, estimates in found.items():
        counts, values = (
            np.array([estimate[part] for estimate in estimates], dtype=float)
            for part in ("subjects", "value")
        )
        weights = counts / counts.sum()
        value = float(weights @ values)
        low, high = estimates[0]["low"], estimates[0]["high"]
        if len(values) > 1:
            half = float(
                student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
            )
            low, high = value - half, value + half
        chances = [estimate["chance"] for estimate in estimates]
        chance = None if None in chances else float(weights @ chances)
        out[name] = Estimate(value, low, high, int(counts.sum()), chance)
    return out


def _flat(part: dict[str, Any], prefix: str = "") -> list[tuple[str, dict[str, Any]]]:
    out = []
    for name, value in part.items():
        if isinstance(value, dict) and "value" in value:
            out.append((prefix + name, value))
        elif isinstance(value, dict):
            out += _flat(value, f"{prefix}{name}: ")
    return out


def learning_curves(jobs: Sequence[Job]) -> dict[str, np.ndarray]:
    """Training error of the recipe itself by stage and epoch.

    Parameters
    ----------
    jobs : sequence of Job
        All jobs of one recipe.

    Returns
    -------
    dict of str to array
        From stage to (folds and ensemble members, epochs), label units.
    """
    from expert.training.ensemble import member_folders

    out = {}
    folders = [
        folder
        for job in jobs if job.variant == BASE
        for folder, _ in member_folders(job.recipe, job.folder / f"fold{job.fold}", 0)
    ]  # fmt: skip
    for stage in ("warmup", "prototypes", PLAIN):
        columns = []
        for folder in folders:
            log = folder / stage / "metrics.csv"
            if log.exists():
                with log.open(encoding="utf-8", newline="") as file:
                    columns.append(
                        [float(row["mae"]) for row in csv.DictReader(file) if row.get("mae")]
                    )
        if columns:
            # The log of an interrupted run begins where it was resumed: such logs are left out.
            longest = max(map(len, columns))
            out[stage] = np.array([column for column in columns if len(column) == longest])
    return out
