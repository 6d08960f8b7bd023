"""Predict a cohort: the images that an earlier run has not finished, into one table."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from expert.cohort.cells import Texts
from expert.cohort.inputs import Item
from expert.cohort.rows import FORCE_HINT, Options, check_options, model_columns
from expert.cohort.runner import Check, default_workers, predict_rows
from expert.cohort.table_file import open_table
from expert.errors import InputError

if TYPE_CHECKING:
    from expert.model_file import Model

FORCED = "forced_prediction"
"""Code of the warning of an image that was predicted although it was refused."""


@dataclass(frozen=True)
class Outcome:
    """The result of `predict_cohort`."""

    table: Path
    rows: list[Texts]
    """Rows of the inputs in their order; other rows of the table are left out."""
    kept: int
    """Number of inputs that an earlier run has predicted."""
    kept_errors: int
    """Number of these whose row is one with an error."""

    @property
    def failed(self) -> int:
        """Number of inputs that could not be used."""
        return sum(bool(row["error"]) for row in self.rows)


def predict_cohort(
    model: Model,
    items: Sequence[Item],
    out: str | os.PathLike[str],
    options: Options | None = None,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    overwrite: bool = False,
    retry_errors: bool = False,
    progress: Callable[[int], None] = lambda done: None,
    check: Check = lambda: None,
    notify: Callable[[str], None] = lambda text: None,
) -> Outcome:
    """Predict images into a table; finished rows stay if the run is ended, and are not repeated.

    A script that calls this must have its code below ``if __name__ == "__main__":``, because worker
    processes import it.

    Parameters
    ----------
    model : Model
        From `expert.load_model`.
    items : sequence of Item
        From `expert.cohort.inputs.items`.
    out : str or os.PathLike
        CSV, or Parquet if its name ends in .parquet.
    options : Options, optional
    workers : int, optional
        Worker processes; by default `expert.cohort.runner.default_workers`.
    scheduler : str, optional
        Address of a Dask scheduler, instead of own workers.
    overwrite : bool
        Predict all images, and drop the rows of an earlier run.
    retry_errors : bool
        Predict the images again whose row is one with an error.
    progress : callable
        Called with the number of finished images, first with that of an earlier run.
    check : callable
        Called several times a second; may raise `expert.errors.Cancelled`.
    notify : callable
        Called with a sentence for the user.

    Returns
    -------
    Outcome

    Raises
    ------
    InputError
        The table or the folder of explanations cannot be written, the table is of another model or
        has other columns, or the model has no bias correction.
    ExpertError
        The workers cannot be used.
    """
    target = Path(out)
    options = replace(options or Options(), beside=target.parent)
    check_options(model, options)
    if any(os.path.abspath(item.path) == os.path.abspath(target) for item in items):  # noqa: PTH100
        raise InputError(f"The table {target} is one of the inputs: give another --out.")
    if options.explanations is not None:
        _make_folder(options.explanations)

    def repeat(row: Texts) -> bool:
        """Whether a row of an earlier run is not what this run would write."""
        if row["error"]:
            return retry_errors or (options.force and row["error"].endswith(FORCE_HINT))
        forced = FORCED in row["warnings"].split("; ")
        missing = options.explanations is not None and not row["explanation"]
        return missing or (forced and not options.force)

    with open_table(
        target, options.columns, model_columns(model), overwrite=overwrite, repeat=repeat
    ) as table:
        todo = [item for item in items if not table.is_done(item.name)]
        kept = len(items) - len(todo)
        kept_errors = sum(table.has_error(item.name) for item in items)
        progress(kept)
        if workers is None and scheduler is None:
            workers = default_workers(len(todo))
        found = predict_rows(
            model,
            todo,
            options,
            workers=min(workers or 1, len(todo)),
            scheduler=scheduler if todo else None,
            check=check,
            notify=notify,
        )
        with closing(found) as rows:  # also ends the workers after an error here
            for done, row in enumerate(rows, kept + 1):
                table.append(row)
                progress(done)
        finished = table.finish([item.name for item in items])
    return Outcome(target, finished, kept, kept_errors)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The folder {folder} could not be made: {error.strerror}.") from error
