"""Tests of `expert.report.pdf`."""

from __future__ import annotations

import datetime
import re
import zlib

import pytest
from helpers.reports import both_reports, pdf_pages

import expert
from expert.report.document import Drawing, Figure, Figures, Report, Section, table
from expert.report.drawings import prototype_plot
from expert.report.pdf import _paginate, _section, render
from expert.schema import RESEARCH_USE


def test_the_pdf_has_the_statement_and_its_number_on_every_page_of_a4(explanation, model, tmp_path):
    data = expert.write_report(explanation, tmp_path / "r.pdf", model=model.info).read_bytes()
    pages = pdf_pages(data)
    assert len(pages) > 1
    for number, text in enumerate(pages, 1):
        assert RESEARCH_USE in text
        assert f"{number} / {len(pages)}" in text
    sizes = re.findall(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+) ?\]", data)
    assert {(round(float(wide), 2), round(float(high), 2)) for wide, high in sizes} == {
        (595.28, 841.89)
    }
    assert data.count(b"/Subtype /Image") > 1
    # The last byte of a stream may look like the end of a line: not `zlib.decompress`.
    streams = re.findall(rb"stream\r?\n(x.*?)\r?\nendstream", data, re.S)
    drawn = b"".join(zlib.decompressobj().decompress(raw) for raw in streams)
    assert len(re.findall(rb" l\s+S", drawn)) > 30  # lines are lines, not pixels


def test_the_pdf_tells_date_and_software_and_nothing_else(explanation, tmp_path):
    data = expert.write_report(explanation, tmp_path / "secret-name.pdf").read_bytes()
    keys = rb"/(Title|Author|Subject|Keywords|Creator|Producer|CreationDate|ModDate) ?\("
    told = {key.decode() for key in re.findall(keys, data)}
    assert told == {"Title", "Creator", "Producer", "CreationDate"}
    assert b"secret-name" not in data
    assert f"(D:{datetime.date.today():%Y%m%d}000000".encode() in data


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("Zażółć.nii", "Zażółć.nii"),
        ("頭.nii", "?.nii"),
        ("a−b ≤ c", "a−b ≤ c"),
        ("(50 %) \\ {nb}", "(50 %) \\ {nb}"),
        ("line\nbreak\x00\x1b", "line break"),
        ("€ “quoted” – ƒ", "€ “quoted” – ƒ"),
    ],
)
def test_any_name_can_be_printed(explanation, tmp_path, name, printed):
    data = expert.write_report(explanation, tmp_path / "r.pdf", source=name).read_bytes()
    assert f"Predicted age of {printed}" in pdf_pages(data)[0].replace(" ,", ",")
    expert.write_report(explanation, tmp_path / "r.html", source=name)


def test_every_character_can_be_printed():
    from expert.report.typesetting import _letters, printable

    for code in range(0x20000):
        assert _letters().issuperset(map(ord, printable(chr(code))))


def test_long_and_broken_names_are_no_trouble(explanation, tmp_path):
    both_names = (
        "x" * 4000,
        "bytes-\udcff\ud800.nii",
        "\xad" * 50,
        "".join(map(chr, range(32, 0x250))),
    )
    for name in both_names:
        for text in both_reports(explanation, tmp_path, source=name):
            assert RESEARCH_USE in text


def test_a_long_table_goes_on_with_its_header_and_no_figure_leaves_its_page(explanation):
    cells = [(f"row {n}", "word " * 40) for n in range(150)]
    plot = Figures(1, (Figure("caption " * 200, prototype_plot(explanation), "note " * 500),))
    tall = Figures(2, (Figure("tall", Drawing(10, 4000, "", lambda axes: None)),) * 3)
    section = Section("Title", (plot, table(("name", "text"), cells), tall))
    report = Report("t", RESEARCH_USE, "", "1", "", "", (), (section,))
    pages = pdf_pages(render(report))
    tables = [text for text in pages if "row " in text]
    assert len(tables) > 4
    assert all("name text row" in text for text in tables)
    assert sum(text.count("row ") for text in pages) == 150
    for sheet in _paginate(_section(section)):
        for axes in sheet.axes:
            box = axes.get_position()
            assert 0.05 < box.y0 < box.y1 < 0.96
            assert 0.07 < box.x0 < box.x1 < 0.93


def test_a_cell_longer_than_a_page_is_broken():
    section = Section("Title", (table(("", ""), [("card", "word " * 6000)]),))
    sheets = _paginate(_section(section))
    assert len(sheets) > 2
    for sheet in sheets:
        assert all(0.05 < text.get_position()[1] < 0.96 for text in sheet.texts)
