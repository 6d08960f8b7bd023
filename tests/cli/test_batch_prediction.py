"""Tests of `expert.cli.batch_prediction`."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest
from helpers.refusals import REASON
from helpers.squares import draw_squares
from typer.testing import CliRunner

from expert.cli import batch_prediction
from expert.cli.batch_prediction import COLUMNS, FORCE_HINT
from expert.cli.main import app
from expert.errors import InputError
from expert.model_file import load_model


def test_a_bias_corrected_column_stands_beside_the_prediction(tiny_model_file, squares, tmp_path):
    from expert.cli.batch_prediction import items, predict_table
    from expert.model_file import load_model

    model = load_model(tiny_model_file)
    assert model.info.calibration.bias is not None
    target, failed = predict_table(
        model, items([], squares)[:3], tmp_path / "p.csv", corrected=True
    )
    rows = [line.split(",") for line in target.read_text().splitlines()]
    assert failed == 0
    assert rows[0][1:3] == ["prediction", "bias_corrected"]
    start, slope = model.info.calibration.bias
    for row in rows[1:]:
        assert float(row[2]) == pytest.approx((float(row[1]) - start) / slope, abs=1e-3)
    plain, _ = predict_table(model, items([], squares)[:1], tmp_path / "q.csv")
    assert "bias_corrected" not in plain.read_text()
    info = model.info.model_copy(
        update={"calibration": model.info.calibration.model_copy(update={"bias": None})}
    )
    with pytest.raises(InputError, match="no bias correction"):
        predict_table(replace(model, info=info), [], tmp_path / "r.csv", corrected=True)


run = CliRunner().invoke


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


def test_the_columns_of_before_keep_their_places():
    assert COLUMNS[:12] == (
        "input", "prediction", "unit", "lower", "upper", "nearest_distance",
        "prototypes_in_radius", "fallback", "registration_quality", "warnings", "warning_text",
        "error",
    )  # fmt: skip


def test_the_former_module_still_has_its_names():
    import expert.cohort

    for name in ("items", "Item", "COLUMNS", "predict", "predict_one", "predict_table"):
        with pytest.warns(DeprecationWarning, match=r"is now expert\.cli\.batch_prediction"):
            found = getattr(expert.cohort, name)
        assert found is getattr(batch_prediction, name)
    with pytest.raises(AttributeError):
        _ = expert.cohort.never_there


def test_a_table_is_written_anew(tiny_model_file, squares, tmp_path):
    model, out = load_model(tiny_model_file), tmp_path / "p.csv"
    fractions = []
    for todo in (batch_prediction.items([], squares)[:2], batch_prediction.items([], squares)[2:4]):
        target, failed = batch_prediction.predict_table(model, todo, out, fractions.append)
        assert (target, failed) == (out, 0)
        with out.open() as file:
            assert [row["input"] for row in csv.DictReader(file)] == [item.name for item in todo]
    assert fractions == [0.5, 1.0] * 2


def test_a_refused_head_has_no_number_in_its_row(head_file, heads_refused, tmp_path):
    out = tmp_path / "out.csv"
    options = ["predict", str(head_file), "--model", "phantom", "--out", str(out)]
    result = run(app, options)
    assert result.exit_code == 1
    with out.open() as file:
        (row,) = csv.DictReader(file)
    assert row["error"] == f"{REASON} {FORCE_HINT}"
    assert {name for name, value in row.items() if value} == {
        "input", "unit", "error", "model", "model_version", "model_sha256", "input_checksum",
    }  # fmt: skip
    result = run(app, [*options, "--force"])
    assert result.exit_code == 0
    assert "Predictions of refused images are probably wrong" in result.output
    with out.open() as file:
        (row,) = csv.DictReader(file)
    assert row["error"] == ""
    assert float(row["prediction"]) > 0
    assert row["lower"] == row["upper"] == ""
    codes = row["warnings"].split("; ")
    assert codes[0] == "forced_prediction"
    assert "poor_registration" in codes
    assert row["warning_text"].startswith("Forced prediction: ")
    assert REASON in row["warning_text"]


def test_a_training_image_is_named(ixi, tmp_path):
    from expert.cli.batch_prediction import Item, predict_one
    from expert.model_file import load_model

    model = load_model("ixi-axial")
    used = {p.reference.file: p for p in model.info.prototypes if p.reference is not None}
    heads = {f"T1/{path.name}": path for path in sorted((ixi / "T1").glob("*.nii.gz"))}
    training = next(heads[file] for file in heads if file in used)
    other = next(heads[file] for file in heads if file not in used)
    row = predict_one(model, Item("a", training))
    assert "training_image" in row["warnings"].split("; ")
    assert "is the training image of one of the prototypes" in row["warning_text"]
    assert "training_image" not in predict_one(model, Item("b", other))["warnings"]
