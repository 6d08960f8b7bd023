"""Tests of `expert.cohort.rows`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from helpers.refusals import REASON

from expert.cohort.inputs import Item
from expert.cohort.rows import (
    COLUMNS,
    FORCE_HINT,
    Options,
    check_options,
    model_columns,
    predict_row,
)
from expert.errors import Cancelled, InputError
from expert.explanation import Explanation
from expert.model_file import load_model


def test_a_row_says_what_was_predicted_and_by_which_model(one_plane, head, head_file):
    row = predict_row(one_plane, Item("h", head_file, label=72.0), Options())
    assert tuple(row) == COLUMNS
    assert row["error"] == ""
    assert row["label"] == "72"
    assert model_columns(one_plane) == {
        "unit": "years", "model": "phantom", "model_version": "1",
        "model_sha256": one_plane.sha256,
    }  # fmt: skip
    assert row["model_sha256"] == one_plane.sha256
    assert row["input_checksum"] == head.fingerprint()
    labels = [p.label for p in one_plane.info.prototypes]
    assert float(row["nearest_label"]) == pytest.approx(labels[row["nearest_prototype"]], abs=1e-4)
    assert row["explanation"] == ""


def test_the_explanation_is_beside_the_table_and_without_a_name(one_plane, head_file, tmp_path):
    options = Options(explanations=tmp_path / "all" / "ex", beside=tmp_path)
    row = predict_row(one_plane, Item("h", head_file), options)
    assert row["explanation"] == f"all/ex/{row['input_checksum'][:16]}/report.html"
    report = tmp_path / row["explanation"]
    assert head_file.name not in report.read_text(encoding="utf-8")
    saved = Explanation.load(report.parent / "explanation.json")
    assert f"{saved.prediction:.4f}" == row["prediction"]
    assert len(saved.prototypes) == 5
    assert all(match.image is not None for match in saved.prototypes)
    row = predict_row(one_plane, Item("h", head_file), replace(options, show_names=True))
    assert head_file.name in report.read_text(encoding="utf-8")
    blocked = replace(options, explanations=head_file)
    assert "could not be made" in predict_row(one_plane, Item("h", head_file), blocked)["error"]


def test_warnings_do_not_depend_on_the_images_of_prototypes(
    referring, empty_cache, head_file, tmp_path
):
    model = load_model(referring.file)
    options = Options(explanations=tmp_path, beside=tmp_path)
    plain = predict_row(model, Item("h", head_file), Options())
    explained = predict_row(model, Item("h", head_file), options)
    assert explained.pop("explanation")
    assert plain.pop("explanation") == ""
    assert explained == plain
    assert "prototype_image_missing" not in explained["warnings"]


def test_what_cannot_be_predicted_is_one_sentence(one_plane, tmp_path):
    bad = tmp_path / "bad.nii.gz"
    bad.write_text("no image")
    for item, message in [
        (Item("bad", bad), "does not match its extension"),
        (Item("gone", tmp_path / "gone.nii"), "does not exist"),
        (Item("*.x", Path("*.x"), problem="No file matches *.x."), "No file matches *.x."),
    ]:
        row = predict_row(one_plane, item, Options())
        assert message in row["error"]
        assert row["prediction"] == row["input_checksum"] == ""
        assert (row["input"], row["model"]) == (item.name, "phantom")


def test_a_refused_head_is_read_but_not_predicted(one_plane, head_file, heads_refused):
    row = predict_row(one_plane, Item("h", head_file), Options())
    assert row["error"] == f"{REASON} {FORCE_HINT}"
    assert row["prediction"] == ""
    assert len(row["input_checksum"]) == 64
    row = predict_row(one_plane, Item("h", head_file), Options(force=True))
    assert row["error"] == ""
    assert "forced_prediction" in row["warnings"]


def test_a_cancelled_image_has_no_row(one_plane, head_file):
    def cancel(stage: str, fraction: float) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        predict_row(one_plane, Item("h", head_file), Options(), cancel)


def test_a_correction_that_the_model_does_not_have_is_refused(model):
    calibration = model.info.calibration.model_copy(update={"bias": None})
    info = model.info.model_copy(update={"calibration": calibration})
    with pytest.raises(InputError, match="no bias correction"):
        check_options(replace(model, info=info), Options(corrected=True))
    assert Options(corrected=True).columns[:3] == ("input", "prediction", "bias_corrected")
