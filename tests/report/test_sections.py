"""Tests of `expert.report.sections`."""

from __future__ import annotations

from helpers.reports import both_reports, texts_of

from expert.patches import planes
from expert.report.drawings import side_by_side
from expert.schema import ImageReference


def test_a_message_about_a_missing_image_tells_no_path(explanation, tmp_path):
    match = explanation.prototypes[0].model_copy(
        update={"image": None, "image_message": "/home/jane/secret.nii is damaged."}
    )
    e = explanation.model_copy(update={"prototypes": (match, *explanation.prototypes[1:])})
    for text in both_reports(e, tmp_path):
        assert "image not available" in text
        assert "1 of 3 prototypes are shown without an image" in text
        assert "jane" not in text


def test_a_plain_image_has_neither_letters_nor_millimetres(plain, tmp_path):
    for text in both_reports(plain, tmp_path, model=None):
        assert "row 2, column" in text
        assert " mm" not in text
        assert "radiological" not in text
        assert "Plane by plane" not in text
    letters = texts_of(side_by_side(plain, planes(plain)[0], 0, [0]))
    assert not {"R", "L", "A", "P"} & set(letters)


def test_without_interval_and_with_one_prototype(explanation, tmp_path):
    e = explanation.model_copy(update={"interval": None, "prototypes": explanation.prototypes[:1]})
    for text in both_reports(e, tmp_path):
        assert "no interval: the model is not calibrated" in text
        assert "and not" not in text


def test_a_fallback_is_said_and_pulls_nothing(explanation, tmp_path):
    views = tuple(view.model_copy(update={"fallback": True}) for view in explanation.views)
    for text in both_reports(
        explanation.model_copy(update={"fallback": True, "views": views}), tmp_path
    ):
        assert "the prediction is the label of the nearest one, and no patch contributes" in text
        assert "increases" not in text
        assert text.count("no prototype within the radius: label of the nearest one") == len(views)
        assert "does not need one" not in text
    for text in both_reports(explanation.model_copy(update={"prototypes_in_radius": 0}), tmp_path):
        assert "This model does not need one there: it weights relative to the nearest." in text


def test_references_are_named_by_data_set_subject_and_checksum(explanation, tmp_path):
    reference = ImageReference(
        dataset="Public heads", subject="S-017", file="T1/folder/S-017.nii.gz", sha256="ab" * 32
    )
    match = explanation.prototypes[0].model_copy(update={"reference": reference})
    e = explanation.model_copy(update={"prototypes": (match, *explanation.prototypes[1:])})
    for text in both_reports(e, tmp_path):
        assert "Public heads" in text
        assert "S-017" in text
        assert "ab" * 32 in text
        assert "T1/folder" not in text


def test_averages_are_called_so(averaged, tmp_path):
    for text in both_reports(averaged, tmp_path, model=None):
        for match in averaged.prototypes:
            assert match.average.text in text
        assert "3 of 3 prototypes are shown as the average of at least ten" in text
        assert "image not available" not in text
