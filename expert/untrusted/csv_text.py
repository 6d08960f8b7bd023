"""Tables of text from outside: encoding, separator, header and rows."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

SEPARATORS = (",", ";", "\t")
LARGEST_TABLE = 1 << 27
"""Bytes."""
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
STATED_SEPARATOR = re.compile(r"\"?sep=.\"?(\r\n|\r|\n)", re.I)
"""A first line for Excel; the separator is known from the line of the columns."""
Row = tuple[int, dict[str, str]]
"""Number of a line in the file, and its cells by column."""


def read_csv(path: Path) -> tuple[list[str], list[Row]]:
    """Read a table whose columns are separated by commas, semicolons or tabs.

    With semicolons or tabs, a comma in a number is a decimal point. Empty lines are left out.

    Parameters
    ----------
    path : pathlib.Path
        UTF-8, with or without a byte order mark, or UTF-16 with one.

    Returns
    -------
    columns : list of str
    rows : list of (int, dict)

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        It is not text, too large, or a column or a cell is wrong; the message is a part of a
        sentence.
    """
    from expert.untrusted.documents import read_bytes

    text = _decoded(read_bytes(path, LARGEST_TABLE))
    stated = STATED_SEPARATOR.match(text)
    first = next(iter(text[stated.end() if stated else 0 :].splitlines()), "")
    separator = max(SEPARATORS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    rows: list[Row] = []
    try:
        if stated:
            next(reader)
        columns = [name.strip() for name in next(reader, [])]
        while columns and not columns[-1]:
            columns.pop()
        for name in columns:
            if columns.count(name) > 1:
                raise ValueError(f"it has two columns '{name}'")
        line = reader.line_num + 1
        for cells in reader:
            values = [_plain(cell.strip(), separator) for cell in cells]
            if any(values):
                if any(values[len(columns) :]):
                    raise ValueError(f"row {line} has more cells than there are columns")
                values += [""] * (len(columns) - len(values))
                rows.append((line, dict(zip(columns, values, strict=False))))
            line = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"it is not a table: {error}") from error
    return columns, rows


def _decoded(data: bytes) -> str:
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError("it is not UTF-8 text: save it as 'CSV UTF-8'") from error
    if "\0" in text:
        raise ValueError("it is not text: save it as 'CSV UTF-8'")
    return text


def _plain(cell: str, separator: str) -> str:
    if separator != "," and DECIMAL_COMMA.fullmatch(cell):
        return cell.replace(",", ".")
    return cell
