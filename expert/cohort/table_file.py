"""The table of predictions: rows are added one by one, and an ended run can be continued.

While a run goes on, the file is CSV and has the rows in the order in which they were finished. The
end of a run, and the start of a continued one, write it anew beside itself and rename it. Whenever
the program is ended, the file therefore holds all finished rows, and at most one incomplete line.
"""

from __future__ import annotations

import csv
import io
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from expert.cohort.cells import Texts, cell, plain_row
from expert.cohort.parquet_file import not_a_table, read_parquet, write_parquet
from expert.datasets.table import PARQUET, import_pyarrow
from expert.errors import InputError
from expert.files import replacing

SYNC_SECONDS = 5.0
"""Longest time until finished rows are on the disk, even if the computer loses power."""


class TableFile:
    """A table that is being written; made by `open_table`.

    Parameters
    ----------
    target : pathlib.Path
        The table, CSV or Parquet.
    columns : tuple of str
    file : file
        The running record, open for appending.
    done : dict of str to bool
        Inputs that have a row, as in `cell`, and whether it is one with an error.
    """

    def __init__(
        self, target: Path, columns: Sequence[str], file: IO[str], done: dict[str, bool]
    ) -> None:
        self.target = target
        self.columns = tuple(columns)
        self.done = done
        self._file = file
        self._writer = csv.DictWriter(file, columns)
        self._synced = time.monotonic()

    def append(self, row: Mapping[str, object]) -> None:
        """Add a finished row.

        Parameters
        ----------
        row : mapping
            Values by column.

        Raises
        ------
        InputError
            The file cannot be written.
        """
        texts = {column: cell(column, row[column]) for column in self.columns}
        with _writing(self.target):
            self._writer.writerow(texts)
            self._file.flush()
            if time.monotonic() - self._synced > SYNC_SECONDS:
                os.fsync(self._file.fileno())
                self._synced = time.monotonic()
        self.done[texts["input"]] = bool(texts["error"])

    def is_done(self, name: str) -> bool:
        """Whether an input has a row.

        Parameters
        ----------
        name : str
            As in the column `input`.

        Returns
        -------
        bool
        """
        return cell("input", name) in self.done

    def has_error(self, name: str) -> bool:
        """Whether an input has a row with an error.

        Parameters
        ----------
        name : str
            As in the column `input`.

        Returns
        -------
        bool
        """
        return self.done.get(cell("input", name), False)

    def finish(self, order: Sequence[str]) -> list[Texts]:
        """Put the rows into the order of the inputs, and write Parquet if that was asked for.

        Parameters
        ----------
        order : sequence of str
            Names of the inputs. Rows of other inputs stay, after these.

        Returns
        -------
        list of dict
            The rows of these inputs, as texts.

        Raises
        ------
        InputError
            The file cannot be written.
        """
        self.close()
        record = record_of(self.target)
        place = {cell("input", name): n for n, name in enumerate(order)}
        rows = sorted(_read_csv(record), key=lambda row: place.get(row["input"], len(place)))
        with _writing(self.target):
            with replacing(record) as temporary, _open(temporary) as file:
                _write(file, self.columns, rows)
            if record != self.target:
                write_parquet(self.target, self.columns, rows)
                record.unlink()
        return [plain_row(row) for row in rows if row["input"] in place]

    def close(self) -> None:
        """Close the file; the rows are on the disk."""
        if not self._file.closed:
            with suppress(OSError):
                os.fsync(self._file.fileno())
            self._file.close()


def record_of(target: Path) -> Path:
    """The CSV file that holds the rows during a run.

    Parameters
    ----------
    target : pathlib.Path
        The table.

    Returns
    -------
    pathlib.Path
        The table itself; of a Parquet file, one beside it.
    """
    return target.with_name(f"{target.name}.csv") if target.suffix.lower() == PARQUET else target


