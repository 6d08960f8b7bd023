"""A report as PDF: A4, vector drawings over embedded images, the statement and the page number on
every page.

The fonts are those every PDF reader has, so the file is small; what they lack (outside
Windows-1252) is written otherwise.
"""

from __future__ import annotations

import datetime
import io
import unicodedata
from typing import Any

from fpdf import FPDF
from fpdf.enums import XPos, YPos
from fpdf.fonts import FontFace
from PIL import Image

from expert import __version__
from expert.report.document import (
    Cell,
    Drawing,
    Figure,
    Figures,
    Line,
    Paragraph,
    Picture,
    Rect,
    Report,
    Section,
    Table,
    Text,
)

ENCODING = "cp1252"
FONT = "Helvetica"
LEFT, TOP, BOTTOM = 15.0, 13.0, 18.0
WIDTH = 210.0 - 2 * LEFT
GAP = 5.0
TALLEST, SMALLEST = 92.0, 74.0
"""Of a drawing, mm: one that has the whole width may shrink to stay on its page."""
NARROW = 70.0
"""Of drawings of which three or more stand in a row, mm."""
LEADING = 1.36
"""Height of a line in units of the font's size."""
RESOLUTION = 150.0
"""Of images, dots per inch."""
PAGES = "\x01"
"""Stands for the number of pages until it is known; no other text can hold it (see `printable`)."""
POINT = 72 / 25.4
"""Points in a mm."""
INK, GREY, RED, BLUE, AMBER = (
    (27, 27, 27),
    (85, 85, 85),
    (138, 31, 31),
    (0, 114, 178),
    (230, 159, 0),
)
INSTEAD = {
    "−": "-",
    "‐": "-",
    "‑": "-",
    "≤": "<=",
    "≥": ">=",
    "≈": "~",
    "→": "->",
    "←": "<-",
    "Σ": "sum",
    "α": "alpha",
    "β": "beta",
    "σ": "sigma",
    "‖": "||",
    "\u2009": " ",
    "\u202f": " ",
    "\u00ad": "",
}


def render(report: Report) -> bytes:
    """The report as the bytes of a PDF file."""
    page = _Page(report)
    page.add_page()
    _head(page, report)
    for section in report.sections:
        _section(page, section)
    return bytes(page.output())


def printable(text: str) -> str:
    """The text in the characters of Windows-1252: accents are dropped where they must be, the rest
    becomes "?"."""
    out = []
    for letter in text:
        letter = INSTEAD.get(letter, letter)
        if not _known(letter):
            letter = unicodedata.normalize("NFKD", letter)
            letter = "".join(c for c in letter if not unicodedata.combining(c))
        out.append(letter if _known(letter) else "?")
    return "".join(c if unicodedata.category(c) != "Cc" else " " for c in "".join(out))


def _known(text: str) -> bool:
    try:
        text.encode(ENCODING)
    except UnicodeEncodeError:
        return False
    return True


class _Page(FPDF):
    """A4 with the statement and the page's number below."""

    def __init__(self, report: Report) -> None:
        super().__init__(format="A4", unit="mm")
        self.core_fonts_encoding = ENCODING
        self.alias_nb_pages(PAGES)
        self.statement = printable(report.statement)
        self.set_margins(LEFT, TOP, LEFT)
        self.c_margin = 0.0
        self.set_auto_page_break(True, BOTTOM)
        self.set_title(printable(report.title))
        self.set_lang("en")
        self.set_creator(f"napari-expert {__version__}")
        self.set_producer(f"napari-expert {__version__}")
        today = datetime.date.today()
        self.set_creation_date(
            datetime.datetime(today.year, today.month, today.day, tzinfo=datetime.UTC)
        )

    def footer(self) -> None:
        self.set_y(-12)
        self.set_font(FONT, "B", 8.5)
        self.set_text_color(*RED)
        self.cell(WIDTH - 20, 4, self.statement)
        self.set_font(FONT, "", 8.5)
        self.set_text_color(*GREY)
        self.cell(20, 4, f"{self.page_no()} / {PAGES}", align="R")

    def room(self, height: float) -> None:
        """Go to a new page unless so many mm are left on this one."""
        if self.get_y() + height > self.h - BOTTOM:
            self.add_page()

    def write_text(
        self,
        text: str,
        size: float,
        style: str = "",
        color: tuple[int, int, int] = INK,
        **kwargs: Any,
    ) -> None:
        """A paragraph over the whole width, from here."""
        self.set_font(FONT, style, size)
        self.set_text_color(*color)
        options = {
            "w": WIDTH,
            "h": size * LEADING / POINT,
            "align": "L",
            "new_x": XPos.LMARGIN,
            "new_y": YPos.NEXT,
        } | kwargs
        self.multi_cell(text=printable(text), **options)


