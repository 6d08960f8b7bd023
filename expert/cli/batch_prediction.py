"""Predict many images into one table; failed images are reported in its `error` column."""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from expert.datasets.table import read_table
from expert.errors import ExpertError, InputError, RefusedError
from expert.evaluation.metrics import bias_corrected
from expert.explanation import Notice
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
)
FORCE_HINT = "Use --force to predict anyway; the result is probably wrong."
"""Follows the reason why an image is refused."""


@dataclass(frozen=True)
class Item:
    """One input."""

    name: str
    """As the user gave it; written to the table."""
    path: Path
    pixel_size_mm: float | None = None


def items(
    inputs: Sequence[str | os.PathLike[str]], table: str | os.PathLike[str] | None = None
) -> list[Item]:
    """List the inputs given one by one, then those of a table.

    Parameters
    ----------
    inputs : sequence of str or os.PathLike
        Image files or DICOM folders.
    table : str or os.PathLike, optional
        CSV with the column `file` (relative to the table) and, for plain 2D images,
        `pixel_size_mm`.

    Returns
    -------
    list of Item
        In the order given.

    Raises
    ------
    InputError
        No input was given, or the table cannot be used.
    """
    out = [Item(str(path), Path(path)) for path in inputs]
    if table is not None:
        out += [
            Item(row.name, row.file, row.pixel_size_mm) for row in read_table(table, labelled=False)
        ]
    if not out:
        raise InputError("Nothing to predict: give images or a table.")
    return out


def predict_one(
    model: Model, item: Item, corrected: bool = False, force: bool = False
) -> dict[str, object]:
    """Predict one input; no error of the input ends the run.

    Parameters
    ----------
    model : Model
        From `expert.load_model`.
    item : Item
        The input.
    corrected : bool
        Also correct for regression to the mean.
    force : bool
        Predict a refused image all the same.

    Returns
    -------
    dict
        One row of the table, by column; ``error`` is empty if the input was predicted.
    """
    from expert.imaging.volume import read_volume
    from expert.inference import explain

    row: dict[str, object] = dict.fromkeys(COLUMNS, "")
    row |= {"input": item.name, "unit": model.info.label.unit}
    try:
        volume = read_volume(item.path, pixel_size_mm=item.pixel_size_mm)
        embedded = model.prototype_images is not None
        result = explain(model, volume, top=1, images=embedded, force=force)
    except RefusedError as error:
        return row | {"error": f"{error} {FORCE_HINT}"}
    except ExpertError as error:
        return row | {"error": str(error)}
    except Exception as error:  # one damaged file among thousands must not end the run
        return row | {
            "error": f"Unexpected {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        }
    warnings = list(result.warnings)
    if not any(notice.code == "training_image" for notice in warnings):
        warnings += _training_image(model, item.path)
    row |= {
        "prediction": f"{result.prediction:.4f}",
        "nearest_distance": f"{result.nearest_distance:.4f}",
        "prototypes_in_radius": result.prototypes_in_radius,
        "fallback": str(result.fallback).lower(),
        "warnings": "; ".join(notice.code for notice in warnings),
        "warning_text": " ".join(notice.text for notice in warnings),
    }
    if corrected and model.info.calibration is not None:
        row["bias_corrected"] = (
            f"{float(bias_corrected(np.array(result.prediction), model.info.calibration.bias)):.4f}"
        )
    if result.interval is not None:
        row |= {"lower": f"{result.interval.lower:.4f}", "upper": f"{result.interval.upper:.4f}"}
    if result.registration is not None:
        row["registration_quality"] = f"{result.registration.quality:.3f}"
    return row


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


def predict_table(
    model: Model,
    inputs: Iterable[Item],
    out: str | os.PathLike[str],
    progress: Callable[[float], None] | None = None,
    *,
    corrected: bool = False,
    force: bool = False,
) -> tuple[Path, int]:
    """Predict all inputs into a CSV file, row by row: finished rows stay if the run is ended.

    Parameters
    ----------
    model : Model
        From `expert.load_model`.
    inputs : iterable of Item
        From `items`.
    out : str or os.PathLike
        CSV to write, with the columns `COLUMNS`.
    progress : callable, optional
        Called with a fraction, 0 to 1.
    corrected : bool
        Also write the column `bias_corrected`, see `expert.evaluation.metrics.bias_corrected`.
    force : bool
        Predict refused images all the same: `forced_prediction` in the column `warnings`.

    Returns
    -------
    path : pathlib.Path
        The file.
    failed : int
        Number of inputs that could not be used.

    Raises
    ------
    InputError
        The file cannot be written, or the model has no bias correction.
    """
    if corrected and (model.info.calibration is None or model.info.calibration.bias is None):
        raise InputError(
            f"The model {model.info.name} has no bias correction: its training estimated none."
        )
    columns = [*COLUMNS[:2], "bias_corrected", *COLUMNS[2:]] if corrected else list(COLUMNS)
    todo, failed, target = list(inputs), 0, Path(out)
    try:
        with target.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            for done, item in enumerate(todo, 1):
                row = predict_one(model, item, corrected, force)
                failed += bool(row["error"])
                writer.writerow(row)
                file.flush()
                if progress is not None:
                    progress(done / len(todo))
    except OSError as error:
        raise InputError(f"The table {target} could not be written: {error.strerror}.") from error
    return target, failed


predict = predict_table  # former name
