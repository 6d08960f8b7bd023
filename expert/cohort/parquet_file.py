"""The table of predictions as Parquet: numbers are numbers, and empty cells are missing values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from expert.cohort.cells import BOOLEANS, FLOATS, INTEGERS, Texts, cell, plain
from expert.datasets.table import as_number, import_pyarrow
from expert.errors import InputError
from expert.files import replacing
from expert.schema import RESEARCH_USE


def not_a_table(file: Path) -> InputError:
    """The error for a file that is something else, and must not be overwritten.

    Parameters
    ----------
    file : pathlib.Path

    Returns
    -------
    InputError
    """
    return InputError(
        f"The file {file} is not a table of predictions: give another --out, or remove it."
    )


def read_parquet(target: Path) -> list[Texts]:
    """Rows of a Parquet file as texts of a CSV file.

    Parameters
    ----------
    target : pathlib.Path

    Returns
    -------
    list of dict

    Raises
    ------
    InputError
        The file is not a table of predictions.
    """
    pyarrow = import_pyarrow()
    try:
        table = pyarrow.parquet.read_table(target)
    except (OSError, pyarrow.ArrowException) as error:
        raise not_a_table(target) from error
    if table.column_names[:1] != ["input"]:
        raise not_a_table(target)
    return [
        {column: cell(column, _as_text(column, value)) for column, value in row.items()}
        for row in table.to_pylist()
    ]


def _as_text(column: str, value: Any) -> str:
    if value is None:
        return ""
    if column in FLOATS:
        return format(value, FLOATS[column])
    return str(value).lower() if column in BOOLEANS else str(value)


def write_parquet(target: Path, columns: Sequence[str], rows: Sequence[Texts]) -> None:
    """Write rows as Parquet, with numbers and missing values.

    Parameters
    ----------
    target : pathlib.Path
        File to write, completely or not at all.
    columns : sequence of str
    rows : sequence of dict
        Texts of a CSV file.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    pyarrow = import_pyarrow()

    def value(column: str, text: str) -> object:
        if not text and column != "error":
            return None
        if column in FLOATS:
            return as_number(text)
        if column in INTEGERS:
            return int(text)
        return text == "true" if column in BOOLEANS else plain(column, text)

    def kind(column: str) -> Any:
        if column in FLOATS:
            return pyarrow.float64()
        if column in INTEGERS:
            return pyarrow.int64()
        return pyarrow.bool_() if column in BOOLEANS else pyarrow.string()

    schema = pyarrow.schema(
        [(column, kind(column)) for column in columns], metadata={"statement": RESEARCH_USE}
    )
    values = [{column: value(column, row[column]) for column in columns} for row in rows]
    with replacing(target) as temporary:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(values, schema), temporary)