def _head(page: _Page, report: Report) -> None:
    page.write_text(report.origin, 8.5, color=GREY)
    page.ln(1.5)
    page.set_draw_color(*RED)
    page.write_text(report.statement, 10, "B", RED, border=1, padding=(1.2, 2.5))
    page.ln(3.5)
    page.set_font(FONT, "B", 23)
    page.set_text_color(*INK)
    headline = printable(report.headline)
    page.cell(page.get_string_width(headline) + 5, 10, headline)
    page.write_text(report.aside, 11, color=GREY, w=0, h=11.5)
    page.write_text(report.lead, 10.5)
    for text in report.warnings:
        page.ln(1.5)
        page.room(12)
        top = page.get_y()
        with page.local_context(fill_color=(255, 246, 229)):
            page.write_text(text, 9.5, fill=True, padding=(1.2, 4))
        with page.local_context(fill_color=AMBER):
            page.rect(LEFT, top, 1.2, page.get_y() - top, style="F")
    page.ln(1)


def _section(page: _Page, section: Section) -> None:
    page.room(_needed(page, section))
    page.ln(3.5)
    page.start_section(printable(section.title))
    page.write_text(section.title, 12, "B")
    page.set_draw_color(*BLUE)
    page.set_line_width(0.5)
    page.line(LEFT, page.get_y() + 0.8, LEFT + WIDTH, page.get_y() + 0.8)
    page.ln(2.5)
    for block, following in zip(section.blocks, (*section.blocks[1:], None), strict=True):
        if isinstance(block, Paragraph):
            page.room(
                _lines(page, block.text, 8.8, "", WIDTH)
                + (18 if isinstance(following, Table) else 0)
            )
            page.write_text(block.text, 8.8, color=(60, 60, 60))
            page.ln(1.5)
        elif isinstance(block, Table):
            _table(page, block)
        else:
            _figures(page, block)


# --- tables ---------------------------------------------------------------------------------------
def _table(page: _Page, block: Table) -> None:
    page.room(5.3 * (len(block.rows) + 1) if block.short else 16)
    page.set_draw_color(205, 205, 205)
    page.set_line_width(0.15)
    page.set_font(FONT, "", 8.5)
    page.set_text_color(*INK)
    aligned = tuple("RIGHT" if column.number else "LEFT" for column in block.columns)
    bold = FontFace(emphasis="BOLD", color=(50, 50, 50))
    with page.table(
        width=WIDTH, col_widths=_widths(page, block), text_align=aligned, borders_layout="HORIZONTAL_LINES", padding=(0.7, 1.2),  # noqa: E501
        line_height=3.9, first_row_as_headings=block.headed, headings_style=bold, v_align="TOP", align="LEFT",  # noqa: E501
    ) as grid:  # fmt: skip
        if block.headed:
            grid.row([printable(column.title) for column in block.columns])
        for entries in block.rows:
            row = grid.row()
            for number, entry in enumerate(entries):
                row.cell(
                    printable(entry.text),
                    style=_style(entry, naming=number == 0 and not block.headed),
                )
    page.ln(2.5)


def _style(entry: Cell, naming: bool) -> FontFace | None:
    if entry.color:
        return FontFace(emphasis="BOLD", fill_color=_rgb(entry.color))
    if entry.mono:
        return FontFace(family="Courier", size_pt=7)
    return FontFace(emphasis="BOLD", color=(68, 68, 68)) if naming else None


def _widths(page: _Page, block: Table) -> tuple[float, ...]:
    """Widths for the columns in mm: what their texts need, stretched to the page's width; coloured
    ones stay narrow."""
    if not block.headed:
        return (30.0, WIDTH - 30.0)
    needed, fixed = [], []
    for number, column in enumerate(block.columns):
        page.set_font(FONT, "B", 8.5)
        widest = page.get_string_width(printable(column.title))
        for row in block.rows:
            page.set_font(
                "Courier" if row[number].mono else FONT, "", 7 if row[number].mono else 8.5
            )
            widest = max(widest, page.get_string_width(printable(row[number].text)))
        needed.append(min(widest + 3.5, 0.56 * WIDTH))
        fixed.append(any(row[number].color for row in block.rows))
    page.set_font(FONT, "", 8.5)
    still = sum(width for width, keep in zip(needed, fixed, strict=True) if keep)
    stretch = (WIDTH - still) / (sum(needed) - still)
    return tuple(
        width if keep else width * stretch for width, keep in zip(needed, fixed, strict=True)
    )


# --- drawings -------------------------------------------------------------------------------------
def _figures(page: _Page, block: Figures) -> None:
    wide = (WIDTH - GAP * (block.columns - 1)) / block.columns
    for start in range(0, len(block.figures), block.columns):
        row = block.figures[start : start + block.columns]
        tallest = TALLEST
        if (
            block.columns == 1
        ):  # a large drawing rather shrinks a little than leave half a page empty
            around = _height(page, row, wide, 0.0)
            left = page.h - BOTTOM - page.get_y() - around
            tallest = left if SMALLEST <= left < TALLEST else TALLEST
        page.room(_height(page, row, wide, tallest))
        top = bottom = page.get_y()
        for number, figure in enumerate(row):
            page.set_xy(LEFT + number * (wide + GAP), top)
            bottom = max(bottom, _figure(page, figure, wide, tallest))
        page.set_xy(LEFT, bottom + 2.5)


