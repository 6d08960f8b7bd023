"""What the folds of one variant of a recipe found."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from expert.evaluation.bootstrap import Figure, over_subjects
from expert.evaluation.metrics import Errors, bias_corrected, bias_line, errors
from expert.training.calibration import LEVEL, covered
from studies.ablation import BASE, PLAIN

if TYPE_CHECKING:
    from studies.cross_validation import Job


@dataclass(frozen=True)
class Outcome:
    """One variant of one recipe, all held-out folds together."""

    variant: str
    folds: int
    """Folds that are done."""
    prediction: np.ndarray
    """(N,) label units; NaN in folds that are not done."""
    figures: Errors
    minus_base: Figure | None
    """Mean over subjects of |error| less that of the recipe itself, on the same held-out subjects;
    label units."""
    coverage: float | None
    effective: float | None
    distinct: float | None
    interval: float | None
    """Share of subjects inside the 90 % interval that the other folds' errors give."""
    half_width: float | None
    corrected_mae: float | None
    """After a line fitted to the other folds' errors was taken away."""
    corrected_slope: float | None
    measures: dict[str, Figure]
    """Mean over the folds' measured subjects."""


def read_outcomes(
    jobs: Sequence[Job], labels: np.ndarray, subjects: np.ndarray, parts: list[np.ndarray]
) -> list[Outcome]:
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
        out.insert(
            1,
            _outcome(PLAIN, {"prediction": plain, "mean": own["mean"]}, cohort, own["prediction"]),
        )
    return [outcome for outcome in out if outcome.folds]


def _read(job: Job, parts: list[np.ndarray], count: int) -> dict[str, Any]:
    """All folds of the job's variant."""
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
        return Outcome(
            name,
            0,
            prediction,
            errors(labels, labels, 0.0),
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            {},
        )
    figures = errors(prediction[there], labels[there], 0.0, subjects[there])
    mean_mae = float(np.abs(table["mean"][there] - labels[there]).mean())
    figures = Errors(**{**asdict(figures), "mean_predictor_mae": mean_mae})
    both = there & np.isfinite(base)
    difference = np.abs(prediction - labels)[both] - np.abs(base - labels)[both]
    inside, half, corrected = _crossed(prediction, labels, done)
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
        else over_subjects(difference, subjects=subjects[both]),
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


def _crossed(
    prediction: np.ndarray, labels: np.ndarray, done: list[np.ndarray]
) -> tuple[float | None, float | None, np.ndarray | None]:
    """Interval coverage, its mean half width, and bias-corrected predictions: each fold by what the
    *other* folds teach."""
    if len(done) < 2:
        return None, None, None
    inside, halves, corrected = [], [], prediction.copy()
    for rows in done:
        others = np.concatenate([other for other in done if other is not rows])
        residual = np.sort(np.abs(prediction[others] - labels[others]))
        half = residual[min(int(np.ceil((len(others) + 1) * LEVEL)), len(others)) - 1]
        inside += (np.abs(prediction[rows] - labels[rows]) <= half).tolist()
        halves.append(half)
        corrected[rows] = bias_corrected(
            prediction[rows], bias_line(prediction[others], labels[others])
        )
    return float(np.mean(inside)), float(np.mean(halves)), corrected[np.isfinite(prediction)]


def pooled_measures(folds: list[dict[str, Any]]) -> dict[str, Figure]:
    """Figures of several folds as one: means weighted by subjects.

    Each fold is a model of its own: intervals are of the mean over folds (Student's t), of a single
    fold its own.
    """
    from scipy.stats import t as student

    found: dict[str, list[dict[str, Any]]] = {}
    for fold in folds:
        for name, figure in _flat(fold):
            found.setdefault(name, []).append(figure)
    out = {}
    for name, figures in found.items():
        counts, values = (
            np.array([figure[part] for figure in figures], dtype=float)
            for part in ("subjects", "value")
        )
        weights = counts / counts.sum()
        value = float(weights @ values)
        low, high = figures[0]["low"], figures[0]["high"]
        if len(values) > 1:
            half = float(
                student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
            )
            low, high = value - half, value + half
        chances = [figure["chance"] for figure in figures]
        chance = None if None in chances else float(weights @ chances)
        out[name] = Figure(value, low, high, int(counts.sum()), chance)
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
    """Stage to (folds and members, epochs) training error of the recipe itself, label units."""
    from expert.training.stages import members

    out = {}
    folders = [
        folder
        for job in jobs if job.variant == BASE
        for folder, _ in members(job.recipe, job.folder / f"fold{job.fold}", 0)
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
            longest = max(
                map(len, columns)
            )  # the log of a run that was killed begins where it went on
            out[stage] = np.array([column for column in columns if len(column) == longest])
    return out
