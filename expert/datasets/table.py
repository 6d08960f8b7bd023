"""Read tables of images with labels (CSV)."""

from __future__ import annotations

import csv
import hashlib
import math
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from expert.errors import InputError

LABEL_COLUMNS = ("age_years", "age", "label")
"""Label columns, in order of preference."""
SUBJECT_COLUMNS = ("subject", "exam")
"""Subject columns, in order of preference."""
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
    """NaN where the table has no labels."""
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
    """Read a CSV table of images.

    Parameters
    ----------
    path : str or os.PathLike
        CSV with the column `file` (relative to the table) and, optionally, `subject` or `exam`
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
                label=_number(where, row, label) if labelled and label else math.nan,
                pixel_size_mm=_number(where, row, "pixel_size_mm")
                if row.get("pixel_size_mm")
                else None,
                sha256=digest,
                site=row.get("site", ""),
                reference=row.get("reference", ""),
            )
        )
    return tuple(out)


def _number(where: str, row: dict[str, str], column: str) -> float:
    try:
        value = float(row.get(column, ""))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
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
