"""What a report is made of before it is a page: blocks of text, tables and drawings, which HTML and
PDF both render."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import ClassVar, Literal

# --- drawings: a few kinds of marks in a frame of their own unit, y downwards, later ones over earl


@dataclass(frozen=True)
class Picture:
    """A PNG image stretched over a rectangle."""

    kind: ClassVar[str] = "picture"
    x: float
    y: float
    width: float
    height: float
    png: bytes

    @property
    def href(self) -> str:
        """The image as a data URI."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")


@dataclass(frozen=True)
class Rect:
    """A rectangle, filled, outlined or both; an empty colour is none."""

    kind: ClassVar[str] = "rect"
    x: float
    y: float
    width: float
    height: float
    fill: str = ""
    fill_opacity: float = 1.0
    stroke: str = ""
    stroke_width: float = 1.0
    stroke_opacity: float = 1.0


@dataclass(frozen=True)
class Line:
    """A straight line."""

    kind: ClassVar[str] = "line"
    x1: float
    y1: float
    x2: float
    y2: float
    color: str
    width: float = 1.0
    opacity: float = 1.0


@dataclass(frozen=True)
class Text:
    """One line of text; `y` is its baseline. With a halo it is legible on any image."""

    kind: ClassVar[str] = "text"
    x: float
    y: float
    text: str
    size: float
    color: str
    anchor: Literal["start", "middle", "end"] = "middle"
    bold: bool = False
    halo: bool = False


Mark = Picture | Rect | Line | Text


@dataclass(frozen=True)
class Drawing:
    """Marks in a frame of `width` by `height`; `description` is for those who cannot see it."""

    width: float
    height: float
    description: str
    marks: tuple[Mark, ...]


# --- blocks: what a section is a sequence of ------------------------------------------------------


@dataclass(frozen=True)
class Paragraph:
    """Running text."""

    kind: ClassVar[str] = "paragraph"
    text: str


@dataclass(frozen=True)
class Figure:
    """A drawing under its caption, with a note below where there is something to add."""

    caption: str
    drawing: Drawing
    note: str = ""


@dataclass(frozen=True)
class Figures:
    """Figures in rows of `columns`."""

    kind: ClassVar[str] = "figures"
    columns: int
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class Cell:
    """One entry of a table: plain, on a coloured ground, or of fixed pitch (checksums)."""

    text: str
    color: str = ""
    mono: bool = False


@dataclass(frozen=True)
class Column:
    """A column's heading; numbers stand to the right."""

    title: str
    number: bool = False


@dataclass(frozen=True)
class Table:
    """Rows under headings; without headings, the first column names what the second says."""

    kind: ClassVar[str] = "table"
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]

    @property
    def short(self) -> bool:
        """Whether it is not to be broken over two pages."""
        return len(self.rows) <= 8

    @property
    def headed(self) -> bool:
        """Whether there is a row of headings."""
        return any(column.title for column in self.columns)


Block = Paragraph | Figures | Table


@dataclass(frozen=True)
class Section:
    """A heading and its blocks."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Report:
    """The whole report."""

    title: str
    statement: str
    """Stands at the top, at the end and on every printed page."""
    origin: str
    """One small line: which model, when."""
    headline: str
    aside: str
    """Beside the headline, smaller."""
    lead: str
    warnings: tuple[str, ...]
    sections: tuple[Section, ...]


def table(headings: tuple[str, ...], rows: list[tuple[str | Cell, ...]]) -> Table:
    """A table from plain texts; a heading that starts with ">" is that of a column of numbers."""
    columns = tuple(
        Column(heading.removeprefix(">"), heading.startswith(">")) for heading in headings
    )
    return Table(
        columns, tuple(tuple(c if isinstance(c, Cell) else Cell(c) for c in row) for row in rows)
    )
