"""Tests of `studies.commands`."""

from __future__ import annotations

from helpers.runs import write_folds
from typer.testing import CliRunner

from studies.__main__ import app
from studies.corrupted import inputs
from studies.corrupted.corruptions import CORRUPTIONS, MIRRORED, UNCHANGED


def test_the_command_writes_its_report(one_plane, heads, tmp_path, monkeypatch):
    monkeypatch.setattr(
        inputs, "CORRUPTIONS", {MIRRORED: CORRUPTIONS["all zeros"]}
    )  # refused at once
    run = write_folds(tmp_path / "run", [[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
    out, table = tmp_path / "corrupted.md", ["--data", str(heads)]
    monkeypatch.setattr("expert.model_file.load_model", lambda _: one_plane)
    said = CliRunner().invoke(
        app,
        ["corrupted", "phantom", *table, "--subjects", "1", "--run", str(run), "--out", str(out)],
    )
    assert said.exit_code == 0, said.output
    text = out.read_text()
    assert text in said.output
    assert f"| {UNCHANGED} | 1 | " in text
    assert "of 6 held-out images of 2 folds" in text
    assert "nearest prototype, years" in text  # this model is of before the seven signs
