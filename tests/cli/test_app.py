"""The command, as a user types it: files come out, errors are one sentence and a non-zero exit."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from helpers.reports import pdf_pages
from helpers.squares import draw_squares
from typer.testing import CliRunner

from expert.cli.app import app
from expert.schema import RESEARCH_USE

run = CliRunner().invoke


def refused(result, *words: str) -> None:
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.output
    message = [line for line in result.output.splitlines() if line]
    assert len(message) == 1, message
    for word in words:
        assert word in message[0]


def test_explain_writes_json_and_report(head_file, tmp_path):
    result = run(app, ["explain", str(head_file), "--out", str(tmp_path / "out"), "--top", "2"])
    assert result.exit_code == 0, result.output
    assert RESEARCH_USE in result.output
    document = json.loads((tmp_path / "out" / "explanation.json").read_text())
    assert len(document["prototypes"]) == 2
    assert (tmp_path / "out" / "report.html").stat().st_size > 10_000


def test_evaluate(tiny_model_file, tmp_path):
    table = draw_squares(tmp_path / "new", 9, 8)
    out = tmp_path / "e.json"
    result = run(
        app,
        ["evaluate", str(tiny_model_file), "--data", str(table), "--out", str(out), "--jobs", "1"],
    )
    assert result.exit_code == 0, result.output
    assert "MAE" in result.output
    assert json.loads(out.read_text())["errors"]["images"] == 9


def test_evaluate_explanations_only_when_asked(tiny_model_file, tmp_path):
    table = draw_squares(tmp_path / "new", 6, 8)
    plain, more = tmp_path / "plain.json", tmp_path / "more.json"
    command = ["evaluate", str(tiny_model_file), "--data", str(table), "--jobs", "1"]
    shown = run(app, [*command, "--out", str(plain)])
    assert "self-match" not in shown.output
    result = run(app, [*command, "--out", str(more), "--explanations", "--subjects", "3"])
    assert result.exit_code == 0, result.output
    assert "self-match" in result.output
    before, after = (
        json.loads(path.read_text(), parse_constant=refuse_constant) for path in (plain, more)
    )
    assert before["explanations"] is None
    measured = after.pop("explanations")
    assert after == {name: value for name, value in before.items() if name != "explanations"}
    assert measured["subjects"] == 3
    assert measured["prototypes"]["displacement_mm"] is None  # plain images share no space
    assert (
        measured["prototypes"]["best_share"]["chance"]
        < measured["prototypes"]["best_share"]["value"]
        <= 1
    )
    assert measured["exactness"]["distance"] < 1e-6
    assert run(app, [*command, "--explanations", "--subjects", "0"]).exit_code == 2


def refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


def test_info_and_version():
    result = run(app, ["info", "phantom"])
    assert result.exit_code == 0
    assert RESEARCH_USE in result.output
    assert "napari-expert" in run(app, ["--version"]).output


def test_phantom(tmp_path):
    from expert.imaging.volume import read_volume

    out = tmp_path / "p.nii.gz"
    assert run(app, ["phantom", "--age", "30", "--seed", "2", "--out", str(out)]).exit_code == 0
    assert read_volume(out).ndim == 3


def test_errors_are_one_sentence(head_file, tmp_path, tiny_recipe):
    refused(run(app, ["explain", "nowhere.nii", "--out", str(tmp_path)]), "nowhere.nii")
    refused(
        run(app, ["explain", str(head_file), "--model", "nobody", "--out", str(tmp_path)]),
        "nobody",
        "phantom",
    )
    refused(run(app, ["info", str(head_file)]), "model")
    refused(run(app, ["predict", "--out", str(tmp_path / "o.csv")]), "Nothing to predict")
    refused(run(app, ["phantom", "--age", "-3", "--out", str(tmp_path / "p.nii.gz")]))
    refused(
        run(
            app,
            [
                "train",
                str(tiny_recipe),
                "--data",
                "no.csv",
                "--out",
                str(tmp_path / "m.safetensors"),
            ],
        ),
        "no.csv",
    )
    refused(run(app, ["view", "nowhere.nii"]), "nowhere.nii")
    table = tmp_path / "t.csv"
    table.write_text("name,age\nx,3\n")
    refused(run(app, ["evaluate", "phantom", "--data", str(table)]), "column 'file'")
    (tmp_path / "file").write_text("")
    refused(
        run(app, ["explain", str(head_file), "--out", str(tmp_path / "file" / "x")]),
        "could not be made",
    )


def test_a_model_in_place_of_an_image(tmp_path):
    from expert.model_file import SHIPPED

    refused(
        run(app, ["explain", str(SHIPPED / "phantom.safetensors"), "--out", str(tmp_path)]),
        "unknown kind",
    )


COMMANDS = [
    "predict",
    "explain",
    "train",
    "evaluate",
    "info",
    "phantom",
    "fetch",
    "view",
    "convert",
]


def test_the_module_and_the_script_list_the_same_commands():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    module, name = project["scripts"]["expert"].split(":")
    script = f"from {module} import {name}; {name}(prog_name='expert')"  # as pip writes it
    by_module, by_script = (
        subprocess.run([sys.executable, *way, "--help"], capture_output=True, check=True).stdout
        for way in (["-m", "expert.cli"], ["-c", script])
    )
    assert by_module == by_script
    assert sorted(re.findall(r"^│ ([a-z]+) ", by_module.decode(), re.MULTILINE)) == sorted(COMMANDS)


@pytest.mark.parametrize(
    ("former", "present"),
    [("benchmark", "ablation"), ("planted", "planted"), ("strange", "corrupted")],
)
def test_a_moved_command_names_the_present_one(former, present):
    result = run(app, [former, "a.yaml", "--data", "table.csv"])
    assert result.exit_code == 2
    assert result.output.count("\n") == 1
    assert f"python -m studies {present}" in result.output


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command):
    assert run(app, [command, "--help"]).exit_code == 0


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
