"""Tests of `expert.cohort.parquet_file`; those of a run into Parquet are in `test_table_file`."""

from __future__ import annotations

import pytest

from expert.cohort.cells import cell
from expert.cohort.parquet_file import not_a_table, read_parquet, write_parquet
from expert.cohort.rows import COLUMNS
from expert.errors import InputError


def test_rows_come_back_as_they_were_written(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    values = {
        "input": "=a", "prediction": "51.2000", "prototypes_in_radius": "0", "fallback": "true",
        "registration_quality": "0.900", "label": "-3", "error": "",
    }  # fmt: skip
    first = dict.fromkeys(COLUMNS, "") | {k: cell(k, v) for k, v in values.items()}
    second = dict.fromkeys(COLUMNS, "") | {"input": "b", "error": "It is damaged."}
    write_parquet(tmp_path / "t.parquet", COLUMNS, [first, second])
    assert read_parquet(tmp_path / "t.parquet") == [first, second]
    a, b = parquet.read_table(tmp_path / "t.parquet").to_pylist()
    assert (a["input"], a["prediction"], a["fallback"], a["label"]) == ("=a", 51.2, True, -3.0)
    assert (b["prediction"], b["fallback"], b["error"]) == (None, None, "It is damaged.")


def test_other_files_are_no_tables(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    other, text = tmp_path / "o.parquet", tmp_path / "t.parquet"
    parquet.write_table(pyarrow.table({"file": ["a"]}), other)
    text.write_text("text")
    for file in (other, text):
        with pytest.raises(InputError, match="is not a table of predictions"):
            read_parquet(file)
    assert str(other) in str(not_a_table(other))
