"""Tests of `expert.cohort.table_file`."""

from __future__ import annotations

import csv
import subprocess
import sys

import pytest

from expert.cohort.rows import COLUMNS
from expert.cohort.table_file import open_table, record_of
from expert.errors import InputError

MODEL = {"model": "m", "model_version": "1", "model_sha256": "ab"}


def row(name: str, **values: object) -> dict[str, object]:
    return dict.fromkeys(COLUMNS, "") | {"input": name, "unit": "years", **MODEL, **values}


def inputs(path) -> list[str]:
    with path.open(newline="", encoding="utf-8") as file:
        return [line["input"] for line in csv.DictReader(file)]


def test_rows_are_in_the_file_at_once_and_in_order_at_the_end(tmp_path):
    out = tmp_path / "o.csv"
    with open_table(out, COLUMNS, MODEL) as table:
        assert inputs(out) == []
        table.append(row("b", prediction="1.0000"))
        assert inputs(out) == ["b"]
        table.append(row("a", error="damaged"))
        assert (table.is_done("a"), table.has_error("a"), table.is_done("c")) == (True, True, False)
        rows = table.finish(["a", "b"])
    assert inputs(out) == ["a", "b"]
    assert [r["prediction"] for r in rows] == ["", "1.0000"]


def test_a_run_continues_and_rows_of_other_inputs_stay(tmp_path):
    out = tmp_path / "o.csv"
    for names in (["a", "b"], ["c"], ["b", "d"]):
        with open_table(out, COLUMNS, MODEL) as table:
            for name in names:
                if not table.is_done(name):
                    table.append(row(name))
            table.finish(names)
    assert inputs(out) == ["b", "d", "c", "a"]
    with open_table(out, COLUMNS, MODEL, repeat=lambda r: r["input"] == "b") as table:
        assert sorted(table.done) == ["a", "c", "d"]
    assert inputs(out) == ["d", "c", "a"]
    with open_table(out, COLUMNS, MODEL, overwrite=True) as table:
        assert table.done == {}


def test_whatever_was_written_of_the_last_line_is_dropped(tmp_path):
    out = tmp_path / "o.csv"
    with open_table(out, COLUMNS, MODEL) as table:
        table.append(row("a", error='a "quoted", text'))
        table.append(row("b", error='another "quoted", text'))
    whole = out.read_bytes()
    first = whole.index(b"\r\nb,") + 2
    for length in range(first, len(whole) + 1):
        out.write_bytes(whole[:length])
        with open_table(out, COLUMNS, MODEL) as table:
            assert sorted(table.done) == (["a", "b"] if length == len(whole) else ["a"]), length
    out.write_bytes(b"")
    with open_table(out, COLUMNS, MODEL) as table:
        assert not table.done


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1,2\n", "is not a table of predictions"),
        ("input,prediction\nx,1\n", "has other columns"),
        ("no table", "is not a table of predictions"),
        ("\x89PNG\n\x00\n", "is not a table of predictions"),
    ],
)
def test_another_table_is_not_continued_and_not_changed(content, message, tmp_path):
    out = tmp_path / "o.csv"
    out.write_text(content)
    for overwrite in (False, "other columns" not in message):
        with (
            pytest.raises(InputError, match=f"{message}.*--out"),
            open_table(out, COLUMNS, MODEL, overwrite=overwrite),
        ):
            pass
        assert out.read_text() == content


def test_a_table_of_another_model_is_not_continued(tmp_path):
    out = tmp_path / "o.csv"
    with open_table(out, COLUMNS, MODEL) as table:
        table.append(row("a"))
    other = MODEL | {"model_sha256": "cd"}
    with (
        pytest.raises(InputError, match=r"is of another model, m 1 \(ab\)\. .*--overwrite"),
        open_table(out, COLUMNS, other),
    ):
        pass
    assert inputs(out) == ["a"]


