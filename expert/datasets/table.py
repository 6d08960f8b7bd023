"""Read tables of images with labels (CSV or Parquet)."""

from __future__ import annotations

import csv
import hashlib
import math
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from expert.errors import InputError

LABEL_COLUMNS = ("age_years", "age", "label")
"""Label columns, in order of preference."""
SUBJECT_COLUMNS = ("subject", "exam")
"""Subject columns, in order of preference."""
PARQUET = ".parquet"
LABELS, SUBJECTS = LABEL_COLUMNS, SUBJECT_COLUMNS  # former names


@dataclass(frozen=True)
class Entry:
    """One row of a table."""

    subject: str
    """Rows of one subject share it."""
    name: str
    """File name as in the table."""
    file: Path
    """Path of the file."""
    label: float
    """NaN where the table has none that is a number."""
    pixel_size_mm: float | None
    """Of a plain 2D image."""
    sha256: str
    """Checksum of the file; empty for a table without labels that has none."""
    site: str = ""
    """Scanner, hospital or data set; empty where the table has no column `site`."""
    reference: str = ""
    """Path of the file in its public data set; empty where the table has no column `reference`."""

    @property
    def public_name(self) -> str:
        """File name within the data set, which may be published: no path outside of it."""
        return _public_name(self.reference or self.name)


def _public_name(name: str) -> str:
    path = PurePosixPath(name.replace("\\", "/"))
    outside = path.is_absolute() or ".." in path.parts or ":" in name
    return path.name if outside else str(path)


def read_table(
    path: str | os.PathLike[str], *, label_column: str | None = None, labelled: bool = True
) -> tuple[Entry, ...]:
    """Read a table of images.

    Parameters
    ----------
    path : str or os.PathLike
        CSV or Parquet with the column `file` (relative to the table) and, optionally, `subject` or
        `exam`
        (rows that belong together), `site`, `reference` (path in a public data set),
        `pixel_size_mm` (plain 2D images) and `sha256`.
    label_column : str, optional
        Name of the label column; None: `age_years`, `age` or `label`.
    labelled : bool
        Whether every row must have a label and an existing file.

    Returns
    -------
    tuple of Entry
        One per row.

    Raises
    ------
    InputError
        The table cannot be read, is empty or lacks a column; a label is not a number; a file is
        missing or has another checksum. The message names row and column.
    """
    source = Path(path)
    columns, rows = _parquet(source) if source.suffix.lower() == PARQUET else _csv(source)
    if "file" not in columns:
        raise InputError(
            f"The table {source.name} has no column 'file' (it has: "
            f"{', '.join(columns) or 'none'})."
        )
    if not rows:
        raise InputError(f"The table {source.name} has no rows.")
    candidates = LABEL_COLUMNS if label_column is None else (label_column,)
    label = next((name for name in candidates if name in columns), None)
    if labelled and label is None:
        wanted = "' or '".join(candidates)
        raise InputError(
            f"The table {source.name} has no label column '{wanted}' (it has: "
            f"{', '.join(columns)})."
        )
    subject = next((name for name in SUBJECT_COLUMNS if name in columns), None)
    out = []
    for number, row in enumerate(rows, 2):
        where = f"Row {number} of {source.name}"
        if not row["file"]:
            raise InputError(f"{where} has no file name.")
        file = source.parent / row["file"]
        if labelled and not file.is_file():
            raise InputError(
                f"{where}: the file {row['file']} does not exist; paths are relative to the table."
            )
        digest = _verify(where, row, file) if labelled else row.get("sha256", "")
        out.append(
            Entry(
                subject=(row.get(subject, "") if subject else "") or _public_name(row["file"]),
                name=row["file"],
                file=file,
                label=_label(where, row, label, labelled),
                pixel_size_mm=_number(where, row, "pixel_size_mm")
                if row.get("pixel_size_mm")
                else None,
                sha256=digest,
                site=row.get("site", ""),
                reference=row.get("reference", ""),
            )
        )
    return tuple(out)


def _csv(source: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Columns and rows of a CSV file."""
    try:
        with source.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            columns = [name.strip() for name in reader.fieldnames or []]
            reader.fieldnames = columns
            rows = [
                {k: (v or "").strip() for k, v in row.items() if isinstance(k, str)}
                for row in reader
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"The table {source} could not be read: {error}.") from error
    return columns, rows


def _parquet(source: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Columns and rows of a Parquet file, as texts."""
    pyarrow = import_pyarrow()
    try:
        table = pyarrow.parquet.read_table(source)
    except (OSError, pyarrow.ArrowException) as error:
        raise InputError(f"The table {source} could not be read: {error}.") from error
    rows = [
        {name: "" if value is None else str(value).strip() for name, value in row.items()}
        for row in table.to_pylist()
    ]
    return list(table.column_names), rows


def import_pyarrow() -> Any:
    """The package that reads and writes Parquet.

    Returns
    -------
    module
        `pyarrow`, with `pyarrow.parquet`.

    Raises
    ------
    InputError
        It is not installed.
    """
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise InputError(
            "Parquet files need the package pyarrow: pip install 'napari-expert[parquet]', or use "
            "CSV."
        ) from error
    return pyarrow


def _label(where: str, row: dict[str, str], column: str | None, required: bool) -> float:
    if column is None:
        return math.nan
    if required:
        return _number(where, row, column)
    return as_number(row.get(column, ""))


def as_number(text: str) -> float:
    """A number that may be missing.

    Parameters
    ----------
    text : str

    Returns
    -------
    float
        NaN if the text is not a finite number.
    """
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def _number(where: str, row: dict[str, str], column: str) -> float:
    value = as_number(row.get(column, ""))
    if math.isnan(value):
        raise InputError(f"{where}: column '{column}' holds '{row.get(column, '')}', not a number.")
    return value


def _verify(where: str, row: dict[str, str], file: Path) -> str:
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    stated = row.get("sha256", "").lower()
    if stated and stated != digest:
        raise InputError(
            f"{where}: the checksum of {row['file']} differs from the one in the table."
        )
    return digest
