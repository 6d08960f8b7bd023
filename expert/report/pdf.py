"""A report as PDF on A4 pages, drawn by Matplotlib.

The report becomes a list of strips, each a line of text, a line of a table or a row of figures;
`_paginate` places them on pages. The statement and the page number stand on every page.
"""

from __future__ import annotations

import datetime
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure as Page
from matplotlib.image import AxesImage
from matplotlib.text import Text

from expert import __version__
from expert.report.document import Cell, Figures, Paragraph, Report, Section, Table
from expert.report.document import Figure as Captioned
from expert.report.style import figure_style
from expert.report.typesetting import (
    PAGE_HEIGHT,
    PAGE_WIDTH,
    TEXT,
    TextStyle,
    fill,
    print_line,
    printable,
    text_width,
    wrap,
)

LEFT, TOP, BOTTOM = 15.0, 13.0, PAGE_HEIGHT - 17.0
WIDTH = PAGE_WIDTH - 2 * LEFT
GAP = 5.0
"""Between figures in a row, mm."""
TALLEST, TALLEST_NARROW = 92.0, 70.0
"""Greatest height of a drawing, and of one of three or more in a row, mm."""
RESOLUTION = 150.0
"""Of images, dots per inch: many PDF readers show large pixels as squares."""
SMALL = 7.4
"""Size of text in tables, points."""
GREY, RED, BLUE, AMBER = "#555555", "#8a1f1f", "#0072B2", "#E69F00"


def render(report: Report) -> bytes:
    """The report as a PDF file.

    Parameters
    ----------
    report : Report
        The content.

    Returns
    -------
    bytes
        Content of the PDF file.
    """
    software = f"napari-expert {__version__}"
    today = datetime.datetime.combine(datetime.date.today(), datetime.time(), datetime.UTC)
    about = {
        "Title": printable(report.title),
        "Creator": software,
        "Producer": software,
        "CreationDate": today,
    }
    buffer = io.BytesIO()
    with figure_style():
        strips = _head(report)
        for section in report.sections:
            strips += _section(section)
        sheets = _paginate(strips)
        with PdfPages(buffer, metadata=about) as file:
            for number, sheet in enumerate(sheets, 1):
                _footer(sheet, report.statement, f"{number} / {len(sheets)}")
                file.savefig(sheet, dpi=RESOLUTION)
    return buffer.getvalue()


# --- pages ----------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Strip:
    """A piece of the report over the page's whole width that is never broken."""

    height: float
    """mm."""
    draw: Callable[[Page, float], None] | None = None
    """Draws it on a page, its top so many mm below the page's; None for a space."""
    keep: bool = False
    """Whether it stays on one page with what follows."""
    header: tuple[Strip, ...] = ()
    """What is repeated above it at the top of a page: the headings of its table."""


def _paginate(strips: Sequence[Strip]) -> list[Page]:
    """Place strips one below the other.

    Strips that are kept together go to the next page together, unless they are taller than a page.
    """
    pages: list[Page] = []
    y = BOTTOM

    def turn(first: Strip) -> float:
        pages.append(Page(figsize=(PAGE_WIDTH / 25.4, PAGE_HEIGHT / 25.4)))
        below = TOP
        for strip in first.header:
            _place(strip, pages[-1], below)
            below += strip.height
        return below

    start = 0
    while start < len(strips):
        stop = start
        while stop < len(strips) - 1 and strips[stop].keep:
            stop += 1
        group = strips[start : stop + 1]
        start = stop + 1
        if not pages:
            y = turn(group[0])
        total = sum(strip.height for strip in group)
        if group[0].draw is None and len(group) == 1:  # a space vanishes at the end of a page
            y = min(y + total, BOTTOM)
            continue
        if y + total > BOTTOM and y > TOP and total <= BOTTOM - TOP:
            y = turn(group[0])
        for strip in group:
            if y + strip.height > BOTTOM and y > TOP:
                y = turn(strip)
            _place(strip, pages[-1], y)
            y += strip.height
    return pages


def _place(strip: Strip, page: Page, y: float) -> None:
    if strip.draw is not None:
        strip.draw(page, y)


def _kept(strips: list[Strip]) -> list[Strip]:
    """Strips that stay together, not with what follows."""
    return [replace(strip, keep=n < len(strips) - 1) for n, strip in enumerate(strips)]


def _footer(page: Page, statement: str, number: str) -> None:
    kind = TextStyle(7.8, RED, bold=True)
    print_line(page, LEFT, PAGE_HEIGHT - 12, wrap(statement, kind, WIDTH - 22)[0], kind)
    print_line(page, LEFT + WIDTH, PAGE_HEIGHT - 12, number, TextStyle(7.8, GREY), "right")