def test_two_commands_do_not_write_one_table(tmp_path):
    pytest.importorskip("fcntl")
    out = tmp_path / "o.csv"
    code = (
        "import sys; from pathlib import Path; from expert.cohort.rows import COLUMNS\n"
        "from expert.cohort.table_file import open_table\n"
        f"with open_table(Path(sys.argv[1]), COLUMNS, {MODEL}): pass"
    )
    with open_table(out, COLUMNS, MODEL) as table:
        table.append(row("a"))
        done = subprocess.run(
            [sys.executable, "-c", code, str(out)], capture_output=True, text=True
        )
        assert "is being written by another command" in done.stderr
        table.append(row("b"))
    assert inputs(out) == ["a", "b"]
    assert subprocess.run([sys.executable, "-c", code, str(out)], check=False).returncode == 0


def test_no_cell_is_a_formula_or_has_two_lines(tmp_path):
    odd = ["=1+1", "+a", "-x.nii", "@a", "'=b", "'c", "two\nlines", "a\udcffb", 'd,"e"', "\u2028"]
    out = tmp_path / "o.csv"
    with open_table(out, COLUMNS, MODEL) as table:
        for name in odd:
            table.append(row(name, label="-3", error=name))
    assert all(name[0] not in "=+-@" for name in inputs(out))
    with open_table(out, COLUMNS, MODEL) as table:
        assert all(table.is_done(name) for name in odd)
        rows = table.finish(odd)
    assert [r["input"] for r in rows[:6]] == odd[:6]
    assert rows[0]["label"] == "-3"
    assert rows[6]["input"] == "two lines"


def test_a_table_that_cannot_be_written_is_one_sentence(tmp_path):
    for out in (tmp_path / "missing" / "o.csv", tmp_path):
        with (
            pytest.raises(InputError, match="could not be written"),
            open_table(out, COLUMNS, MODEL),
        ):
            pass


def test_parquet_has_types_and_can_be_continued(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "o.parquet"
    full = row(
        "=a", prediction="51.2000", fallback="false", prototypes_in_radius=3, label="50.5",
        nearest_prototype=0, registration_quality="0.900",
    )  # fmt: skip
    with open_table(out, COLUMNS, MODEL) as table:
        table.append(full)
        assert record_of(out).is_file()
        assert not out.exists()
        table.finish(["=a"])
    assert not record_of(out).exists()
    with open_table(out, COLUMNS, MODEL) as table:
        assert table.is_done("=a")
        table.append(row("b", error="damaged"))
        rows = table.finish(["b", "=a"])
    assert rows[1] == {name: str(value) for name, value in full.items()}
    written = parquet.read_table(out)
    assert written.schema.metadata[b"statement"].startswith(b"Research use only.")
    assert written.column_names == list(COLUMNS)
    b, a = written.to_pylist()
    assert (a["input"], a["prediction"], a["fallback"], a["label"]) == ("=a", 51.2, False, 50.5)
    assert (b["prediction"], b["error"], a["error"], a["nearest_prototype"]) == (
        None, "damaged", "", 0,
    )  # fmt: skip
    with (
        pytest.raises(InputError, match="is of another model"),
        open_table(out, COLUMNS, MODEL | {"model": "n"}),
    ):
        pass
    assert not record_of(out).exists()


def test_parquet_is_started_anew_and_no_other_file_is_overwritten(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "o.parquet"
    for overwrite in (False, True):
        with open_table(out, COLUMNS, MODEL, overwrite=overwrite) as table:
            assert not table.done
            assert not out.exists()
            if not overwrite:
                table.append(row("a"))
                table.finish(["a"])
    parquet.write_table(pyarrow.table({"file": ["a.png"]}), out)
    record_of(out).unlink()
    before = out.read_bytes()
    with (
        pytest.raises(InputError, match="is not a table of predictions"),
        open_table(out, COLUMNS, MODEL, overwrite=True),
    ):
        pass
    assert out.read_bytes() == before
    assert not record_of(out).exists()


def test_without_pyarrow_one_sentence_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with (
        pytest.raises(InputError, match=r"pip install 'napari-expert\[parquet\]'"),
        open_table(tmp_path / "o.parquet", COLUMNS, MODEL),
    ):
        pass
    assert not list(tmp_path.iterdir())
