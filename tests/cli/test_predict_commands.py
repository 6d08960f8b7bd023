"""Tests of `expert.cli.predict_commands`."""

from __future__ import annotations

import json

import numpy as np
from helpers.refusals import REASON
from helpers.reports import pdf_pages
from typer.testing import CliRunner

from expert import DEFAULT_MODEL
from expert.cli.batch_prediction import FORCE_HINT
from expert.cli.main import app
from expert.imaging.volume import Volume, write_volume
from expert.schema import RESEARCH_USE

run = CliRunner().invoke


def test_explain_writes_json_and_report(head_file, tmp_path):
    result = run(app, ["explain", str(head_file), "--out", str(tmp_path / "out"), "--top", "2"])
    assert result.exit_code == 0, result.output
    assert RESEARCH_USE in result.output
    document = json.loads((tmp_path / "out" / "explanation.json").read_text())
    assert len(document["prototypes"]) == 2
    assert document["model_name"] == DEFAULT_MODEL
    assert "(mean of the prototypes)" in document["summary"]
    assert document["summary"] in result.output
    assert (tmp_path / "out" / "report.html").stat().st_size > 10_000


def test_explain_writes_what_it_is_asked_for(head_file, tmp_path):
    def explain(folder: str, *options: str) -> set[str]:
        result = CliRunner().invoke(
            app,
            ["explain", str(head_file), "-m", "phantom", "--out", str(tmp_path / folder), *options],
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


def test_a_refused_head_is_explained_with_force_only(head_file, heads_refused, tmp_path):
    out = tmp_path / "out"
    options = ["explain", str(head_file), "-m", "phantom", "--top", "1", "--pdf", "--csv"]
    options += ["--out", str(out)]
    result = run(app, options)
    assert result.exit_code == 1
    assert f"{REASON} {FORCE_HINT}" in " ".join(result.output.split())
    assert "years" not in result.output
    assert not out.exists()
    result = run(app, [*options, "--force"])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    said = next(n for n, line in enumerate(lines) if line.startswith("Forced prediction: "))
    assert REASON in lines[said]
    assert lines[said + 1].startswith("age: ")
    assert lines[said + 1].endswith("(no interval: the image was refused)")
    assert "years" not in "".join(lines[:said])
    assert result.stdout.count("Forced prediction") == 1
    assert json.loads((out / "explanation.json").read_text())["forced"] == REASON
    assert "Forced prediction: " in (out / "report.html").read_text(encoding="utf-8")
    assert "Forced prediction: " in pdf_pages((out / "report.pdf").read_bytes())[0]
    assert (out / "matches.csv").read_text("utf-8").startswith("# Forced prediction: ")


def test_a_head_of_a_third_of_its_size_is_not_explained(head, tmp_path):
    shrunk = np.array(head.affine)
    shrunk[:3] *= 0.3
    file = write_volume(Volume(head.data, shrunk), tmp_path / "small.nii.gz")
    result = run(app, ["explain", str(file), "--out", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert not (tmp_path / "out").exists()
