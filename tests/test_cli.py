"""The command, as a user types it: files come out, errors are one sentence and a non-zero exit."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from conftest import draw_squares
from typer.testing import CliRunner

from expert.cli.app import app
from expert.cli.batch_prediction import COLUMNS
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


def test_predict_goes_on_past_bad_inputs(head_file, tmp_path):
    bad = tmp_path / "bad.nii.gz"
    bad.write_text("no image")
    out = tmp_path / "out.csv"
    result = run(
        app,
        [
            "predict",
            str(bad),
            str(head_file),
            "missing.nii",
            "--model",
            "phantom",
            "--out",
            str(out),
        ],
    )
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [bool(row["error"]) for row in rows] == [True, False, True]
    assert abs(float(rows[1]["prediction"]) - 72) < 8
    assert float(rows[1]["lower"]) < float(rows[1]["upper"])
    assert float(rows[1]["registration_quality"]) > 0
    assert result.exit_code == 0
    assert "2 of 3 inputs could not be used" in result.output
    assert run(app, ["predict", str(bad), "--out", str(out)]).exit_code == 1


def test_predict_a_table_of_plain_images(tiny_model_file, tmp_path):
    table = draw_squares(tmp_path / "new", 5, 8)
    out = tmp_path / "out.csv"
    result = run(
        app, ["predict", "--table", str(table), "--model", str(tiny_model_file), "--out", str(out)]
    )
    assert result.exit_code == 0, result.output
    with out.open() as file:
        predictions = [float(row["prediction"]) for row in csv.DictReader(file)]
    assert np.corrcoef(predictions, range(5))[0, 1] > 0.9


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


@pytest.mark.parametrize(
    "command",
    ["predict", "explain", "train", "evaluate", "info", "phantom", "fetch", "view", "convert"],
)
def test_every_command_explains_itself(command):
    assert run(app, [command, "--help"]).exit_code == 0
