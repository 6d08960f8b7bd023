"""Tests of `expert.report.pdf`."""

from __future__ import annotations

import datetime
import re
import zlib

import pytest
from helpers.reports import both_reports, pdf_pages

import expert
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
    drawn = b"".join(
        zlib.decompress(raw) for raw in re.findall(rb"stream\r?\n(x.*?)\r?\nendstream", data, re.S)
    )
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
