"""Tests of `expert.datasets.disclosure`."""

from __future__ import annotations

import pytest
from helpers.bad_models import Parts, small_model
from typer.testing import CliRunner

from expert.cli.main import app
from expert.datasets.disclosure import disclosure
from expert.model_file import load_model, shipped_models


def without_images(path, **changes):
    """The model without images and references, and with other texts."""
    parts = Parts(path)
    tensors = {name: one for name, one in parts.tensors.items() if name != "prototype_images"}
    document = {**parts.document, **changes}
    document["prototypes"] = [{**one, "reference": None} for one in document["prototypes"]]
    path.write_bytes(parts.signed(tensors, document))
    return load_model(path)


def test_shipped_models_have_no_texts_that_identify_anybody():
    for name in shipped_models():
        assert disclosure(load_model(name)).findings == ()


def test_images_references_and_labels_are_listed(tmp_path):
    found = disclosure(load_model(small_model(tmp_path)))
    facts = dict(found.facts)
    assert facts["people"] == "3 subjects, data set: squares"
    assert facts["single labels"].endswith("10, 40, 80")
    assert facts["images of single people"] == "3 images of prototypes are in the file"
    assert "s0, s0.png" in facts["references"]
    assert facts["averages"] == "none"
    assert "3 arrays of 4×4×4 numbers" in facts["features of single images"]
    assert "share it only if these images may be public" in found.verdict


def test_a_model_with_nothing_but_features_says_so(tmp_path):
    found = disclosure(without_images(small_model(tmp_path)))
    assert dict(found.facts)["images of single people"] == "none"
    assert dict(found.facts)["references"].startswith("none")
    assert found.verdict.startswith("The file contains no image, name or file of a single person")
    assert not found.findings


def test_references_without_images_are_named(referring):
    found = disclosure(load_model(referring.file))
    facts = dict(found.facts)
    assert facts["averages"] == (
        "2 average images, each of at least 13 people, with their label range"
    )
    assert "names the files and subject codes of 3 training images" in found.verdict


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("made on /home/someone/data", "a path"),
        (r"made on C:\Users\someone", "a path"),
        (r"made on \\server\share\x", "a path"),
        ("see ~/heads", "a path"),
        ("ask j.doe@clinic.example", "an e-mail address"),
        ("scanned 1961-04-12", "a date"),
        ("scanned 19610412", "a date"),
        ("scanned 12.4.1961", "a date"),
        ("of Doe^Jane", "a person's name in DICOM form"),
    ],
)
def test_texts_that_may_identify_somebody_are_found(text, kind, tmp_path):
    found = disclosure(without_images(small_model(tmp_path), card=f"A model, {text}."))
    assert [(one.field, one.kind) for one in found.findings] == [("card", kind)]
    assert kind in found.verdict


@pytest.mark.parametrize(
    "text",
    ["CC BY-SA 3.0", "version 2026.8.0", "arXiv:2306.09858", "3/4 of 12/15", "p < 0.05, 1327317",
     "https://example.org/data/set", "T1/a.nii.gz", "2 × 10^3", "20 to 85 years"],
)  # fmt: skip
def test_other_texts_are_not(text, tmp_path):
    assert not disclosure(without_images(small_model(tmp_path), card=text)).findings


def test_the_command_lists_it_without_escape_codes(tmp_path):
    path = small_model(tmp_path)
    without_images(path, card="[red]by\x1b[31m Doe^Jane")
    done = CliRunner().invoke(app, ["info", str(path), "--privacy"], env={"COLUMNS": "200"})
    assert done.exit_code == 0
    assert "single labels" in done.output
    assert "card: Doe^Jane" in done.output
    assert "\x1b[31m" not in done.output
    assert "check them before you share the file" in " ".join(done.output.split())
