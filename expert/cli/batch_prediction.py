"""Predict many images into one table, as before `expert.cohort`, which does the work."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from expert.cohort.inputs import Item
from expert.cohort.inputs import items as items  # its former place
from expert.cohort.prediction import predict_cohort
from expert.cohort.rows import COLUMNS as COLUMNS
from expert.cohort.rows import FORCE_HINT as FORCE_HINT
from expert.cohort.rows import Options, Row, predict_row

if TYPE_CHECKING:
    from expert.model_file import Model


def predict_one(model: Model, item: Item, corrected: bool = False, force: bool = False) -> Row:
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
    return predict_row(model, item, Options(corrected=corrected, force=force))


def predict_table(
    model: Model,
    inputs: Iterable[Item],
    out: str | os.PathLike[str],
    progress: Callable[[float], None] | None = None,
    *,
    corrected: bool = False,
    force: bool = False,
) -> tuple[Path, int]:
    """Predict all inputs into a new table, in this process.

    Parameters
    ----------
    model : Model
        From `expert.load_model`.
    inputs : iterable of Item
        From `items`.
    out : str or os.PathLike
        Table to write, with the columns `COLUMNS`.
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
    todo = list(inputs)

    def report(done: int) -> None:
        if progress is not None and done:
            progress(done / len(todo))

    options = Options(corrected=corrected, force=force)
    outcome = predict_cohort(model, todo, out, options, workers=1, overwrite=True, progress=report)
    return outcome.table, outcome.failed


predict = predict_table  # former name
