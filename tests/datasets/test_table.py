"""Tests of `expert.datasets.table`."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from expert.cli.main import app
from expert.datasets.table import as_number, read_table
from expert.errors import InputError


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


BAD_TABLES = {
    "empty": ("", "no column 'file'"),
    "no rows": ("file,age\n", "no rows"),
    "no file column": ("path,age\na.png,30\n", "no column 'file'"),
    "no label column": ("file,years\na.png,30\n", "no label column"),
    "other separator": ("file|age\na.png|30\n", "separated by commas"),
    "two labels": ("file,age,age\na.png,30,40\n", "two columns 'age'"),
    "decimal comma": ("file,age\na.png,30,5\n", "row 2 has more cells"),
    "missing file": ("file,age\nnone.png,30\n", "Row 2 of t.csv: the file none.png does not exist"),
    "no file name": ("file,age\n,30\n", "no file name"),
    "NaN": ("file,age\na.png,nan\n", "holds 'nan', not a number"),
    "infinite": ("file,age\na.png,inf\n", "holds 'inf', not a number"),
    "no label": ("file,age\na.png,\n", "holds '', not a number"),
    "text": ("file,age\na.png,old\n", "holds 'old', not a number"),
    "escape codes": ("file,age\na.png,\x1b[31m\n", r"holds '\\x1b\[31m'"),
    "pixel size": ("file,age,pixel_size_mm\na.png,30,-1\n", "must be above 0"),
    "checksum": ("file,age,sha256\na.png,30,00\n", "differs from the one in the table"),
    "folder": ("file,age\n.,30\n", "does not exist"),
    "two subjects": (
        "file,age,subject\na.png,30,x\nb.png,40,y\na.png,30,z\n",
        "Row 4 of t.csv: it is the image of row 2 with another subject",
    ),
    "copy under another name": (
        "file,age,subject\na.png,30,x\ncopy.png,30,y\n",
        "the image of row 2 with another subject",
    ),
    "two labels of an image": (
        "file,age,subject\na.png,30,x\na.png,31,x\n",
        "the image of row 2 with another label",
    ),
}


@pytest.fixture
def files(tmp_path):
    for name, content in (("a", b"a"), ("b", b"b"), ("copy", b"a")):
        (tmp_path / f"{name}.png").write_bytes(content)
    return tmp_path


@pytest.mark.parametrize("name", BAD_TABLES)
def test_a_bad_table_is_one_sentence(name, files):
    content, message = BAD_TABLES[name]
    (files / "t.csv").write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        read_table(files / "t.csv")
    assert "\n" not in str(caught.value)


def test_all_bad_rows_are_named_at_once(files):
    rows = [f"a.png,{30 if n % 100 else 'x'},s" for n in range(3000)]
    (files / "t.csv").write_text("\n".join(["file,age,subject", *rows]))
    with pytest.raises(InputError) as caught:
        read_table(files / "t.csv")
    assert str(caught.value) == (
        "30 of 3000 rows of t.csv cannot be used: "
        "row 2: column 'age' holds 'x', not a number; "
        "row 102: column 'age' holds 'x', not a number; "
        "row 202: column 'age' holds 'x', not a number; and 27 more."
    )


@pytest.mark.parametrize("separator", [";", "\t"])
def test_tables_of_other_separators_are_read(files, separator):
    rows = ["file,age,site", "a.png,30,x", "b.png,40,y"]
    text = "\ufeff" + "\n".join(rows).replace(",", separator)
    (files / "t.csv").write_text(text, encoding="utf-8")
    (files / "u.csv").write_text("\n".join(rows))
    assert read_table(files / "t.csv") == read_table(files / "u.csv")


def test_the_same_image_twice_under_one_subject_is_used(files):
    (files / "t.csv").write_text("file,age,subject\na.png,30,x\ncopy.png,30,x\n")
    assert len(read_table(files / "t.csv")) == 2


@pytest.mark.parametrize("name", ["no label column", "NaN", "two subjects", "other separator"])
def test_commands_refuse_a_bad_table_in_one_sentence(name, files, tiny_recipe):
    content, message = BAD_TABLES[name]
    table = files / "t.csv"
    table.write_text(content)
    out = str(files / "m.safetensors")
    commands = [
        ["train", str(tiny_recipe), "--data", str(table), "--out", out],
        ["evaluate", "phantom", "--data", str(table)],
    ]
    if name == "other separator":
        commands.append(["predict", str(table), "--out", str(files / "p.csv")])
    for command in commands:
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 1, done.output
        assert re.search(message.split(" of t.csv: ")[-1], done.stderr), done.stderr
        assert done.stderr.count("\n") == 1
        assert "Traceback" not in done.output
    assert not (files / "m.safetensors").exists()
    assert not (files / "p.csv").exists()


@pytest.mark.parametrize("age", ["-9", "999"])
def test_codes_for_a_missing_age_are_no_ages(files, age):
    table = files / "t.csv"
    table.write_text(f"file,age\na.png,{age}\n")
    with pytest.raises(InputError, match="no age in years"):
        read_table(table)
    assert math.isnan(read_table(table, labelled=False)[0].label)
    assert read_table(table, label_column="age")[0].label == float(age)  # of another unit


def test_paths_of_windows_are_found(files):
    (files / "sub").mkdir()
    (files / "sub" / "a b.png").write_bytes(b"x")
    (files / "t.csv").write_text("file,age\nsub\\a b.png,30\n")
    assert read_table(files / "t.csv")[0].file.read_bytes() == b"x"
