"""Tests of `expert.cli.predict_commands`."""

from __future__ import annotations

import json

import numpy as np
from helpers.refusals import REASON
from helpers.reports import Page, pdf_pages
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


def test_predict_continues_explains_and_writes_a_page(tiny_model_file, squares, tmp_path):
    out, page, explanations = tmp_path / "o.csv", tmp_path / "p.html", tmp_path / "ex"
    images = [str(path) for path in sorted(squares.parent.glob("*.png"))[:2]]
    options = ["--model", str(tiny_model_file), "--out", str(out)]
    result = run(app, ["predict", images[0], "gone.png", *options])
    assert result.exit_code == 0
    assert "1 of 2 predicted" in result.output
    options += ["--explanations", str(explanations), "--page", str(page)]
    result = run(app, ["predict", *images, "gone.png", *options])
    assert result.exit_code == 0, result.output
    assert "1 of 3 were predicted by an earlier run, 1 of them with an error" in result.output
    assert "--retry-errors repeats them" in result.output
    assert "2 of 3 predicted" in result.output
    assert len(list(explanations.glob("*/report.html"))) == 2
    text = page.read_text(encoding="utf-8")
    assert RESEARCH_USE in text
    assert "square-" not in text
    assert len({link for link in Page(text).links if link.startswith("ex/")}) == 2
    assert run(app, ["predict", *images, *options, "--show-names"]).exit_code == 0
    assert "square-" in page.read_text(encoding="utf-8")


def test_predict_says_at_once_what_it_cannot_write(tiny_model_file, squares, tmp_path):
    given = ["predict", str(squares), "--model", str(tiny_model_file)]
    for options, message in [
        (["--out", str(tmp_path)], "it is not a file"),
        (["--out", str(tmp_path / "no" / "o.csv")], "could not be written: No such file"),
        (["--page", str(tmp_path / "p.txt")], "must end in .html"),
        (["--out", str(tmp_path / "o.csv"), "--explanations", str(squares)], "could not be made"),
    ]:
        result = run(app, [*given, *options])
        assert result.exit_code == 1
        assert message in " ".join(result.output.split())


def test_predict_does_not_continue_the_table_of_another_model(tiny_model_file, squares, tmp_path):
    out = tmp_path / "o.csv"
    image = str(sorted(squares.parent.glob("*.png"))[0])
    assert run(app, ["predict", image, "-m", str(tiny_model_file), "-o", str(out)]).exit_code == 0
    before = out.read_bytes()
    result = run(app, ["predict", image, "-m", "phantom", "-o", str(out)])
    assert result.exit_code == 1
    assert "is of another model, tiny 1 (" in " ".join(result.output.split())
    assert out.read_bytes() == before
    result = run(app, ["predict", image, "-m", "phantom", "-o", str(out), "--overwrite"])
    assert "1 of 1 inputs could not be used" in result.output
    assert out.read_bytes() != before
