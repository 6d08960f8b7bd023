"""Readers of the reports that were written."""

from __future__ import annotations

import html.parser
import re
import zlib

import expert
from expert.explanation import Explanation


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
    """The text of each page of a PDF, from its own streams; lines are joined by spaces."""
    pages = []
    for raw in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", data, re.S):
        try:
            stream = zlib.decompress(raw)
        except zlib.error:
            continue
        if b" Tf" not in stream:
            continue  # an image
        found = re.findall(rb"\(((?:[^()\\]|\\.)*)\) ?Tj", stream, re.S)
        texts = [
            re.sub(rb"\\(.)", rb"\1", text).decode("cp1252").replace("\xa0", " ") for text in found
        ]
        pages.append(" ".join(" ".join(texts).split()))
    return pages


def both_reports(e: Explanation, folder, **kwargs) -> tuple[str, str]:
    """Text of the HTML and of the PDF report."""
    page = Page(
        expert.write_report(e, folder / "r.html", **kwargs).read_text(encoding="utf-8")
    ).text
    pdf = expert.write_report(e, folder / "r.pdf", **kwargs).read_bytes()
    assert pdf.startswith(b"%PDF-1.")
    assert pdf.rstrip().endswith(b"%%EOF")
    return page.replace("\xa0", " "), " ".join(pdf_pages(pdf))
