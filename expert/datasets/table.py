"""Tables of images with labels, and where a prototype's image is found when the model only refers
to it."""

from __future__ import annotations

import csv
import hashlib
import math
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from expert.errors import InputError

LABELS = ("age_years", "age", "label")
SUBJECTS = ("subject", "exam")


@dataclass(frozen=True)
class Entry:
    """One row of a table."""

    subject: str
    name: str
    """The file as the table names it."""
    file: Path
    """Where that is."""
    label: float
    """NaN where the table has no labels."""
    pixel_size_mm: float | None
    sha256: str
    """Of the file's contents; from the table, else computed."""

    @property
    def public_name(self) -> str:
        """The file within its data set: what may be told to others. A way that leads elsewhere is
        left off."""
        return _public_name(self.name)


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
    path : CSV with the column `file` (relative to the table), and, where there are, `subject` or
        `exam` (rows that belong together), `pixel_size_mm` (plain 2D images), `sha256`
    label_column : the label's column; `age_years`, `age` or `label` if None
    labelled : whether every row must have a label

    Raises
    ------
    InputError
        The table is missing, empty or lacks a column, a label is no number, a file is missing or
        not the one of its checksum; the message names row and column.
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
    candidates = LABELS if label_column is None else (label_column,)
    label = next((name for name in candidates if name in columns), None)
    if labelled and label is None:
        wanted = "' or '".join(candidates)
        raise InputError(
            f"The table {source.name} has no label column '{wanted}' (it has: "
            f"{', '.join(columns)})."
        )
    subject = next((name for name in SUBJECTS if name in columns), None)
    out = []
    for number, row in enumerate(rows, 2):
        where = f"Row {number} of {source.name}"
        if not row["file"]:
            raise InputError(f"{where} names no file.")
        file = source.parent / row["file"]
        if labelled and not file.is_file():
            raise InputError(f"{where}: there is no file {row['file']} beside the table.")
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
            f"{where}: {row['file']} is not the file the table means (its checksum differs)."
        )
    return digest
