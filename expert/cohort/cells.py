"""Cells of the table of predictions: kinds of columns, and texts that are safe in spreadsheets."""

from __future__ import annotations

from collections.abc import Mapping

from expert.untrusted.text import CONTROL, cell_text

FLOATS = {
    "prediction": ".4f",
    "bias_corrected": ".4f",
    "lower": ".4f",
    "upper": ".4f",
    "nearest_distance": ".4f",
    "registration_quality": ".3f",
    "label": "g",
    "nearest_label": ".4f",
}
"""Columns of numbers, and how they are written."""
INTEGERS = ("prototypes_in_radius", "nearest_prototype")
BOOLEANS = ("fallback",)
Texts = dict[str, str]
"""A row as texts, by column."""


def cell(column: str, value: object) -> str:
    """Text of a cell of the CSV file: one line of UTF-8, and never a formula.

    Parameters
    ----------
    column : str
    value : object

    Returns
    -------
    str
        A text that spreadsheets would take for a formula starts with an apostrophe.
    """
    text = str(value).encode("utf-8", "backslashreplace").decode("utf-8")
    if column in FLOATS or column in INTEGERS:
        return CONTROL.sub(" ", text)
    return cell_text(text)


def plain(column: str, text: str) -> str:
    """The text without the apostrophe of `cell`.

    Parameters
    ----------
    column, text : str

    Returns
    -------
    str
    """
    if column in FLOATS or column in INTEGERS:
        return text
    return text.removeprefix("'")


def plain_row(row: Mapping[str, str]) -> Texts:
    """A row without the apostrophes of `cell`.

    Parameters
    ----------
    row : mapping

    Returns
    -------
    dict
    """
    return {column: plain(column, text) for column, text in row.items()}
