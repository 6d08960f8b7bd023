"""Tests of `expert.report.csv_export`."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from expert.attribution import for_prediction
from expert.evidence.patch_evidence import Evidence
from expert.report.csv_export import COLUMNS, LEAST, write_csv
from expert.schema import RESEARCH_USE


def test_the_table_of_matches(explanation, tmp_path):
    e = explanation
    lines = write_csv(e, tmp_path / "t.csv").read_text(encoding="utf-8").splitlines()
    head = [line for line in lines if line.startswith("#")]
    assert head == lines[: len(head)]
    assert RESEARCH_USE in head[0]
    assert e.model_name in head[1]
    assert e.model_sha256 in head[1]
    assert not any("#" in line for line in lines[len(head) :]), "pandas' comment sign cuts lines"
    rows = list(csv.DictReader(lines[len(head) :]))
    assert tuple(rows[0]) == COLUMNS
    assert {row["view"] for row in rows} == {view.name for view in e.views}
    assert min(float(row["share"]) for row in rows) >= LEAST
    assert any(line.startswith("# ") and "mean of the prototypes" in line for line in head)
    evidence = Evidence.of(e)
    for row in rows[:: len(rows) // 20]:
        number = [view.name for view in e.views].index(row["view"])
        assert row["region"] == "; ".join(evidence.region_names(number, int(row["patch"])))
        assert row["partner_region"] == "; ".join(
            evidence.region_names(number, int(row["partner"]))
        )
        assert row["fluid"] == ""  # the model does not know tissues
    view, match, pull = e.views[2], e.prototypes[1], for_prediction(e, 2)
    for patch in np.flatnonzero(view.mass):
        mine = [
            row
            for row in rows
            if (row["view"], row["prototype"], int(row["patch"])) == (view.name, "2", patch)
        ]
        shares = match.views[2].matches(int(patch))
        assert {int(row["partner"]) for row in mine} == set(
            np.flatnonzero(shares >= LEAST).tolist()
        )
        for row in mine:
            assert float(row["share"]) == pytest.approx(shares[int(row["partner"])], rel=1e-4)
            assert float(row["pull"]) == pytest.approx(pull[patch], rel=1e-4)
        assert sum(float(row["adds"]) for row in mine) == pytest.approx(
            match.views[2].contributions[patch], rel=0.15
        )


def test_a_forced_prediction_is_in_the_first_line(forced, tmp_path):
    first, second, *_ = write_csv(forced, tmp_path / "t.csv").read_text("utf-8").splitlines()
    assert first == f"# {forced.forced_text}"
    assert forced.forced in first
    assert RESEARCH_USE in second


def test_tables_of_images_and_volumes(plain, solid, tmp_path):
    for e, place in ((plain, "row 2, column"), (solid, " S ")):
        assert place in write_csv(e, tmp_path / "t.csv").read_text(encoding="utf-8")


def test_averages_are_named_in_the_head(averaged, explanation, tmp_path):
    text = write_csv(averaged, tmp_path / "a.csv").read_text(encoding="utf-8")
    (line,) = [line for line in text.splitlines() if "average of" in line]
    assert line.startswith("# prototype 1: average of 13 people of ")
    own = write_csv(explanation, tmp_path / "e.csv").read_text(encoding="utf-8")
    assert "average of" not in own