# --- the head -------------------------------------------------------------------------------------
def _lines(text: str, kind: TextStyle, x: float = LEFT, width: float = WIDTH) -> list[Strip]:
    """One strip per line of a text."""

    def strip(line: str) -> Strip:
        return Strip(kind.leading, lambda page, y: print_line(page, x, y, line, kind))

    return [strip(line) for line in wrap(text, kind, width)]


def _boxed(text: str, kind: TextStyle, ground: str, edge: str) -> list[Strip]:
    """A text on a coloured ground with a bar of the colour `edge` on its left."""

    def on_ground(strip: Strip) -> Strip:
        def draw(page: Page, y: float) -> None:
            # A little overlap: no hairline between two lines of one box.
            fill(page, LEFT, y, WIDTH, strip.height + 0.05, ground)
            fill(page, LEFT, y, 1.2, strip.height + 0.05, edge)
            _place(strip, page, y)

        return Strip(strip.height, draw)

    inner = _lines(text, kind, LEFT + 4, WIDTH - 7)
    return _kept([on_ground(strip) for strip in (Strip(1.2), *inner, Strip(1.2))])


def _head(report: Report) -> list[Strip]:
    big, beside = TextStyle(21, bold=True), TextStyle(10, GREY)
    headline = _lines(report.headline, big)
    wide = text_width(printable(report.headline), big)
    aside = wrap(report.aside, beside, WIDTH)
    if len(headline) == len(aside) == 1 and wide + text_width(aside[0], beside) < WIDTH - 4:
        line = headline[0]

        def draw(page: Page, y: float) -> None:
            _place(line, page, y)
            down = 0.78 * (big.leading - beside.leading)
            print_line(page, LEFT + wide + 4, y + down, aside[0], beside)

        headline = [Strip(big.leading, draw)]
    else:
        headline += _lines(report.aside, beside)
    strips: list[Strip] = []
    for remark in report.forced:
        strips += [*_boxed(remark.text, TextStyle(9.2, RED, bold=True), "#fbeeee", RED), Strip(2.5)]
    strips += [
        *_lines(report.origin, TextStyle(7.8, GREY)),
        Strip(1.5),
        *_boxed(report.statement, TextStyle(9.2, RED, bold=True), "#fbeeee", RED),
        Strip(2.5),
        *headline,
        Strip(0.5),
        *(_lines(report.summary, TextStyle(9.2, bold=True)) if report.summary else []),
        *_lines(report.lead, TextStyle(9.2)),
    ]
    for remark in report.warnings:
        ground, edge = ("#eef3f7", BLUE) if remark.severity == "note" else ("#fff6e5", AMBER)
        strips += [Strip(1.5), *_boxed(remark.text, TextStyle(8.6), ground, edge)]
    return [*strips, Strip(1.0)]


# --- sections -------------------------------------------------------------------------------------
def _section(section: Section) -> list[Strip]:
    title = _lines(section.title, TextStyle(11.5, bold=True))
    rule = Strip(2.8, lambda page, y: fill(page, LEFT, y + 0.5, WIDTH, 0.4, BLUE))
    strips = [Strip(3.5), *(replace(strip, keep=True) for strip in (*title, rule))]
    for block, following in zip(section.blocks, (*section.blocks[1:], None), strict=True):
        if isinstance(block, Paragraph):
            lines = _lines(block.text, TextStyle(color="#3c3c3c"))
            keep_together = following is not None
            strips += [replace(strip, keep=True) for strip in lines[:-1]]
            strips += [replace(lines[-1], keep=keep_together), Strip(1.3, keep=keep_together)]
        elif isinstance(block, Table):
            strips += [*_table(block), Strip(2.5)]
        else:
            strips += [*_figures(block), Strip(0.5)]
    return strips


# --- tables ---------------------------------------------------------------------------------------
PADDING = 1.2


def _table(block: Table) -> list[Strip]:
    widths = _widths(block)
    heading = _row(
        block,
        tuple(Cell(column.title) for column in block.columns),
        widths,
        [TextStyle(SMALL, "#333333", bold=True)] * len(widths),
        "#777777",
    )
    header = tuple(heading) if block.headed else ()
    rows = []
    for entries in block.rows:
        kinds = [
            _text_style(entry, naming=n == 0 and not header) for n, entry in enumerate(entries)
        ]
        row = _row(block, entries, widths, kinds, "#cdcdcd")
        # A row of a whole page, as of a long model card, may be broken.
        rows.append(_kept(row) if len(row) <= 14 else row)
    strips = [replace(strip, header=header) for row in rows for strip in row]
    if block.short and all(len(row) <= 14 for row in rows):
        strips = _kept(strips)
    return [*(replace(strip, keep=True) for strip in header), *strips]


