"""Tests of `napari_expert.panel.export`."""

from __future__ import annotations

import csv

import nibabel
import numpy as np
import pytest
from helpers.window import run_without_error, square

import expert
from expert.schema import RESEARCH_USE


def test_the_report_is_saved_with_its_explanation(panel, explanation, tmp_path):
    panel.show_explanation(explanation)
    panel.save_report(tmp_path / "r.html")
    panel.save_explanation(tmp_path / "r.json")
    assert "synthetic ageing brains" in (tmp_path / "r.html").read_text()
    assert expert.Explanation.load(tmp_path / "r.json").prediction == explanation.prediction
    panel.save_report(tmp_path / "missing" / "r.html")
    assert "could not be written" in panel.error.text()


@pytest.mark.visible
def test_8_everything_is_saved_and_a_saved_explanation_opens_again(
    viewer, shown, explanation, tmp_path
):
    shown.save_report(tmp_path / "r.html")
    shown.save_explanation(tmp_path / "e.json")
    assert RESEARCH_USE in (tmp_path / "r.html").read_text()
    shown.clear()
    shown.open_explanation(tmp_path / "e.json")
    assert shown.explanation.prediction == explanation.prediction
    # Its image is open: it is recognised, and the own space is offered.
    assert shown.answer.mode_buttons["own"].isEnabled()
    shown.clear()
    viewer.layers.clear()
    shown.open_explanation(tmp_path / "e.json")
    assert len(viewer.layers) == 3 * 4
    assert not shown.answer.mode_buttons["own"].isEnabled()
    shown.clear()
    shown.save_report()
    assert "nothing to save yet" in shown.error.text()


@pytest.mark.visible
def test_report_table_and_explanation_are_saved_but_no_volume(viewer, image_panel, qtbot, tmp_path):
    viewer.add_image(square(60), name="patient name")
    run_without_error(image_panel, qtbot)
    for save, name in ((image_panel.save_report, "r.html"), (image_panel.save_report, "r.pdf"), (image_panel.save_table, "t.csv"),  # noqa: E501
                       (image_panel.save_explanation, "e.json")):  # fmt: skip
        save(tmp_path / name)
        assert not image_panel.error.text()
        assert b"patient name" not in (tmp_path / name).read_bytes()
    html = (tmp_path / "r.html").read_text()
    assert RESEARCH_USE in html
    assert "radiological" not in html
    image_panel.save_layers(tmp_path / "m.nii.gz")
    assert "plain image" in image_panel.error.text()
    assert not (tmp_path / "m.nii.gz").exists()
    prediction = image_panel.explanation.prediction
    image_panel.clear()
    image_panel.open_explanation(tmp_path / "e.json")
    assert image_panel.explanation.prediction == prediction
    assert image_panel.answer.mode_buttons["own"].isEnabled()


@pytest.mark.visible
def test_everything_is_saved_and_the_explanation_opens_again(
    viewer, volume_shown, tmp_path, volume_explanation, head
):
    for save, name in ((volume_shown.save_report, "r.html"), (volume_shown.save_report, "r.pdf"), (volume_shown.save_table, "t.csv"),  # noqa: E501
                       (volume_shown.save_layers, "m.nii.gz"), (volume_shown.save_explanation, "e.json")):  # fmt: skip  # noqa: E501
        save(tmp_path / name)
        assert not volume_shown.error.text()
    html = (tmp_path / "r.html").read_text()
    assert RESEARCH_USE in html
    assert f"{volume_explanation.prediction:.1f}" in html
    assert (tmp_path / "r.pdf").read_bytes().startswith(b"%PDF")
    rows = [
        line for line in (tmp_path / "t.csv").read_text().splitlines() if not line.startswith("#")
    ]
    assert len(list(csv.DictReader(rows))) > 10
    assert nibabel.load(tmp_path / "m.nii.gz").shape == head.shape[::-1]  # axes R, A, S in the file
    volume_shown.clear()
    volume_shown.open_explanation(tmp_path / "e.json")
    assert volume_shown.explanation.prediction == volume_explanation.prediction
    assert volume_shown.answer.mode_buttons["own"].isEnabled()
    np.testing.assert_array_equal(
        volume_shown.explanation.prototypes[0].image, volume_explanation.prototypes[0].image
    )
