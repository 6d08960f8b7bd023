"""Tests of `expert.untrusted.csv_text`."""

from __future__ import annotations

import pytest

from expert.untrusted.csv_text import read_csv

ROWS = [(2, {"file": "a.png", "age": "30.5"}), (3, {"file": "b c.png", "age": ""})]


@pytest.mark.parametrize(
    "content",
    [
        b"file,age\na.png,30.5\nb c.png,\n",
        b"\xef\xbb\xbffile,age\r\na.png,30.5\r\nb c.png,\r\n",
        b"file;age\na.png;30,5\nb c.png;\n",
        b"file\tage\na.png\t30,5\nb c.png\t\n",
        "file;age\r\na.png;30,5\r\nb c.png;\r\n".encode("utf-16"),
        b'"file","age"\n"a.png","30.5"\n"b c.png",""\n',
        b"file , age,,\na.png, 30.5,,\nb c.png\n",
    ],
)
def test_common_forms_of_a_table_are_the_same(content, tmp_path):
    (tmp_path / "t.csv").write_bytes(content)
    assert read_csv(tmp_path / "t.csv") == (["file", "age"], ROWS)


@pytest.mark.parametrize("first", [b"sep=;\r\n", b"SEP=;\n", b'"sep=;"\n'])
def test_a_first_line_for_excel_is_left_out(first, tmp_path):
    (tmp_path / "t.csv").write_bytes(first + b"file;age\na.png;30,5\nb c.png;\n")
    shifted = [(line + 1, row) for line, row in ROWS]
    assert read_csv(tmp_path / "t.csv") == (["file", "age"], shifted)


def test_lines_are_those_of_the_file(tmp_path):
    (tmp_path / "t.csv").write_text('file,note\n\na.png,"two\nlines"\n,\nb.png,x\n')
    assert [line for line, _ in read_csv(tmp_path / "t.csv")[1]] == [3, 6]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"file,age,age\na.png,1,2\n", "two columns 'age'"),
        (b"file,age\na.png,30,5\n", "row 2 has more cells"),
        ("file,age\nä.png,1\n".encode("latin-1"), "not UTF-8"),
        (b"PK\3\4\0\0\0\0", "not text"),
        (b"file\n" + b'"' + b"a" * 200_000 + b'"', "not a table"),
    ],
)
def test_what_is_no_table_is_a_part_of_a_sentence(content, message, tmp_path):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_csv(tmp_path / "t.csv")


def test_an_empty_file_has_no_columns(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"")
    assert read_csv(tmp_path / "t.csv") == ([], [])
