"""Read tables of images with labels (CSV or Parquet)."""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from expert.errors import InputError
from expert.untrusted.csv_text import Row, read_csv

LABEL_COLUMNS = ("age_years", "age", "label")
"""Label columns, in order of preference."""
OLDEST = 130
"""Years; codes for a missing age, such as -9 and 999, are no ages."""
SUBJECT_COLUMNS = ("subject", "exam")
"""Subject columns, in order of preference."""
PARQUET = ".parquet"
SHOWN, MOST_COLUMNS = 3, 12
"""Rows and columns that a message names."""
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
        missing or has another checksum; an image has two subjects. The message names row and
        column, of the first rows if there are several.
    """
    source = Path(path)
    columns, rows = _parquet(source) if source.suffix.lower() == PARQUET else _csv(source)
    if "file" not in columns:
        hint = " Are they separated by commas, semicolons or tabs?" if len(columns) == 1 else ""
        raise InputError(
            f"The table {source.name} has no column 'file' (it has: {_listed(columns)}).{hint}"
        )
    if not rows:
        raise InputError(f"The table {source.name} has no rows.")
    candidates = LABEL_COLUMNS if label_column is None else (label_column,)
    label = next((name for name in candidates if name in columns), None)
    if labelled and label is None:
        wanted = "' or '".join(candidates)
        raise InputError(
            f"The table {source.name} has no label column '{wanted}' (it has: {_listed(columns)})."
        )
    years = label == "age_years" or (label == "age" and label_column is None)
    subject = next((name for name in SUBJECT_COLUMNS if name in columns), None)
    out, problems = [], []
    for number, row in rows:
        try:
            out.append(_entry(source, row, label, subject, labelled, years))
        except ValueError as error:
            problems.append((number, str(error)))
    if labelled and not problems:
        problems = _repeated(out, [number for number, _ in rows])
    if problems:
        raise InputError(_sentence(source.name, problems, len(rows)))
    return tuple(out)


def _entry(
    source: Path,
    row: dict[str, str],
    label: str | None,
    subject: str | None,
    labelled: bool,
    years: bool,
) -> Entry:
    """A row; ValueError says what is wrong with it."""
    name = row["file"]
    if not name:
        raise ValueError("it has no file name")
    file = source.parent / name
    if "\\" in name and not file.exists():  # a table from Windows
        file = source.parent / name.replace("\\", "/")
    if labelled and not file.is_file():
        raise ValueError(f"the file {name} does not exist; paths are relative to the table")
    size = _number(row, "pixel_size_mm") if row.get("pixel_size_mm") else None
    if size is not None and size <= 0:
        raise ValueError("column 'pixel_size_mm' must be above 0")
    value = math.nan
    if label is not None:
        value = _number(row, label) if labelled else as_number(row.get(label, ""))
        if years and not math.isnan(value) and not 0 <= value <= OLDEST:
            if labelled:
                raise ValueError(
                    f"column '{label}' holds {value:g}, which is no age in years; name the column "
                    "'label' if it has another unit"
                )
            value = math.nan
    return Entry(
        subject=(row.get(subject, "") if subject else "") or _public_name(name),
        name=name,
        file=file,
        label=value,
        pixel_size_mm=size,
        sha256=_verify(row, file) if labelled else row.get("sha256", ""),
        site=row.get("site", ""),
        reference=row.get("reference", ""),
    )


def _repeated(entries: list[Entry], numbers: list[int]) -> list[tuple[int, str]]:
    """Rows with an image of another row under another subject: both would be in different folds."""
    first: dict[str, tuple[int, Entry]] = {}
    problems = []
    for number, entry in zip(numbers, entries, strict=True):
        before, other = first.setdefault(entry.sha256, (number, entry))
        if other.subject != entry.subject or other.label != entry.label:
            what = "subject" if other.subject != entry.subject else "label"
            problems.append((number, f"it is the image of row {before} with another {what}"))
    return problems


def _sentence(name: str, problems: list[tuple[int, str]], rows: int) -> str:
    """All rows that cannot be used: the first ones, and how many there are."""
    if len(problems) == 1:
        ((number, problem),) = problems
        return f"Row {number} of {name}: {problem}."
    shown = "; ".join(f"row {number}: {problem}" for number, problem in problems[:SHOWN])
    rest = len(problems) - SHOWN
    further = f"; and {rest} more" if rest > 0 else ""
    return f"{len(problems)} of {rows} rows of {name} cannot be used: {shown}{further}."


def _listed(columns: list[str]) -> str:
    return (
        ", ".join(columns[:MOST_COLUMNS]) + (", …" if len(columns) > MOST_COLUMNS else "") or "none"
    )


def _csv(source: Path) -> tuple[list[str], list[Row]]:
    """Columns and rows of a CSV file."""
    try:
        return read_csv(source)
    except OSError as error:
        raise InputError(f"The table {source} could not be read: {error.strerror}.") from error
    except ValueError as error:
        raise InputError(f"The table {source} could not be read: {error}.") from error


def _parquet(source: Path) -> tuple[list[str], list[Row]]:
    """Columns and rows of a Parquet file, as texts."""
    pyarrow = import_pyarrow()
    try:
        table = pyarrow.parquet.read_table(source)
    except (OSError, pyarrow.ArrowException) as error:
        raise InputError(f"The table {source} could not be read: {error}.") from error
    rows = [
        (n, {name: "" if value is None else str(value).strip() for name, value in row.items()})
        for n, row in enumerate(table.to_pylist(), 1)
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


def _number(row: dict[str, str], column: str) -> float:
    value = as_number(row.get(column, ""))
    if math.isnan(value):
        raise ValueError(f"column '{column}' holds '{row.get(column, '')[:40]}', not a number")
    return value


def _verify(row: dict[str, str], file: Path) -> str:
    try:
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ValueError(f"{row['file']} could not be read: {error.strerror}") from error
    stated = row.get("sha256", "").lower()
    if stated and stated != digest:
        raise ValueError(f"the checksum of {row['file']} differs from the one in the table")
    return digest