def _needed(page: _Page, section: Section) -> float:
    """Height of a section's beginning, which stays together: heading, first paragraphs, first row
    of figures or of a table."""
    height = 13.0
    for block in section.blocks:
        if isinstance(block, Paragraph):
            height += _lines(page, block.text, 8.8, "", WIDTH) + 1.5
            continue
        if isinstance(block, Figures):
            wide = (WIDTH - GAP * (block.columns - 1)) / block.columns
            height += _height(
                page,
                block.figures[: block.columns],
                wide,
                SMALLEST if block.columns == 1 else TALLEST,
            )
        return height + (16.0 if isinstance(block, Table) else 0.0)
    return height


def _drawn(figure: Figure, wide: float, tallest: float) -> float:
    """Width of the drawing in mm."""
    if wide < WIDTH / 2.5:
        tallest = min(tallest, NARROW)
    return min(wide, tallest * figure.drawing.width / figure.drawing.height)


def _lines(page: _Page, text: str, size: float, style: str, wide: float) -> float:
    """Height of a text in mm."""
    page.set_font(FONT, style, size)
    high = size * LEADING / POINT
    return high * len(
        page.multi_cell(wide, high, printable(text), align="L", dry_run=True, output="LINES")
    )


def _height(page: _Page, figures: tuple[Figure, ...], wide: float, tallest: float) -> float:
    """Height of a row of figures in mm."""
    each = []
    for figure in figures:
        note = _lines(page, figure.note, 8, "", wide) + 1 if figure.note else 0.0
        ratio = figure.drawing.height / figure.drawing.width
        each.append(
            _lines(page, figure.caption, 8.8, "B", wide)
            + 1
            + _drawn(figure, wide, tallest) * ratio
            + note
        )
    return max(each)


def _figure(page: _Page, figure: Figure, wide: float, tallest: float) -> float:
    """Draw a figure from here; returns where it ends."""
    x = page.get_x()
    stay = {"w": wide, "new_x": XPos.LEFT}
    page.write_text(figure.caption, 8.8, "B", **stay)
    top, width = page.get_y() + 1, _drawn(figure, wide, tallest)
    _draw(page, figure.drawing, x, top, width)
    bottom = top + width * figure.drawing.height / figure.drawing.width
    page.set_xy(x, bottom + 1)
    if figure.note:
        page.write_text(figure.note, 8, color=GREY, **stay)
    return float(page.get_y())


def _draw(page: _Page, drawing: Drawing, x: float, y: float, width: float) -> None:
    k = width / drawing.width
    for mark in drawing.marks:
        if isinstance(mark, Picture):
            page.image(
                _smooth(mark, k), x + k * mark.x, y + k * mark.y, k * mark.width, k * mark.height,
                alt_text=printable(drawing.description),
            )  # fmt: skip
        elif isinstance(mark, Rect):
            _draw_rect(page, mark, x, y, k)
        elif isinstance(mark, Line):
            with page.local_context(
                draw_color=_rgb(mark.color), line_width=k * mark.width, stroke_opacity=mark.opacity
            ):
                page.line(x + k * mark.x1, y + k * mark.y1, x + k * mark.x2, y + k * mark.y2)
        else:
            _draw_text(page, mark, x, y, k)


def _smooth(mark: Picture, k: float) -> Image.Image:
    """The picture at the resolution of print: many PDF readers show large pixels as squares."""
    image = Image.open(io.BytesIO(mark.png))
    dots = round(k * mark.width / 25.4 * RESOLUTION)
    if dots <= image.width:
        return image
    return image.resize((dots, round(dots * image.height / image.width)), Image.Resampling.BICUBIC)


def _draw_rect(page: _Page, mark: Rect, x: float, y: float, k: float) -> None:
    place = (x + k * mark.x, y + k * mark.y, k * mark.width, k * mark.height)
    if mark.fill:
        with page.local_context(fill_color=_rgb(mark.fill), fill_opacity=mark.fill_opacity):
            page.rect(*place, style="F")
    if mark.stroke:
        with page.local_context(
            draw_color=_rgb(mark.stroke),
            line_width=k * mark.stroke_width,
            stroke_opacity=mark.stroke_opacity,
        ):
            page.rect(*place, style="D")


def _draw_text(page: _Page, mark: Text, x: float, y: float, k: float) -> None:
    text = printable(mark.text)
    page.set_font(FONT, "B" if mark.bold else "", k * mark.size * POINT)
    left = (
        x
        + k * mark.x
        - {"start": 0.0, "middle": 0.5, "end": 1.0}[mark.anchor] * page.get_string_width(text)
    )
    if mark.halo:
        with page.local_context(
            text_mode="STROKE", draw_color=(0, 0, 0), line_width=0.2 * k * mark.size
        ):
            page.text(left, y + k * mark.y, text)
    page.set_text_color(*_rgb(mark.color))
    page.text(left, y + k * mark.y, text)


def _rgb(color: str) -> tuple[int, int, int]:
    """Three numbers from "#RRGGBB"."""
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)