@contextmanager
def open_table(
    target: Path,
    columns: Sequence[str],
    model: Mapping[str, str],
    *,
    overwrite: bool = False,
    repeat: Callable[[Texts], bool] = lambda row: False,
) -> Iterator[TableFile]:
    """Open a table to add rows; those of an earlier run of the same model are kept.

    Parameters
    ----------
    target : pathlib.Path
        CSV, or Parquet if its name ends in .parquet.
    columns : sequence of str
    model : mapping
        The columns that say by which model a row was predicted; the same in all rows.
    overwrite : bool
        Drop the rows of the earlier run.
    repeat : callable
        Whether a row of the earlier run is dropped, because its input is predicted again.

    Yields
    ------
    TableFile

    Raises
    ------
    InputError
        The file cannot be written, has other columns, is of another model, or is being written by
        another command.
    """
    if target.suffix.lower() == PARQUET:
        import_pyarrow()
    record = record_of(target)
    if record.exists() and not record.is_file():
        raise InputError(f"The table {target} could not be written: it is not a file.")
    new = not record.exists()
    with _writing(target), record.open("a", encoding="utf-8") as former:
        _claim(former, record, target)
        try:
            rows = _former_rows(target, columns, model, overwrite)
        except InputError:
            if new:
                record.unlink()
            raise
        kept = {row["input"]: row for row in rows if not repeat(plain_row(row))}
        if os.name == "nt":  # where an open file cannot be replaced
            former.close()
        with replacing(record) as temporary, _open(temporary) as file:
            _write(file, columns, kept.values())
        if overwrite and record != target:
            target.unlink(missing_ok=True)
        file = record.open("a", newline="", encoding="utf-8")
        _claim(file, record, target)
    table = TableFile(target, columns, file, {name: bool(r["error"]) for name, r in kept.items()})
    try:
        yield table
    finally:
        table.close()


def _open(path: Path) -> IO[str]:
    return path.open("w", newline="", encoding="utf-8")


def _write(file: IO[str], columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> None:
    writer = csv.DictWriter(file, columns)
    writer.writeheader()
    writer.writerows(rows)
    file.flush()
    os.fsync(file.fileno())


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"The table {target} could not be written: {error.strerror}.") from error


def _claim(file: IO[str], path: Path, target: Path) -> None:
    """Lock a file against other commands, until it is closed or the process ends."""
    try:
        import fcntl
    except ImportError:  # Windows
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        busy = os.fstat(file.fileno()).st_ino != path.stat().st_ino
    except BlockingIOError:
        busy = True
    except OSError:  # a file system without locks
        return
    if busy:
        raise InputError(f"The table {target} is being written by another command: wait for it.")


def _former_rows(
    target: Path, columns: Sequence[str], model: Mapping[str, str], overwrite: bool
) -> list[Texts]:
    """Rows to continue; the check comes first, so that only tables are overwritten."""
    record = record_of(target)
    rows = _read_csv(record)
    if record != target and target.exists():
        finished = read_parquet(target)
        rows = rows or finished
    if overwrite:
        return []
    remedy = "Give another --out, or --overwrite to start anew."
    for row in rows:
        if tuple(row) != tuple(columns):
            raise InputError(f"The table {target} has other columns than this run. {remedy}")
        if {name: row[name] for name in model} != {n: cell(n, v) for n, v in model.items()}:
            former = f"{row['model']} {row['model_version']} ({row['model_sha256'][:8]})"
            raise InputError(f"The table {target} is of another model, {former}. {remedy}")
    return rows


def _read_csv(record: Path) -> list[Texts]:
    """Rows of a file, without an incomplete last line."""
    content = record.read_bytes()
    if not content:
        return []
    complete = content[: content.rfind(b"\n") + 1].decode("utf-8", "replace")
    try:
        header, *body = csv.reader(io.StringIO(complete, newline=""))
    except (csv.Error, ValueError):  # no line, or none of a table
        header, body = [], []
    if body and len(body[-1]) != len(header):
        body.pop()
    if header[:1] != ["input"] or any(len(line) != len(header) for line in body):
        raise not_a_table(record)
    return [dict(zip(header, line, strict=True)) for line in body]
