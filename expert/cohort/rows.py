"""One image, one row of the table of predictions."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from expert.cohort.inputs import Item
from expert.errors import Cancelled, ExpertError, InputError, RefusedError
from expert.evaluation.metrics import bias_corrected
from expert.explanation import Notice

if TYPE_CHECKING:
    from expert.explanation import Explanation
    from expert.model_file import Model

COLUMNS = (
    "input",
    "prediction",
    "unit",
    "lower",
    "upper",
    "nearest_distance",
    "prototypes_in_radius",
    "fallback",
    "registration_quality",
    "warnings",
    "warning_text",
    "error",
    "label",
    "model",
    "model_version",
    "model_sha256",
    "input_checksum",
    "nearest_prototype",
    "nearest_label",
    "explanation",
)
FORCE_HINT = "Use --force to predict anyway; the result is probably wrong."
"""Follows the reason why an image is refused."""
SHOWN_PROTOTYPES = 5
"""Prototypes in the explanation of an image, as in `expert explain`."""
Row = dict[str, object]
Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Options:
    """How the images of a run are predicted."""

    corrected: bool = False
    """Also correct for regression to the mean."""
    force: bool = False
    """Predict refused images all the same."""
    explanations: Path | None = None
    """Folder for an explanation and a report of each image."""
    beside: Path = Path()
    """Folder of the table, which refers to the reports by relative paths."""
    show_names: bool = False
    """Write the name of the image into its report."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the table."""
        added = ("bias_corrected",) if self.corrected else ()
        return (*COLUMNS[:2], *added, *COLUMNS[2:])


def check_options(model: Model, options: Options) -> None:
    """Check whether a model can do what is asked for.

    Parameters
    ----------
    model : Model
    options : Options

    Raises
    ------
    InputError
        The model has no bias correction.
    """
    calibration = model.info.calibration
    if options.corrected and (calibration is None or calibration.bias is None):
        raise InputError(
            f"The model {model.info.name} has no bias correction: its training estimated none."
        )


def model_columns(model: Model) -> dict[str, str]:
    """The columns that say by which model a row was predicted.

    Parameters
    ----------
    model : Model

    Returns
    -------
    dict
        `unit`, `model`, `model_version` and `model_sha256`.
    """
    return {
        "unit": model.info.label.unit,
        "model": model.info.name,
        "model_version": model.info.version,
        "model_sha256": model.sha256,
    }


def first_columns(item: Item, options: Options, model: Mapping[str, str]) -> Row:
    """A row with what is known before the image is read.

    Parameters
    ----------
    item : Item
    options : Options
    model : mapping
        From `model_columns`.

    Returns
    -------
    dict
        All columns; the others are empty.
    """
    row: Row = dict.fromkeys(options.columns, "")
    label = "" if math.isnan(item.label) else f"{item.label:g}"
    return {**row, **model, "input": item.name, "label": label}


def predict_row(
    model: Model, item: Item, options: Options, progress: Progress | None = None
) -> Row:
    """Predict one input; no error of the input ends the run.

    Parameters
    ----------
    model : Model
        From `expert.load_model`.
    item : Item
        The input.
    options : Options
    progress : callable, optional
        As in `expert.explain`; may raise `expert.errors.Cancelled`, which is passed on.

    Returns
    -------
    dict
        One row of the table, by column; ``error`` is empty if the input was predicted.
    """
    row = first_columns(item, options, model_columns(model))
    try:
        _fill(row, model, item, options, progress)
    except Cancelled:
        raise
    except RefusedError as error:
        row["error"] = f"{error} {FORCE_HINT}"
    except ExpertError as error:
        row["error"] = str(error)
    except Exception as error:  # one damaged file among thousands must not end the run
        text = " ".join(str(error).split())[:200]
        row["error"] = f"Unexpected {type(error).__name__}: {text}"
    return row


def _fill(row: Row, model: Model, item: Item, options: Options, progress: Progress | None) -> None:
    from expert.imaging.volume import read_volume
    from expert.inference import explain

    if item.problem:
        raise InputError(item.problem)
    volume = read_volume(item.path, pixel_size_mm=item.pixel_size_mm)
    row["input_checksum"] = volume.fingerprint()
    in_full = options.explanations is not None
    result = explain(
        model,
        volume,
        top=SHOWN_PROTOTYPES if in_full else 1,
        images=in_full or model.prototype_images is not None,
        force=options.force,
        progress=progress,
    )
    # Which images of prototypes are available is no property of the input.
    warnings = [notice for notice in result.warnings if notice.code != "prototype_image_missing"]
    if not any(notice.code == "training_image" for notice in warnings):
        warnings += _training_image(model, item.path)
    if options.explanations is not None:
        row["explanation"] = _write_explanation(result, model, item, options)
    nearest = int(np.argmin(result.distances))
    row |= {
        "prediction": f"{result.prediction:.4f}",
        "nearest_distance": f"{result.nearest_distance:.4f}",
        "prototypes_in_radius": result.prototypes_in_radius,
        "fallback": str(result.fallback).lower(),
        "warnings": "; ".join(notice.code for notice in warnings),
        "warning_text": " ".join(notice.text for notice in warnings),
        "nearest_prototype": nearest,
        "nearest_label": f"{float(result.labels[nearest]):.4f}",
    }
    if options.corrected and model.info.calibration is not None:
        row["bias_corrected"] = (
            f"{float(bias_corrected(np.array(result.prediction), model.info.calibration.bias)):.4f}"
        )
    if result.interval is not None:
        row |= {"lower": f"{result.interval.lower:.4f}", "upper": f"{result.interval.upper:.4f}"}
    if result.registration is not None:
        row["registration_quality"] = f"{result.registration.quality:.3f}"


def _training_image(model: Model, path: Path) -> list[Notice]:
    """A warning if a file is the image of one of the prototypes, by its checksum."""
    known = {p.reference.sha256 for p in model.info.prototypes if p.reference is not None}
    if not known or not path.is_file():
        return []
    if hashlib.sha256(path.read_bytes()).hexdigest() not in known:
        return []
    message = (
        "This image is the training image of one of the prototypes: expect a larger error on new "
        "images."
    )
    return [Notice(code="training_image", message=message)]


def _write_explanation(result: Explanation, model: Model, item: Item, options: Options) -> str:
    """Write explanation and report; the report's path relative to the table.

    The folder is named after the checksum of the voxels, which does not identify the person.
    """
    from expert.report.report import write_report

    assert options.explanations is not None
    folder = options.explanations / result.input_sha256[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The folder {folder} could not be made: {error.strerror}.") from error
    result.save(folder / "explanation.json")
    source = item.path.name if options.show_names else None
    report = write_report(result, folder / "report.html", model=model.info, source=source)
    try:
        return Path(os.path.relpath(report, options.beside)).as_posix()
    except ValueError:  # on another drive
        return report.resolve().as_posix()
