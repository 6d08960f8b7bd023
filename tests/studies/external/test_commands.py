"""Tests of `studies.external.commands`."""

from __future__ import annotations

import pytest
from helpers.squares import draw_squares
from typer.testing import CliRunner

from studies.__main__ import app

run = CliRunner().invoke


def test_external_writes_its_page(tiny_model_file, tmp_path):
    tables = [draw_squares(tmp_path / name, 5, seed) for seed, name in enumerate("AB")]
    out = tmp_path / "page.md"
    data = [part for table in tables for part in ("--data", str(table))]
    said = run(app, ["external", str(tiny_model_file), *data, "--jobs", "1", "--out", str(out)])
    assert said.exit_code == 0, said.output
    assert "| A | 5 |" in out.read_text()
    assert "| B | 5 |" in out.read_text()
    assert out.with_suffix(".svg").is_file()


def test_models_of_plain_images_are_refused(tiny_model_file, squares):
    said = run(app, ["scanners", str(tiny_model_file), "--data", str(squares)])
    assert said.exit_code == 1
    assert "needs a model for 3D heads" in said.output


@pytest.mark.slow
def test_scanners_writes_its_report(one_plane_file, one_head, tmp_path, monkeypatch):
    from studies.external import scanners

    monkeypatch.setattr(scanners, "EFFECTS", {"noise": scanners.EFFECTS["noise"]})
    out = tmp_path / "scanners.md"
    options = ["--subjects", "1", "--scanners", "2", "--draws", "1", "--out", str(out)]
    said = run(
        app,
        ["scanners", one_plane_file, "--data", str(one_head), "--label-column", "age", *options],
    )
    assert said.exit_code == 0, said.output
    assert out.read_text() in said.output
    assert "1 heads, each from 2 simulated scanners" in out.read_text()
    row = next(line for line in out.read_text().splitlines() if line.startswith("| 1 | "))
    assert "refused" not in row
