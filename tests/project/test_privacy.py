"""Names, identifiers, dates and paths reach no model, report or log unless they are asked for."""

from __future__ import annotations

import json
import logging
import shutil

import numpy as np
import pypdf
import pytest
from helpers.bad_models import small_model
from helpers.dicom_files import CAPTURE, dataset
from typer.testing import CliRunner

from expert.cli.main import app
from expert.model_file import load_model

MARK = "QZMARKER"
"""In every name and identifier that must not leave this computer."""
DATE = "19610412"
run = CliRunner().invoke


def leaks(folder):
    """Files that contain the mark or the date, in their bytes or in the text of a PDF."""
    found = []
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        content = path.read_bytes()
        if path.suffix == ".pdf":
            reader = pypdf.PdfReader(path)
            content += " ".join(page.extract_text() for page in reader.pages).encode()
            content += repr(reader.metadata).encode()
        if MARK.encode() in content.upper() or DATE.encode() in content:
            found.append(path.name)
    return found


@pytest.fixture(scope="module")
def marked_table(squares, tmp_path_factory):
    """The squares with marks in the names of folder, files, subjects and sites."""
    folder = tmp_path_factory.mktemp("x") / f"{MARK}-folder"
    folder.mkdir()
    rows = ["file,label,pixel_size_mm,subject,comment"]
    for number, line in enumerate(squares.read_text().splitlines()[1:]):
        file, label, size = line.split(",")
        shutil.copy(squares.parent / file, folder / f"{MARK}-{number}.png")
        rows.append(f"{MARK}-{number}.png,{label},{size},{MARK}^subject-{number},{MARK} {DATE}")
    table = folder / f"{MARK}.csv"
    table.write_text("\n".join(rows) + "\n")
    return table


def test_no_name_of_the_training_data_is_in_the_model(marked_table, tiny_recipe, tmp_path, caplog):
    target = tmp_path / "model" / "m.safetensors"
    with caplog.at_level(logging.INFO):
        done = run(
            app,
            ["train", str(tiny_recipe), "--data", str(marked_table), "--out", str(target),
             "--folds", "2", "--jobs", "1", "--prepared", str(tmp_path / "arrays"),
             "--run", str(tmp_path / "run"), "--plain"],
        )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert load_model(target).prototype_images is not None
    assert leaks(target.parent) == []
    assert MARK not in done.output + done.stderr
    mine = [one for one in caplog.records if one.name.split(".")[0] in ("expert", "napari_expert")]
    assert not [one for one in mine if MARK in one.getMessage()]


def test_no_name_of_the_patient_is_in_what_explain_writes(tmp_path, caplog):
    model = small_model(tmp_path)
    folder = tmp_path / f"{MARK}-patient"
    folder.mkdir()
    pixels = np.random.default_rng(3).integers(20, 220, (32, 32)).astype(np.uint8)
    file = dataset(
        pixels, 1, CAPTURE, Modality="US", PixelSpacing=[1.0, 1.0],
        PatientName=f"{MARK}^Jane", PatientID=f"{MARK}-4711", PatientBirthDate=DATE,
        StudyDate=DATE, SeriesDate=DATE, AcquisitionDate=DATE, ContentDate=DATE,
        InstitutionName=MARK, ReferringPhysicianName=MARK, StudyDescription=MARK,
        SeriesDescription=MARK, OperatorsName=MARK, StationName=MARK, AccessionNumber=MARK,
    )  # fmt: skip
    image = folder / f"{MARK}.dcm"
    file.save_as(image, enforce_file_format=True)
    out = tmp_path / "out"
    with caplog.at_level(logging.INFO):
        done = run(
            app,
            ["explain", str(image), "--out", str(out), "--model", str(model), "--pdf", "--csv"],
        )
    assert done.exit_code == 0, done.output
    written = {path.name for path in out.iterdir()}
    assert written == {"explanation.json", "report.html", "report.pdf", "matches.csv"}
    assert leaks(out) == []
    assert MARK not in done.output + done.stderr
    assert not [one for one in caplog.records if MARK in one.getMessage()]
    document = json.loads((out / "explanation.json").read_text())
    assert document["input_sha256"]
    named = tmp_path / "named"
    command = ["explain", str(image), "--out", str(named), "--model", str(model), "--show-name"]
    assert run(app, command).exit_code == 0
    assert leaks(named) == ["report.html"]


def test_a_refused_image_is_named_only_where_it_was_given(tmp_path):
    image = tmp_path / f"{MARK}.png"
    image.write_bytes(b"no image")
    out = tmp_path / "out"
    done = run(
        app, ["explain", str(image), "--out", str(out), "--model", str(small_model(tmp_path))]
    )
    assert done.exit_code == 1
    assert MARK in done.stderr
    assert not out.exists()
