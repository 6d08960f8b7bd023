"""Tests of `expert.cohort.page`."""

from __future__ import annotations

import pytest
from helpers.reports import Page

from expert.cohort.page import MOST_LISTED, check_page, write_page
from expert.cohort.prediction import Outcome
from expert.cohort.rows import COLUMNS, model_columns
from expert.errors import InputError
from expert.schema import RESEARCH_USE


def row(model, n: int, **values: object) -> dict[str, str]:
    known = {
        "input": f"/data/jane_doe_{n}.nii",
        "prediction": f"{30 + n}.0000",
        "label": str(29 + n),
        "lower": str(20 + n),
        "upper": str(40 + n),
        "nearest_prototype": str(n % 2),
        "nearest_label": f"{20 + n % 2}.0000",
        **model_columns(model),
    }
    return dict.fromkeys(COLUMNS, "") | known | values


def failed(model, n: int, error: str) -> dict[str, str]:
    nothing = dict.fromkeys(("prediction", "nearest_prototype", "nearest_label"), "")
    return row(model, n, error=error, **nothing)


@pytest.fixture
def page(model, tmp_path):
    def write(rows, **options) -> Page:
        outcome = Outcome(tmp_path / "tables" / "o.csv", rows, 0, 0)
        path = write_page(outcome, tmp_path / "p.html", model.info, **options)
        return Page(path.read_text(encoding="utf-8"))

    return write


def test_the_page_says_how_good_the_predictions_are(page, model):
    rows = [row(model, n) for n in range(6)]
    found = page(rows)
    assert found.text.count(RESEARCH_USE) == 3
    assert "6 of 6 images predicted 0 flagged, 0 not predicted" in found.text
    assert "mean absolute error 1.00 years (95 %: 1.00 – 1.00)" in found.text
    assert "mean error +1.00 years" in found.text
    assert "90% interval covers 100.0% of 6 labels" in found.text
    assert "r 1.000" in found.text
    assert "2 of 40 prototypes are the nearest of some image" in found.text
    assert "0 20.0 years 3 50.0%" in found.text
    assert model.sha256 in found.text
    assert found.tags.count("svg") == 2
    assert not found.links


def test_intervals_are_over_subjects(page, model):
    rows = [row(model, n, prediction=str(30 + n + n % 3)) for n in range(9)]
    alone = page(rows).text
    together = page(rows, subjects={r["input"]: r["label"][:1] for r in rows}).text
    assert alone != together


def test_without_labels_there_is_no_comparison(page, model):
    text = page([row(model, n, label="") for n in range(3)]).text
    assert "Predicted and true" not in text
    assert "median 31.0 years" in text
    text = page([failed(model, 0, "It is damaged.")]).text
    assert "0 of 1 images predicted" in text
    assert "It is damaged." in text


def test_names_are_only_there_on_request_and_nothing_is_markup(page, model):
    rows = [
        row(model, 0, warnings="poor_registration", warning_text="Warning: poor <registration>."),
        row(model, 1, warnings="range_limit", warning_text="Note: near the end."),
        failed(model, 2, "The file /data/jane_doe_2.nii does not exist: check the path."),
        failed(model, 3, "jane_doe_3.nii is empty (/tmp/x y)."),
    ]
    rows[0]["input"] = "<script>alert(1)</script>.nii"
    found = page(rows)
    assert "2 of 4 images predicted 1 flagged, 2 not predicted" in found.text
    assert "1 30.0 29.0 Warning: poor <registration>." in found.text
    assert "3 – 31.0 The file the input does not exist: check the path." in found.text
    assert not [word for word in ("jane", "/data", "/tmp", "script>") if word in found.text]
    found = page(rows, show_names=True)
    assert "1 · <script>alert(1)</script>.nii" in found.text
    assert "3 · /data/jane_doe_2.nii" in found.text
    assert "script" not in found.tags


def test_training_and_forced_images_are_said_first(page, model):
    rows = [
        row(model, 0, warnings="training_image", warning_text="Warning: seen."),
        row(model, 1, warnings="forced_prediction; x", warning_text="Forced prediction: refused."),
    ]
    text = page(rows).text
    assert "1 of the images were used for the training" in text
    assert "1 of the images were refused and predicted all the same" in text
    assert "2 flagged" in text


def test_reports_are_linked_from_where_the_page_is(page, model, tmp_path):
    report = tmp_path / "tables" / "ex plain" / "ab" / "report.html"
    report.parent.mkdir(parents=True)
    report.write_text("")
    found = page([row(model, 0, explanation="ex plain/ab/report.html"), row(model, 1)])
    assert found.links == ["tables/ex%20plain/ab/report.html"]


def test_long_lists_end(page, model):
    rows = [failed(model, n, "Damaged.") for n in range(MOST_LISTED + 7)]
    text = page(rows).text
    assert text.count("Damaged.") == MOST_LISTED
    assert "7 more are in the table." in text


def test_where_a_page_cannot_be_written_is_said_at_once(tmp_path):
    with pytest.raises(InputError, match=r"must end in \.html"):
        check_page(tmp_path / "p.pdf")
    with pytest.raises(InputError, match="folder does not exist"):
        check_page(tmp_path / "no" / "p.html")
    check_page(tmp_path / "p.html")
