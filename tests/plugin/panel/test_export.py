"""Tests of `napari_expert.panel.export`."""

from __future__ import annotations

import csv
import sys

import nibabel
import numpy as np
import pytest
from helpers.window import run_without_error, square

import expert
from expert.schema import RESEARCH_USE


def test_the_report_is_saved_with_its_explanation(panel, explanation, tmp_path):
    panel.show_explanation(explanation)
    panel.save("report", tmp_path / "r.html")
    panel.save("explanation", tmp_path / "r.json")
    assert "synthetic ageing brains" in (tmp_path / "r.html").read_text()
    assert expert.Explanation.load(tmp_path / "r.json").prediction == explanation.prediction
    panel.save("report", tmp_path / "missing" / "r.html")
    assert "could not be written" in panel.runs.error.text()


@pytest.mark.visible
def test_8_everything_is_saved_and_a_saved_explanation_opens_again(
    viewer, shown, explanation, tmp_path
):
    shown.save("report", tmp_path / "r.html")
    shown.save("explanation", tmp_path / "e.json")
    assert RESEARCH_USE in (tmp_path / "r.html").read_text()
    shown.clear()
    shown.open_explanation(tmp_path / "e.json")
    assert shown.explanation.prediction == explanation.prediction
    # Its image is open: it is recognised, and native space is offered.
    assert shown.result.mode_buttons["native"].isEnabled()
    shown.clear()
    viewer.layers.clear()
    shown.open_explanation(tmp_path / "e.json")
    assert len(viewer.layers) == 3 * 4
    assert not shown.result.mode_buttons["native"].isEnabled()
    shown.clear()
    shown.save("report")
    assert "nothing to save yet" in shown.runs.error.text()


@pytest.mark.visible
def test_report_table_and_explanation_are_saved_but_no_volume(viewer, image_panel, qtbot, tmp_path):
    viewer.add_image(square(60), name="patient name")
    run_without_error(image_panel, qtbot)
    for kind, name in (
        ("report", "r.html"),
        ("report", "r.pdf"),
        ("table", "t.csv"),
        ("explanation", "e.json"),
    ):
        image_panel.save(kind, tmp_path / name)
        assert not image_panel.runs.error.text()
        assert b"patient name" not in (tmp_path / name).read_bytes()
    html = (tmp_path / "r.html").read_text()
    assert RESEARCH_USE in html
    assert "radiological" not in html
    image_panel.save("layers", tmp_path / "m.nii.gz")
    assert "plain image" in image_panel.runs.error.text()
    assert not (tmp_path / "m.nii.gz").exists()
    prediction = image_panel.explanation.prediction
    image_panel.clear()
    image_panel.open_explanation(tmp_path / "e.json")
    assert image_panel.explanation.prediction == prediction
    assert image_panel.result.mode_buttons["native"].isEnabled()


@pytest.mark.visible
def test_everything_is_saved_and_the_explanation_opens_again(
    viewer, volume_shown, tmp_path, volume_explanation, head
):
    for kind, name in (
        ("report", "r.html"),
        ("report", "r.pdf"),
        ("table", "t.csv"),
        ("layers", "m.nii.gz"),
        ("explanation", "e.json"),
    ):
        volume_shown.save(kind, tmp_path / name)
        assert not volume_shown.runs.error.text()
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
    assert volume_shown.result.mode_buttons["native"].isEnabled()
    np.testing.assert_array_equal(
        volume_shown.explanation.prototypes[0].image, volume_explanation.prototypes[0].image
    )


def test_averages_are_exported(viewer, dock, head, referring, averaged, tmp_path):
    panel = dock(viewer, head, referring.file)
    panel.show_explanation(averaged)
    for kind, name in (
        ("layers", "map.nii.gz"),
        ("report", "r.html"),
        ("explanation", "e.json"),
        ("table", "t.csv"),
    ):
        panel.save(kind, tmp_path / name)
        assert not panel.runs.error.text()
    assert np.abs(nibabel.load(tmp_path / "map.nii.gz").get_fdata()).max() > 0
    text = averaged.prototypes[0].average.text
    assert text in (tmp_path / "r.html").read_text(encoding="utf-8")
    assert text in (tmp_path / "t.csv").read_text(encoding="utf-8")
    panel.compare("saved", tmp_path / "e.json")
    assert panel.session.board.subjects == 2
    assert not panel.runs.error.text()


@pytest.mark.skipif(sys.platform == "win32", reason="a limit of POSIX stands for a full disk")
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("report", "r.html"),
        ("report", "r.pdf"),
        ("explanation", "e.json"),
        ("table", "t.csv"),
        ("layers", "m.nii.gz"),
        ("layers", "m.nii"),
    ],
)
def test_a_full_disk_is_one_sentence_and_the_former_file_stays(shown, tmp_path, kind, name):
    import resource
    import signal

    path = tmp_path / name
    shown.save(kind, path)
    former = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    before = shown.explanation
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
    try:
        shown.save(kind, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    text = shown.runs.error.text()
    assert str(path) in text
    assert "File too large" in text
    assert "Error" not in text
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == former
    assert shown.explanation is before
    shown.save(kind, path)
    assert not shown.runs.error.text()


@pytest.mark.parametrize("kind", ["report", "explanation", "table", "layers"])
@pytest.mark.parametrize("where", ["folder", "gone", "file"])
def test_a_place_that_cannot_be_written_is_one_sentence(shown, tmp_path, kind, where):
    endings = {"report": ".pdf", "explanation": ".json", "table": ".csv", "layers": ".nii.gz"}
    path = tmp_path / where / f"x{endings[kind]}"
    if where == "folder":  # a folder has the name
        path.mkdir(parents=True)
        (path / "inside").touch()
    elif where == "file":  # the folder is a file
        path.parent.touch()
    shown.save(kind, path)
    text = shown.runs.error.text()
    assert str(path) in text
    assert text.endswith(".")
    assert "Errno" not in text
    left = {file.name for file in tmp_path.rglob("*")}
    assert left <= {where, path.name, "inside"}


@pytest.mark.parametrize(
    ("kind", "name"), [("report", "r.html"), ("explanation", "e.json"), ("table", "t.csv")]
)
def test_a_result_that_is_removed_while_the_dialog_is_open_is_saved(
    shown, tmp_path, monkeypatch, kind, name
):
    from qtpy.QtWidgets import QFileDialog

    def choose(*_):
        shown.clear()
        return str(tmp_path / name), ""

    monkeypatch.setattr(QFileDialog, "getSaveFileName", choose)
    shown.save(kind)
    assert not shown.runs.error.text()
    assert (tmp_path / name).stat().st_size > 1000
