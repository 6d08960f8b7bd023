"""Tests of `expert.cli.predict_commands`."""

from __future__ import annotations

import json

from helpers.reports import pdf_pages
from typer.testing import CliRunner

from expert.cli.main import app
from expert.schema import RESEARCH_USE

run = CliRunner().invoke


def test_explain_writes_json_and_report(head_file, tmp_path):
    result = run(app, ["explain", str(head_file), "--out", str(tmp_path / "out"), "--top", "2"])
    assert result.exit_code == 0, result.output
    assert RESEARCH_USE in result.output
    document = json.loads((tmp_path / "out" / "explanation.json").read_text())
    assert len(document["prototypes"]) == 2
    assert (tmp_path / "out" / "report.html").stat().st_size > 10_000


def test_explain_writes_what_it_is_asked_for(head_file, tmp_path):
    def explain(folder: str, *options: str) -> set[str]:
        result = CliRunner().invoke(
            app,
            ["explain", str(head_file), "--top", "2", "--out", str(tmp_path / folder), *options],
        )
        assert result.exit_code == 0, result.output
        names = {path.name for path in (tmp_path / folder).iterdir()}
        assert all(name in result.output for name in names - {"explanation.json"})
        return names

    assert explain("less") == {"explanation.json", "report.html"}
    assert head_file.name not in (tmp_path / "less" / "report.html").read_text(encoding="utf-8")
    assert explain("more", "--pdf", "--csv", "--show-name") == {
        "explanation.json",
        "report.html",
        "report.pdf",
        "matches.csv",
    }
    assert f"age of {head_file.name}" in (tmp_path / "more" / "report.html").read_text(
        encoding="utf-8"
    )
    assert (
        f"age of {head_file.name}" in pdf_pages((tmp_path / "more" / "report.pdf").read_bytes())[0]
    )
    assert head_file.name not in (tmp_path / "more" / "matches.csv").read_text(encoding="utf-8")
