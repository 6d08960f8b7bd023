"""Readers of the reports that were written."""

from __future__ import annotations

import html.parser
import io

from matplotlib.text import Text
from pypdf import PdfReader

import expert
from expert.explanation import Explanation
from expert.report.document import Drawing
from expert.report.style import OUTLINE, figure_of


class Page(html.parser.HTMLParser):
    """What a page refers to, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def pdf_pages(data: bytes) -> list[str]:
    """The text of each page of a PDF; lines are joined by spaces."""
    texts = (page.extract_text() for page in PdfReader(io.BytesIO(data)).pages)
    return [" ".join(text.replace("\xa0", " ").split()) for text in texts]


def artists(drawing: Drawing, kind: type) -> list:
    """Matplotlib's artists of one kind in a drawing, in order, without the outlines of texts."""
    found = figure_of(drawing).findobj(kind)
    return [artist for artist in found if artist.get_gid() != OUTLINE]


def texts_of(drawing: Drawing) -> list[str]:
    """All texts in a drawing."""
    return [text.get_text() for text in artists(drawing, Text)]


def both_reports(e: Explanation, folder, **kwargs) -> tuple[str, str]:
    """Text of the HTML and of the PDF report."""
    page = Page(
        expert.write_report(e, folder / "r.html", **kwargs).read_text(encoding="utf-8")
    ).text
    pdf = expert.write_report(e, folder / "r.pdf", **kwargs).read_bytes()
    assert pdf.startswith(b"%PDF-1.")
    assert pdf.rstrip().endswith(b"%%EOF")
    return page.replace("\xa0", " "), " ".join(pdf_pages(pdf))
