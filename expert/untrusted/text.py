"""Texts from files, tables and models, before they are shown: without control characters."""

from __future__ import annotations

import re

LONGEST = 2000
"""Characters of a text on one line."""
UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ud800-\udfff\ufeff\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e007f]"
)
"""Control characters (also those that start the escape codes of a terminal), characters that change
the direction of a text or are invisible, and single surrogates."""


CONTROL = re.compile("[\x00-\x1f\x7f]")
FORMULA = "=+-@'"
"""First characters of a text that spreadsheets take for a formula; the last one prevents it."""
INNER_FORMULA = re.compile(r"([,;]\s*)(?=[=+@-])")
TAG = re.compile("<(?=[A-Za-z/!?])")


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


def plain_text(text: object, *, lines: bool = False) -> str:
    r"""Make a text safe for a terminal, a widget or a report.

    It is not escaped for HTML: templates and widgets do this.

    Parameters
    ----------
    text : object
        Such as a file name, a value of a header, or a model card.
    lines : bool
        Whether line breaks and tabs stay and the text may be long; otherwise, they become spaces
        and a text longer than `LONGEST` is shortened.

    Returns
    -------
    str
        Control and invisible characters are written as escape sequences, such as ``\x1b``.
    """
    raw = str(text)
    if lines:
        return "\n".join(
            UNSAFE.sub(_escaped, line.replace("\t", "    "))
            for line in raw.replace("\r\n", "\n").split("\n")
        )
    if len(raw) > LONGEST:
        raw = f"{raw[: 3 * LONGEST // 4]} … {raw[-LONGEST // 8 :]}"
    return UNSAFE.sub(_escaped, re.sub(r"[\t\r\n]+", " ", raw))


def without_tags(text: object) -> str:
    """A plain text for a widget that would take it for HTML, such as a tool tip or a notification.

    Parameters
    ----------
    text : object

    Returns
    -------
    str
        As `plain_text` with lines; the start of a tag is written with another sign.
    """
    return TAG.sub("‹", plain_text(text, lines=True))


def cell_text(text: str) -> str:
    """A text for a cell of a CSV file that spreadsheets do not take for a formula.

    Parameters
    ----------
    text : str

    Returns
    -------
    str
        On one line; with an apostrophe before what would be a formula.
    """
    line = CONTROL.sub(" ", text)
    return f"'{line}" if line.startswith(tuple(FORMULA)) else line


def comment_text(text: str) -> str:
    """A line before the table in a CSV file, in which a spreadsheet finds no formula.

    Parameters
    ----------
    text : str

    Returns
    -------
    str
    """
    return INNER_FORMULA.sub(r"\1'", plain_text(text))
