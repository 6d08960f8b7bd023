"""Tests of `expert.datasets.table`."""

from __future__ import annotations

from pathlib import Path

import pytest

from expert.datasets.table import read_table


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
