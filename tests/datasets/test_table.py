"""Tests of `expert.datasets.table`."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from expert.datasets.table import as_number, read_table


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("T1/a.nii.gz", "T1/a.nii.gz"),
        ("a.png", "a.png"),
        ("../../home/someone/a.png", "a.png"),
        ("/home/someone/a.png", "a.png"),
        (r"C:\Users\someone\a.png", "a.png"),
        (r"T1\a.nii.gz", "T1/a.nii.gz"),
    ],
)
def test_a_model_tells_no_way_to_a_file_outside_its_data_set(name, told):
    from expert.datasets.table import Entry

    entry = Entry(
        subject="s", name=name, file=Path(name), label=1.0, pixel_size_mm=None, sha256="0" * 64
    )
    assert entry.public_name == told


def test_sites_are_read_where_there_are_some(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(name.encode())
    table = tmp_path / "t.csv"
    table.write_text("file,age,site\na.png,30, North \nb.png,40,\n")
    assert [entry.site for entry in read_table(table)] == ["North", ""]
    table.write_text("file,age\na.png,30\nb.png,40\n")
    assert [entry.site for entry in read_table(table)] == ["", ""]


def test_a_reference_is_the_public_name(tmp_path):
    (tmp_path / "a.png").write_bytes(b"a")
    table = tmp_path / "t.csv"
    table.write_text("file,age,reference\na.png,30,T1/b.png\n")
    (entry,) = read_table(table)
    assert entry.public_name == "T1/b.png"
    assert entry.file == tmp_path / "a.png"


def test_labels_are_optional_where_none_are_needed(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("file,age\na.png,30\nb.png,\nc.png,n/a\nd.png,inf\n")
    labels = [entry.label for entry in read_table(table, labelled=False)]
    assert labels[0] == 30
    assert all(math.isnan(label) for label in labels[1:])


def test_parquet_is_read_like_csv(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(name.encode())
    rows = {"file": ["a.png", "b.png"], "age": [30, 40], "site": ["x", None]}
    parquet.write_table(pyarrow.table(rows), tmp_path / "t.parquet")
    (tmp_path / "t.csv").write_text("file,age,site\na.png,30,x\nb.png,40,\n")
    assert read_table(tmp_path / "t.parquet") == read_table(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("text", "value"), [("3.5", 3.5), (" 2 ", 2), ("", None), ("n/a", None), ("nan", None)]
)
def test_numbers_may_be_missing(text, value):
    assert as_number(text) == value or (value is None and math.isnan(as_number(text)))
