"""The command, as a user types it: files come out, errors are one sentence and a non-zero exit."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from expert.cli.main import app

run = CliRunner().invoke


def refused(result, *words: str) -> None:
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.output
    message = [line for line in result.output.splitlines() if line]
    assert len(message) == 1, message
    for word in words:
        assert word in message[0]


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
        "unknown format",
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
    "series",
    "convert",
]


def test_the_module_and_the_script_list_the_same_commands():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    module, name = project["scripts"]["expert"].split(":")
    script = f"from {module} import {name}; {name}()"  # as pip writes it
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