def _text_style(entry: Cell, naming: bool) -> TextStyle:
    if entry.color:
        return TextStyle(SMALL, "#000000", bold=True)
    if entry.mono:
        return TextStyle(6.2, mono=True)
    return TextStyle(SMALL, "#444444", bold=True) if naming else TextStyle(SMALL)


def _row(
    block: Table,
    entries: tuple[Cell, ...],
    widths: Sequence[float],
    kinds: Sequence[TextStyle],
    rule: str,
) -> list[Strip]:
    """One row: a strip for each of its lines and one for the rule below."""
    high = TextStyle(SMALL).leading
    cells = [
        wrap(entry.text, kind, width - PADDING)
        for entry, kind, width in zip(entries, kinds, widths, strict=True)
    ]
    starts = [LEFT + sum(widths[:n]) for n in range(len(widths))]

    def line(number: int) -> Strip:
        def draw(page: Page, y: float) -> None:
            for n, lines in enumerate(cells):
                if number == 0 and entries[n].color:
                    fill(page, starts[n], y, widths[n] - PADDING, high, entries[n].color)
                if number < len(lines) and block.columns[n].number:
                    right = starts[n] + widths[n] - PADDING
                    print_line(page, right, y, lines[number], kinds[n], "right")
                elif number < len(lines):
                    inset = 1.0 if entries[n].color else 0.0
                    print_line(page, starts[n] + inset, y, lines[number], kinds[n])

        return Strip(high, draw)

    end = Strip(1.3, lambda page, y: fill(page, LEFT, y + 0.5, WIDTH, 0.15, rule))
    return [*(line(number) for number in range(max(len(lines) for lines in cells))), end]


def _widths(block: Table) -> list[float]:
    """Widths of the columns, mm.

    What their texts need, and an equal part of the rest of the page's width; coloured columns stay
    narrow.
    """
    if not block.headed:
        return [30.0, WIDTH - 30.0]
    needed, fixed = [], []
    for n, column in enumerate(block.columns):
        texts = [(column.title, TextStyle(SMALL, bold=True))]
        texts += [(row[n].text, _text_style(row[n], naming=False)) for row in block.rows]
        widest = max(text_width(printable(text), kind) for text, kind in texts)
        needed.append(min(widest + 2 * PADDING, 0.56 * WIDTH))
        fixed.append(any(row[n].color for row in block.rows))
    over = sum(needed) - WIDTH
    if over > 0:
        return [width * WIDTH / sum(needed) for width in needed]
    free = -over / max(fixed.count(False), 1)
    return [width if keep else width + free for width, keep in zip(needed, fixed, strict=True)]


# --- figures --------------------------------------------------------------------------------------
CAPTION = TextStyle(TEXT, bold=True)


def _figures(block: Figures) -> list[Strip]:
    wide = (WIDTH - GAP * (block.columns - 1)) / block.columns
    tallest = TALLEST if block.columns < 3 else TALLEST_NARROW
    strips = []
    for start in range(0, len(block.figures), block.columns):
        row = block.figures[start : start + block.columns]
        captions = [wrap(figure.caption, CAPTION, wide)[:8] for figure in row]
        lines = max(len(caption) for caption in captions)
        parts = [
            _figure(figure, LEFT + n * (wide + GAP), wide, tallest, lines)
            for n, figure in enumerate(row)
        ]
        strips += [_beside(parts), Strip(2.0)]
    return strips


def _beside(parts: list[Strip]) -> Strip:
    def draw(page: Page, y: float) -> None:
        for part in parts:
            _place(part, page, y)

    return Strip(max(part.height for part in parts), draw)


def _figure(figure: Captioned, x: float, wide: float, tallest: float, lines: int) -> Strip:
    """A figure with its caption of so many lines and its note as one strip."""
    drawing = figure.drawing
    width = min(wide, tallest * drawing.width / drawing.height)
    height = width * drawing.height / drawing.width
    caption = _lines(figure.caption, CAPTION, x, wide)[:lines]
    above = lines * CAPTION.leading + 1.0
    note = _lines(figure.note, TextStyle(SMALL, GREY), x, wide)[:8] if figure.note else []

    def draw(page: Page, y: float) -> None:
        for n, strip in enumerate(caption):
            _place(strip, page, y + n * strip.height)
        y += above
        axes = page.add_axes(
            (
                x / PAGE_WIDTH,
                1 - (y + height) / PAGE_HEIGHT,
                width / PAGE_WIDTH,
                height / PAGE_HEIGHT,
            )
        )
        drawing.draw(axes)
        for artist in axes.findobj():
            if isinstance(artist, AxesImage):
                artist.set_interpolation("bicubic")
            elif isinstance(artist, Text):
                artist.set_text(printable(artist.get_text()))
        y += height + 1.0
        for strip in note:
            _place(strip, page, y)
            y += strip.height

    below = 1.0 + sum(strip.height for strip in note) if note else 0.0
    return Strip(above + height + below, draw)
