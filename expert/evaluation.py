"""How good a model is: error, coverage, and whether it has collapsed. Every image counts."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from expert.intervals import mean_interval
from expert.schema import RESEARCH_USE

if TYPE_CHECKING:
    from expert.bundle import Model
    from expert.cohort_arrays import CohortArrays
    from expert.datasets import Entry
    from expert.measures import ExplanationMeasures


@dataclass(frozen=True)
class Errors:
    """Figures of predictions against true labels; label units unless said."""

    images: int
    mae: float
    mae_low: float
    """95 % bootstrap interval of the MAE over subjects (`expert.intervals.mean_interval`)."""
    mae_high: float
    rmse: float
    r: float
    """Pearson correlation."""
    r2: float
    mean_predictor_mae: float
    """MAE of always answering the training mean."""
    slope: float
    """Of (prediction - label) on label: 0 is unbiased, -1 is the mean predictor."""


def errors(
    prediction: np.ndarray,
    labels: np.ndarray,
    training_mean: float,
    subjects: np.ndarray | None = None,
) -> Errors:
    """Error figures.

    Parameters
    ----------
    prediction, labels : (N,) label units
    training_mean : what the mean predictor answers
    subjects : (N,) whose image each is; every image is another subject's if None
    """
    residual = prediction - labels
    absolute = np.abs(residual)
    low, high = mean_interval(absolute, subjects)
    varied = len(labels) > 1 and labels.std() > 0
    r = float(np.corrcoef(prediction, labels)[0, 1]) if varied and prediction.std() > 0 else 0.0
    return Errors(
        images=len(labels),
        mae=float(absolute.mean()),
        mae_low=low,
        mae_high=high,
        rmse=float(np.sqrt((residual**2).mean())),
        r=r,
        r2=float(1 - (residual**2).sum() / ((labels - labels.mean()) ** 2).sum())
        if varied
        else 0.0,
        mean_predictor_mae=float(np.abs(labels - training_mean).mean()),
        slope=float(np.polyfit(labels, residual, 1)[0]) if varied else 0.0,
    )


def bias_line(prediction: np.ndarray, labels: np.ndarray) -> tuple[float, float] | None:
    """Start and slope of the line of predictions (N,) over labels (N,), of images kept out of the
    training.

    Returns
    -------
    start in label units, slope : 0 and 1 without a bias; None where the line is too flat to be
        turned around
    """
    if len(labels) < 3 or labels.std() == 0:
        return None
    slope, start = np.polyfit(labels, prediction, 1)
    return (float(start), float(slope)) if slope > 0.1 else None


def bias_corrected(prediction: np.ndarray, line: tuple[float, float] | None) -> np.ndarray:
    """The labels whose average prediction these are: on average right at every label, and farther
    off for each image.

    Source: de Lange and Cole, "Commentary: Correction procedures in brain-age prediction",
    NeuroImage: Clinical 2020.
    """
    return prediction if line is None else (prediction - line[0]) / line[1]


def effective_prototypes(shares: np.ndarray, mass: float = 0.8) -> float:
    """Mean over images of how many prototypes it takes to hold `mass` of the weight.

    Parameters
    ----------
    shares : (N, P)  rows sum to 1
    mass : 0 to 1
    """
    ordered = np.cumsum(-np.sort(-shares, axis=1), axis=1)
    return float((ordered < mass - 1e-9).sum(axis=1).mean() + 1)


def collapse(
    prediction: np.ndarray,
    labels: np.ndarray,
    mean_predictor_mae: float | None,
    distinct: int,
    prototypes: int,
) -> str:
    """Why these predictions are those of a collapsed model; empty if they are not.

    Parameters
    ----------
    prediction, labels : (N,) label units
    mean_predictor_mae : label units; None where it is not known
    distinct : number of different subjects among the prototypes
    prototypes : number of prototypes
    """
    mae = float(np.abs(prediction - labels).mean())
    if mean_predictor_mae is not None and mae > 0.9 * mean_predictor_mae:
        return (
            f"its error ({mae:.1f}) is that of always answering the mean ({mean_predictor_mae:.1f})"
        )
    if prediction.std() < 0.3 * labels.std():
        return (
            f"its predictions hardly differ (standard deviation {prediction.std():.1f}, labels "
            f"{labels.std():.1f})"
        )
    if distinct < max(2, 0.25 * prototypes):
        return f"its {prototypes} prototypes show only {distinct} different subjects"
    return ""


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found; `failed` says why the model must not be used, if it must not."""

    model: str
    errors: Errors
    coverage: float
    """Share of images with a prototype in radius in every view (or by the mean distance where that
    decides)."""
    interval_coverage: float | None
    """Share of labels inside the interval; None where the model has none."""
    interval_level: float | None
    distinct_prototypes: int
    prototypes: int
    effective_prototypes: float
    source_label_gap: float | None
    """Mean |label a prototype votes with - label of the image it shows|, label units; None where
    the model does not tell."""
    unlike_training: float
    """Share of images flagged as unlike the training data."""
    failed: str
    unit: str
    mean_known: bool = True
    """Whether the model tells its training labels' mean; else the mean predictor answers the middle
    of their range."""
    statement: str = RESEARCH_USE
    explanations: ExplanationMeasures | None = None
    """What the explanations are worth; None where it was not asked for."""
    rows: list[dict[str, object]] = field(default_factory=list)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write all figures as JSON."""
        target = Path(path)
        target.write_text(json.dumps(asdict(self), indent=2), encoding="utf-8")
        return target

    def lines(self) -> list[tuple[str, str]]:
        """(name, value) pairs for a table."""
        e, u = self.errors, self.unit
        out = [
            ("images", str(e.images)),
            ("MAE", f"{e.mae:.2f} {u} (95 %: {e.mae_low:.2f} – {e.mae_high:.2f})"),
            ("RMSE", f"{e.rmse:.2f} {u}"),
            ("r", f"{e.r:.3f}"),
            ("R²", f"{e.r2:.3f}"),
            (
                "mean predictor MAE" if self.mean_known else "mid-range predictor MAE",
                f"{e.mean_predictor_mae:.2f} {u}",
            ),
            ("slope of error on label", f"{e.slope:+.2f}"),
            ("coverage (prototype in radius)", f"{self.coverage:.1%}"),
            ("distinct prototypes", f"{self.distinct_prototypes} of {self.prototypes}"),
            ("effective prototypes (80 % of weight)", f"{self.effective_prototypes:.1f}"),
            (
                "source-label gap",
                "unknown" if self.source_label_gap is None else f"{self.source_label_gap:.2f} {u}",
            ),
            ("flagged as unlike the training data", f"{self.unlike_training:.1%}"),
        ]
        if self.interval_coverage is not None and self.interval_level is not None:
            out.insert(
                8, (f"{self.interval_level:.0%} interval covers", f"{self.interval_coverage:.1%}")
            )
        return out


def evaluate(
    model: Model,
    table: str | os.PathLike[str],
    *,
    label_column: str | None = None,
    arrays: str | os.PathLike[str] | None = None,
    jobs: int | None = None,
    explanations: int | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> Evaluation:
    """Predict every image of a labelled table and hold the predictions against the labels.

    Parameters
    ----------
    model : from `expert.load_model`
    table : CSV with `file` and the label, see `expert.datasets.read_table`
    label_column : the label's column; found by name if None
    arrays : folder for the prepared images, to be used again by the next call; a temporary one if
        None
    jobs : processes for the preparation
    explanations : measure the explanations of so many subjects, too (`expert.measures`); None: of
        none
    progress : called with a stage and a fraction

    Raises
    ------
    InputError
        The table or one of its images cannot be used.
    """
    import tempfile

    from expert.cohort_arrays import load_cohort
    from expert.datasets import read_table
    from expert.familiarity import unlike_training
    from expert.inference import compare_views

    entries = read_table(table, label_column=label_column)
    with tempfile.TemporaryDirectory() as temporary:
        cohort = load_cohort(
            entries, model.info.input, Path(arrays or temporary), jobs=jobs, progress=progress
        )
    positions = model.info.input.positions_mm
    planes = cohort.planes(positions) if len(cohort.positions_mm) > 1 else [0]
    results, unlike = [], []
    for row in range(len(cohort.labels)):
        views, content = cohort.images[row, planes], cohort.content[row, planes]
        results.append(compare_views(model, views, content))
        unlike.append(
            bool(
                unlike_training(model.info, views, content, float(cohort.quality[row]), results[-1])
            )
        )
        if progress is not None:
            progress("predict", (row + 1) / len(cohort.labels))
    prediction = np.array([result.prediction for result in results])
    nearest = np.array([result.nearest_distance for result in results])
    info, calibration = model.info, model.info.calibration
    known = info.validation.get("training_mean")
    middle = (info.label.minimum + info.label.maximum) / 2 if known is None else float(known)
    figures = errors(prediction, cohort.labels, middle, cohort.subjects)
    distinct = distinct_prototypes(model)
    return Evaluation(
        model=info.name,
        errors=figures,
        coverage=float(np.mean([result.covered for result in results])),
        interval_coverage=None
        if calibration is None
        else float((np.abs(prediction - cohort.labels) <= calibration.half_width).mean()),
        interval_level=None if calibration is None else calibration.level,
        distinct_prototypes=distinct,
        prototypes=len(info.prototypes),
        effective_prototypes=effective_prototypes(np.stack([result.shares for result in results])),
        source_label_gap=_source_label_gap(model),
        unlike_training=float(np.mean(unlike)),
        explanations=None
        if explanations is None
        else _explanations(model, cohort, explanations, progress),
        failed=info.collapsed
        or collapse(
            prediction,
            cohort.labels,
            None if known is None else figures.mean_predictor_mae,
            distinct,
            len(info.prototypes),
        ),
        mean_known=known is not None,
        unit=info.label.unit,
        rows=[
            {"row": n + 1, "label": float(y), "prediction": float(p), "nearest_distance": float(d)}
            for n, (y, p, d) in enumerate(zip(cohort.labels, prediction, nearest, strict=True))
        ],
    )


def _source_label_gap(model: Model) -> float | None:
    gaps = [
        abs(p.label - p.source_label) for p in model.info.prototypes if p.source_label is not None
    ]
    return float(np.mean(gaps)) if gaps else None


def distinct_prototypes(model: Model) -> int:
    """Number of different subjects (or, without references, different latents) among the
    prototypes."""
    return len({*prototype_subjects(model)})


def prototype_subjects(model: Model, entries: Sequence[Entry] = ()) -> list[str]:
    """(P,) what to call the subject each prototype shows; without references, equal latents are
    one.

    Parameters
    ----------
    model : from `expert.load_model`
    entries : rows of a table: a prototype whose image is one of them is called as it is there
    """
    references = [p.reference for p in model.info.prototypes]
    known = {entry.sha256: entry.subject for entry in entries}
    if all(reference is not None for reference in references):
        return [
            known.get(reference.sha256, reference.subject)
            for reference in references
            if reference is not None
        ]
    latents = model.tensors["weights.prototypes"]
    count = len(model.info.prototypes)
    by_prototype = (
        latents.reshape(-1, count, latents[0].size).swapaxes(0, 1).reshape(count, -1)
    )  # stored plane by plane
    same = np.unique(by_prototype, axis=0, return_inverse=True)[1]
    return [f"prototype {number}" for number in same.ravel()]


def _explanations(
    model: Model, cohort: CohortArrays, subjects: int, progress: Callable[[str, float], None] | None
) -> ExplanationMeasures:
    from expert.measures import measure_explanations

    told = [p.source_label for p in model.info.prototypes]
    return measure_explanations(
        model.network,
        model.info.input,
        cohort,
        subjects=subjects,
        source_subjects=prototype_subjects(model, cohort.entries),
        source_labels=None if None in told else np.array(told),
        unit=model.info.label.unit,
        progress=progress,
    )
