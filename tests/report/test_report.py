"""Reports and tables say what they must, need nothing else, and tell nothing of the file they come
from."""

from __future__ import annotations

import datetime

import pytest
from helpers.reports import Page, both_reports

import expert
from expert.attribution import for_prediction
from expert.errors import InputError
from expert.evidence.patch_evidence import Evidence
from expert.evidence.wording import summary
from expert.explanation import Notice
from expert.patches import chosen_patches, middle_plane, pairs, planes
from expert.report.csv_export import write_csv
from expert.report.drawings import strongest
from expert.report.report import compose
from expert.report.sections import SURROUNDINGS
from expert.schema import RESEARCH_USE


def test_both_reports_say_what_they_must(explanation, model, tmp_path):
    e = explanation
    plane = planes(e)[middle_plane(e)]
    pair = pairs(e, plane.view, 0, chosen_patches(e, plane, "contribution"))[0]
    first, second = e.prototypes[:2]
    strong = strongest(e, for_prediction(e, plane.view), 1)[0]
    for text in both_reports(e, tmp_path, model=model.info):
        assert f"{e.prediction:.1f} years" in text
        assert f"{e.interval.lower:.1f} – {e.interval.upper:.1f}" in text
        assert f"weight {100 * first.share:.0f} %" in text
        assert f"{100 * pair.share:.0f} %" in text
        assert f"{pair.contribution:.2f}" in text
        assert f"Why {first.label:.1f} and not {second.label:.1f}?" in text
        assert f"{for_prediction(e, plane.view)[strong]:+.2f}" in text
        assert all(view.name in text for view in e.views)
        assert SURROUNDINGS[False] in text
        assert summary(Evidence.of(e)) in text
        assert "is matched to its best match, and a patch is spread over" in text
        assert "radiological: the patient's right is on the left" in text
        assert f"{e.radius:g} years" in text
        assert "0.1 (entropic optimal transport)" in text
        assert "6×5 = 30" in text
        assert e.model_sha256 in text
        assert all(f"{name} {version}" in text for name, version in e.versions.items())
        assert datetime.date.today().isoformat() in text
        assert " ".join(model.info.card.split()) in text


@pytest.mark.parametrize(("backbone", "confined"), [("histogram", True), ("residual", False)])
def test_a_report_says_what_a_patch_depends_on(explanation, model, backbone, confined, tmp_path):
    architecture = model.info.architecture.model_copy(update={"backbone": backbone})
    info = model.info.model_copy(update={"architecture": architecture})
    unknown = explanation.model_copy(update={"confined": None})
    known = explanation.model_copy(update={"confined": confined})
    for e, given in ((unknown, info), (known, None)):
        text = str(compose(e, model=given))
        assert SURROUNDINGS[confined] in text
        assert SURROUNDINGS[not confined] not in text
    assert SURROUNDINGS[None] in str(compose(unknown))


def test_a_forced_prediction_is_said_first(forced, model, tmp_path):
    for text in both_reports(forced, tmp_path, model=model.info):
        said = " ".join(forced.forced_text.split())
        assert said.startswith("Forced prediction: ")
        assert forced.forced in said
        assert text.count(said) == 1
        assert text.index(said) < text.index(RESEARCH_USE)
        assert text.index(said) < text.index("Explained prediction · model")  # the first line
        assert "no interval: the image was refused" in text


def test_severity_and_the_end_of_the_range_are_in_words(explanation, tmp_path):
    notices = tuple(
        Notice(code=severity, message=f"It is {severity}.", severity=severity)
        for severity in ("warning", "note")
    )
    e = explanation.model_copy(update={"warnings": notices, "range_end": "high"})
    for text in both_reports(e, tmp_path):
        assert "Warning: It is warning." in text
        assert "Note: It is note." in text
        assert "Forced" not in text
        assert f"{e.prediction:.1f} years or more" in text
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert '<p class="warning">Warning: It is warning.</p>' in page
    assert '<p class="warning remark">Note: It is note.</p>' in page


def test_the_page_needs_nothing_else(explanation, model, tmp_path):
    text = expert.write_report(explanation, tmp_path / "r.html", model=model.info).read_text(
        encoding="utf-8"
    )
    page = Page(text)
    assert page.links
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert "url(" not in text
    assert page.text.count(RESEARCH_USE) >= 2
    assert "size: A4" in text


def test_the_ending_decides(explanation, tmp_path):
    assert expert.write_report(explanation, tmp_path / "r.PDF").read_bytes().startswith(b"%PDF")
    assert (
        expert.write_report(explanation, tmp_path / "r.htm")
        .read_text(encoding="utf-8")
        .startswith("<!DOCTYPE html>")
    )
    with pytest.raises(InputError, match=r"\.html or \.pdf"):
        expert.write_report(explanation, tmp_path / "r.docx")
    assert {path.name for path in tmp_path.iterdir()} == {"r.PDF", "r.htm"}


def test_a_report_without_a_place_is_one_sentence(explanation, tmp_path):
    for write, name in (
        (expert.write_report, "r.html"),
        (expert.write_report, "r.pdf"),
        (write_csv, "t.csv"),
    ):
        with pytest.raises(InputError, match="could not be written"):
            write(explanation, tmp_path / "missing" / name)


def test_nothing_of_the_file_is_in_the_outcome(model, head, tmp_path):
    """A name in the path must not travel into JSON, report or table."""
    folder = tmp_path / "Doe_Jane_19700101"
    folder.mkdir()
    path = expert.write_volume(head, folder / "Doe.nii.gz")
    result = expert.explain(model, expert.read_volume(path), top=1)
    texts = [result.model_dump_json(), *both_reports(result, tmp_path, model=model.info)]
    texts += [
        (tmp_path / "r.html").read_text(encoding="utf-8"),
        write_csv(result, tmp_path / "t.csv").read_text(encoding="utf-8"),
    ]
    for text in texts:
        assert "Doe_Jane" not in text
        assert "Doe.nii" not in text
        assert str(tmp_path) not in text


def test_the_page_escapes_what_it_is_told(explanation, tmp_path):
    page = expert.write_report(
        explanation, tmp_path / "r.html", source="<script>alert(1)</script>"
    ).read_text()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
