"""The content of a report before it becomes a file: text, tables and drawings, in sections.

`report` writes it as HTML, `pdf` as PDF.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Drawing:
    """A figure of `width` by `height` units that Matplotlib draws into axes of that shape.

    On screen a unit is one point; on paper the axes may be larger or smaller.
    """

    width: float
    height: float
    description: str
    """Read aloud by screen readers."""
    draw: Callable[[Axes], None]


@dataclass(frozen=True)
class Paragraph:
    """Running text."""

    kind: ClassVar[str] = "paragraph"
    text: str


@dataclass(frozen=True)
class Figure:
    """A drawing under its caption, with an optional note below."""

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
    """One entry of a table: plain, on a coloured ground, or in a monospaced font (checksums)."""

    text: str
    color: str = ""
    mono: bool = False
    link: str = ""
    """Relative path of a page; HTML only."""


@dataclass(frozen=True)
class Column:
    """A column's heading; numbers are right-aligned."""

    title: str
    number: bool = False


@dataclass(frozen=True)
class Table:
    """Rows under headings; without headings, the first column names the content of the second."""

    kind: ClassVar[str] = "table"
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]

    @property
    def short(self) -> bool:
        """Whether all rows are kept on one page."""
        return len(self.rows) <= 12

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
class Remark:
    """A warning or note under the headline; of a forced prediction: above everything else."""

    text: str
    """With its severity in words."""
    severity: str = "warning"
    """ "refused", "warning" or "note": decides the colour."""


@dataclass(frozen=True)
class Report:
    """The whole report."""

    title: str
    statement: str
    """Printed at the top, at the end and on every page."""
    origin: str
    """One small line: the model and the date."""
    headline: str
    aside: str
    """Beside the headline, smaller."""
    lead: str
    warnings: tuple[Remark, ...]
    sections: tuple[Section, ...]
    forced: tuple[Remark, ...] = ()
    """Of a forced prediction: printed first."""
    summary: str = ""
    """What moved the prediction, in a sentence under the headline."""


def table(headings: tuple[str, ...], rows: list[tuple[str | Cell, ...]]) -> Table:
    """A table from plain texts; a heading that starts with ">" is that of a column of numbers."""
    columns = tuple(
        Column(heading.removeprefix(">"), heading.startswith(">")) for heading in headings
    )
    return Table(
        columns, tuple(tuple(c if isinstance(c, Cell) else Cell(c) for c in row) for row in rows)
    )
