"""Many images, one table of predictions: a bad input is a row that says so, and the rest goes
on."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from expert.datasets.table import read_table
from expert.errors import ExpertError, InputError
from expert.evaluation.metrics import bias_corrected
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
    "error",
)


@dataclass(frozen=True)
class Item:
    """One input."""

    name: str
    """As the user gave it: what the table shows."""
    path: Path
    pixel_size_mm: float | None = None


def items(
    inputs: Sequence[str | os.PathLike[str]], table: str | os.PathLike[str] | None = None
) -> list[Item]:
    """Inputs named one by one, then those of a table (`file` relative to it, optionally
    `pixel_size_mm`).

    Raises
    ------
    InputError
        Nothing was given, or the table cannot be used.
    """
    out = [Item(str(path), Path(path)) for path in inputs]
    if table is not None:
        out += [
            Item(row.name, row.file, row.pixel_size_mm) for row in read_table(table, labelled=False)
        ]
    if not out:
        raise InputError("Nothing to predict: name images or give a table.")
    return out


def predict_one(model: Model, item: Item, corrected: bool = False) -> dict[str, object]:
    """One row of the output; never raises for an input that cannot be used. `corrected`: see
    `predict`."""
    from expert.imaging.volume import read_volume
    from expert.inference import explain

    row: dict[str, object] = dict.fromkeys(COLUMNS, "")
    row |= {"input": item.name, "unit": model.info.label.unit}
    try:
        volume = read_volume(item.path, pixel_size_mm=item.pixel_size_mm)
        result = explain(model, volume, top=1, images=False)
    except ExpertError as error:
        return row | {"error": str(error)}
    except Exception as error:  # one damaged file among thousands must not end the run
        return row | {
            "error": f"Unexpected {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        }
    row |= {
        "prediction": f"{result.prediction:.4f}",
        "nearest_distance": f"{result.nearest_distance:.4f}",
        "prototypes_in_radius": result.prototypes_in_radius,
        "fallback": str(result.fallback).lower(),
        "warnings": "; ".join(notice.code for notice in result.warnings),
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


def predict(
    model: Model,
    inputs: Iterable[Item],
    out: str | os.PathLike[str],
    progress: Callable[[float], None] | None = None,
    *,
    corrected: bool = False,
) -> tuple[Path, int]:
    """Predict all inputs into a CSV file, row by row: what is done stays if the run is ended.

    Parameters
    ----------
    model : from `expert.load_model`
    inputs : from `items`
    out : CSV to write, with the columns `COLUMNS`
    progress : called with 0 to 1
    corrected : write the column `bias_corrected` beside the prediction, see
        `expert.evaluation.metrics.bias_corrected`

    Returns
    -------
    path, failed : the file, and how many inputs could not be used

    Raises
    ------
    InputError
        The output cannot be written, or a correction is asked for and the model knows none.
    """
    if corrected and (model.info.calibration is None or model.info.calibration.bias is None):
        raise InputError(
            f"The model {model.info.name} knows no bias correction: its training measured none."
        )
    columns = [*COLUMNS[:2], "bias_corrected", *COLUMNS[2:]] if corrected else list(COLUMNS)
    todo, failed, target = list(inputs), 0, Path(out)
    try:
        with target.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            for done, item in enumerate(todo, 1):
                row = predict_one(model, item, corrected)
                failed += bool(row["error"])
                writer.writerow(row)
                file.flush()
                if progress is not None:
                    progress(done / len(todo))
    except OSError as error:
        raise InputError(f"The table {target} could not be written: {error.strerror}.") from error
    return target, failed
