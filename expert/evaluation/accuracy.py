"""Accuracy of a model on a labelled table: errors, coverage, and whether it has collapsed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from expert.attribution import effective_prototypes
from expert.evaluation.metrics import Errors, collapse
from expert.evaluation.sites import (
    ALL,
    COLUMNS,
    PredictedImage,
    SiteEvaluation,
    evaluate_site,
    evaluate_sites,
    half_width,
)
from expert.files import write_text
from expert.schema import RESEARCH_USE

if TYPE_CHECKING:
    from expert.comparison import ViewsResult
    from expert.datasets.prepared_dataset import CohortArrays
    from expert.datasets.table import Entry
    from expert.evaluation.explanation_metrics import ExplanationMeasures
    from expert.model_file import Model
    from expert.schema import Calibration, ModelInfo


@dataclass(frozen=True)
class Evaluation:
    """Result of `evaluate`; `failed` is the reason why the model must not be used, or empty."""

    model: str
    errors: Errors
    coverage: float
    """Fraction of images with a prototype within the radius in every view (or by the mean distance,
    if the model combines the views)."""
    interval_coverage: float | None
    """Fraction of labels inside the interval; None if the model has none."""
    interval_level: float | None
    distinct_prototypes: int
    prototypes: int
    effective_prototypes: float
    source_label_gap: float | None
    """Mean |label of a prototype - label of the image it shows|, label units; None if unknown."""
    unlike_training: float
    """Fraction of images flagged as out-of-distribution."""
    failed: str
    unit: str
    mean_known: bool = True
    """Whether the mean training label is known; if not, the mean predictor predicts the middle of
    the label range."""
    statement: str = RESEARCH_USE
    explanations: ExplanationMeasures | None = None
    """Measures of the explanations; None if not requested."""
    rows: list[dict[str, object]] = field(default_factory=list)
    refused: int = 0
    """Number of images that could not be used or must not be predicted; `rows` say why."""
    prototype_images: int = 0
    """Number of images that are the model's prototypes: they were training images."""
    by_site: tuple[SiteEvaluation, ...] = ()
    """Figures of every site, in the order of the table, then of all images."""
    sites: list[dict[str, object]] = field(default_factory=list)
    """The sites without training images as `expert.schema.SiteFigures`, for a model file."""
    images: tuple[PredictedImage, ...] = field(default=(), repr=False)
    """Every image of the table; contains names of subjects, and is not saved."""

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the result as JSON.

        Parameters
        ----------
        path : path-like

        Returns
        -------
        Path
        """
        target = Path(path)
        document = asdict(self)
        del document["images"]
        write_text(target, json.dumps(document, indent=2))
        return target

    def lines(self) -> list[tuple[str, str]]:
        """Rows of a table.

        Returns
        -------
        list of (str, str)
            Name and value.
        """
        e, u = self.errors, self.unit
        rows = [
            ("images", str(e.images)),
            ("refused", str(self.refused)),
            ("MAE", f"{e.mae:.2f} {u} (95 %: {e.mae_low:.2f} – {e.mae_high:.2f})"),
            ("mean error", f"{e.mean_error:+.2f} {u}"),
            ("RMSE", f"{e.rmse:.2f} {u}"),
            ("r", f"{e.r:.3f}"),
            ("R²", f"{e.r2:.3f}"),
            (
                "mean predictor MAE" if self.mean_known else "mid-range predictor MAE",
                f"{e.mean_predictor_mae:.2f} {u}",
            ),
            ("slope of error on label", f"{e.slope:+.2f}"),
            ("coverage (prototype in radius)", f"{self.coverage:.1%}"),
        ]
        if self.interval_coverage is not None and self.interval_level is not None:
            covered = f"{self.interval_coverage:.1%}"
            rows.append((f"{self.interval_level:.0%} interval covers", covered))
        return [
            *rows,
            ("distinct prototypes", f"{self.distinct_prototypes} of {self.prototypes}"),
            ("effective prototypes (80 % of weight)", f"{self.effective_prototypes:.1f}"),
            (
                "source-label gap",
                "unknown" if self.source_label_gap is None else f"{self.source_label_gap:.2f} {u}",
            ),
            ("flagged as out-of-distribution", f"{self.unlike_training:.1%}"),
        ]

    def site_lines(self) -> list[tuple[str, ...]]:
        """Rows of a table by site; empty if there is only one.

        Returns
        -------
        list of tuple of str
            The header, a row for every site, and one for all images.
        """
        if len(self.by_site) < 3:
            return []
        return [COLUMNS, *(site.cells() for site in self.by_site)]

    def refusals(self) -> list[str]:
        """One sentence for every refused image, with its row in the table.

        Returns
        -------
        list of str
        """
        return [f"Image {image.row}: {image.refused}" for image in self.images if image.refused]


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
    """Predict every image of a labelled table and compare the predictions with the labels.

    Parameters
    ----------
    model : Model
        From `expert.load_model`.
    table : path-like
        CSV with `file` and the label, see `expert.datasets.table.read_table`.
    label_column : str, optional
        Column of the label; found by name if None.
    arrays : path-like, optional
        Folder for the prepared images, which the next call uses again; a temporary one if None.
    jobs : int, optional
        Processes for preprocessing.
    explanations : int, optional
        Number of subjects whose explanations are measured
        (`expert.evaluation.explanation_metrics`).
    progress : callable, optional
        Called with a stage and a fraction.

    Returns
    -------
    Evaluation

    Raises
    ------
    InputError
        The table cannot be used, or none of its images. Single images that cannot be used are
        counted and listed, and the figures are of the others.
    """
    import tempfile

    from expert.comparison import compare_views
    from expert.datasets.prepared_dataset import load_cohort
    from expert.datasets.table import read_table
    from expert.novelty import out_of_distribution_text

    entries = read_table(table, label_column=label_column)
    refused: dict[int, str] = {}
    with tempfile.TemporaryDirectory() as temporary:
        cohort = load_cohort(
            entries,
            model.info.input,
            Path(arrays or temporary),
            jobs=jobs,
            progress=progress,
            refused=refused,
        )
    planes = cohort.explained_planes(model.info.input)
    results, unlike = [], []
    for row in range(len(cohort.labels)):
        views, content = cohort.images[row, planes], cohort.content[row, planes]
        results.append(compare_views(model, views, content))
        quality = float(cohort.quality[row])
        text = out_of_distribution_text(model.info, views, content, quality, results[-1])
        unlike.append(bool(text))
        if progress is not None:
            progress("predict", (row + 1) / len(cohort.labels))
    info, calibration = model.info, model.info.calibration
    images = _predicted_images(
        entries, refused, results, unlike, calibration, site=Path(table).resolve().parent.name
    )
    known, middle = info.validation.get("training_mean"), mean_prediction(info)
    everything = evaluate_site(ALL, images, middle)
    assert everything.errors is not None  # `load_cohort` refuses a table without usable images
    by_site = evaluate_sites(images, middle)
    shown = {p.reference.sha256 for p in info.prototypes if p.reference is not None}
    trained = {
        image.row: image.site
        for image, entry in zip(images, entries, strict=True)
        if entry.sha256 in shown
    }
    figures = [site.figures("external") for site in by_site if site.name not in trained.values()]
    distinct = distinct_prototypes(model)
    return Evaluation(
        model=info.name,
        errors=everything.errors,
        coverage=float(np.mean([result.covered for result in results])),
        interval_coverage=everything.interval_coverage,
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
            np.array([result.prediction for result in results]),
            cohort.labels,
            None if known is None else everything.errors.mean_predictor_mae,
            distinct,
            len(info.prototypes),
        ),
        mean_known=known is not None,
        unit=info.label.unit,
        rows=[image.document() for image in images],
        refused=len(refused),
        prototype_images=len(trained),
        by_site=(*by_site, everything),
        sites=[site.model_dump(mode="json") for site in figures if site is not None],
        images=images,
    )


def mean_prediction(info: ModelInfo) -> float:
    """Prediction of the mean predictor: the mean training label, or else the middle of the range.

    Parameters
    ----------
    info : ModelInfo
        Of the model.

    Returns
    -------
    float
        Label units.
    """
    known = info.validation.get("training_mean")
    return (info.label.minimum + info.label.maximum) / 2 if known is None else float(known)


def _predicted_images(
    entries: Sequence[Entry],
    refused: dict[int, str],
    results: Sequence[ViewsResult],
    unlike: Sequence[bool],
    calibration: Calibration | None,
    site: str,
) -> tuple[PredictedImage, ...]:
    """Every row of the table; `site` is the name where the table has none."""
    predicted = iter(zip(results, unlike, strict=True))
    images = []
    for n, entry in enumerate(entries):
        image = PredictedImage(n + 1, entry.subject, entry.site or site, entry.label, None)
        if n in refused:
            images.append(replace(image, refused=refused[n]))
            continue
        result, flagged = next(predicted)
        images.append(
            replace(
                image,
                prediction=float(result.prediction),
                nearest_distance=float(result.nearest_distance),
                unlike_training=flagged,
                covered=None
                if calibration is None
                else bool(abs(result.prediction - entry.label) <= half_width(calibration, flagged)),
            )
        )
    return tuple(images)


def _source_label_gap(model: Model) -> float | None:
    gaps = [
        abs(p.label - p.source_label) for p in model.info.prototypes if p.source_label is not None
    ]
    return float(np.mean(gaps)) if gaps else None


def distinct_prototypes(model: Model) -> int:
    """Number of different subjects (without references: latents) among the prototypes."""
    return len({*prototype_subjects(model)})


def prototype_subjects(model: Model, entries: Sequence[Entry] = ()) -> list[str]:
    """The subject each prototype shows; without references, equal latents count as one subject.

    Parameters
    ----------
    model : Model
        From `expert.load_model`.
    entries : sequence of Entry
        Rows of a table. A prototype whose image is among them gets its subject's name from there.

    Returns
    -------
    list of str
        (P,) names.
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
    # Stored plane by plane.
    by_prototype = latents.reshape(-1, count, latents[0].size).swapaxes(0, 1).reshape(count, -1)
    same = np.unique(by_prototype, axis=0, return_inverse=True)[1]
    return [f"prototype {number}" for number in same.ravel()]


def _explanations(
    model: Model, cohort: CohortArrays, subjects: int, progress: Callable[[str, float], None] | None
) -> ExplanationMeasures:
    from expert.evaluation.explanation_metrics import measure_explanations

    labels = [p.source_label for p in model.info.prototypes]
    return measure_explanations(
        model.network,
        model.info.input,
        cohort,
        subjects=subjects,
        source_subjects=prototype_subjects(model, cohort.entries),
        source_labels=None if None in labels else np.array(labels),
        unit=model.info.label.unit,
        progress=progress,
    )
