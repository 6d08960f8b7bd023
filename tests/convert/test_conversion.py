"""A published checkpoint, converted, predicts what the published formulas do; and no checkpoint
runs anything here."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch
from helpers.published import (
    LABELS,
    PLAIN,
    TOLERANCE,
    YEARS,
    Published,
    lightning,
    pictures,
    same,
    saved,
    small,
    unseen,
)
from PIL import Image
from typer.testing import CliRunner

from expert.cli.main import app
from expert.comparison import compare_views
from expert.convert import conversion
from expert.convert.conversion import (
    Checkpoint,
    ConversionWarning,
    convert_checkpoint,
    read_checkpoint,
)
from expert.convert.facts import Facts
from expert.errors import ExpertError
from expert.model_file import load_model

invoke = CliRunner().invoke


def test_the_published_architecture(tmp_path):
    images = pictures(20)
    net = Published(images, np.linspace(20, 86, 20))
    path = saved(net, tmp_path / "best.pth")
    model = load_model(convert_checkpoint(path, tmp_path / "m.safetensors", YEARS))
    assert model.info.architecture.widths == (64, 128, 256, 512)
    assert (model.info.architecture.channels, model.info.grid) == (512, (6, 5))
    assert model.info.input.positions_mm == (7.0,)
    assert model.info.calibration is None
    assert model.prototype_images is None
    found = same(model, net, unseen(images, 6))
    assert np.ptp(found) > 10
    for image in unseen(images, 2):
        result = compare_views(model, image[None], image[None])
        np.testing.assert_allclose(
            result.distances[0], net.distances(image, converged=True), atol=1e-4
        )


@pytest.mark.parametrize(
    "settings", [{}, {"channels": 3}, {"scale": 60.0}], ids=["grey", "three channels", "fallback"]
)
def test_one_channel_three_and_no_prototype_in_radius(settings, tmp_path):
    net = small(**settings)
    path = lightning(net, tmp_path / "last.ckpt")
    model = load_model(convert_checkpoint(path, tmp_path / "m.safetensors", PLAIN))
    found = same(model, net, unseen(pictures(12, (64, 96)), 6))
    assert np.ptp(found) > 5
    assert ("three channels" in model.info.card) == (settings == {"channels": 3})


@pytest.mark.parametrize(("corner", "turned"), [("AL", (0,)), ("PR", (1,)), ("AR", (0, 1))])
def test_images_that_lie_otherwise(corner, turned, net, checkpoint, tmp_path):
    facts = Facts(label_unit="years", first_pixel=corner, prototype_images="value")
    model = load_model(convert_checkpoint(checkpoint, tmp_path / "m.safetensors", facts))
    same(model, net, unseen(pictures(12, (64, 96)), 3), turned=turned)
    np.testing.assert_array_equal(
        np.flip(model.prototype_images, [1 + axis for axis in turned]), pictures(12, (64, 96))
    )


def test_a_plain_picture_through_the_command(net, converted, tmp_path):
    images = unseen(pictures(12, (64, 96)), 4)
    for n, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{n}.png")
    inputs = [str(tmp_path / f"{n}.png") for n in range(len(images))]
    out = tmp_path / "out.csv"
    result = invoke(app, ["predict", *inputs, "--model", str(converted), "--out", str(out)])
    assert result.exit_code == 0, result.output
    with out.open() as file:
        for row, image in zip(csv.DictReader(file), images, strict=True):
            assert abs(float(row["prediction"]) - net.predict(image)) < TOLERANCE
            assert row["lower"] == ""


def test_what_a_converted_model_says_and_does_not(converted, tmp_path):
    from expert.explanation import Explanation
    from expert.imaging.volume import Volume
    from expert.inference import explain
    from expert.report.report import write_report

    model = load_model(converted)
    assert model.info.name == "small-one"
    assert "sha256" in model.info.card
    assert "expert evaluate" in model.info.card
    assert model.info.training.subjects_text == "an unknown number of subjects"
    picture = Volume(unseen(pictures(12, (64, 96)), 1)[0], np.eye(4), "image")
    result = explain(model, picture, top=2)
    assert result.interval is None
    assert [match.source_label for match in result.prototypes] == [None, None]
    again = Explanation.load(result.save(tmp_path / "e.json"))
    assert np.isnan(again.source_labels).all()
    report = write_report(result, tmp_path / "r.html", model=model.info).read_text(encoding="utf-8")
    assert "unknown" in report
    shown = invoke(app, ["info", str(converted)], env={"COLUMNS": "160"})
    assert "an unknown number of subjects" in shown.output


def test_a_converted_model_is_evaluated(converted, tmp_path):
    rows = ["file,label"]
    for n, image in enumerate(pictures(12, (64, 96))):
        Image.fromarray(image).save(tmp_path / f"{n}.png")
        rows.append(f"{n}.png,{LABELS[n]}")
    table = tmp_path / "table.csv"
    table.write_text("\n".join(rows))
    out = tmp_path / "e.json"
    asked = ["evaluate", str(converted), "--data", str(table), "--out", str(out), "--jobs", "1"]
    result = invoke(app, [*asked, "--explanations", "--subjects", "1"])
    assert result.exit_code == 0, result.output
    assert "unknown" in result.output
    # The checkpoint does not tell the mean of its training labels.
    assert "mid-range predictor MAE" in result.output
    assert json.loads(out.read_text())["explanations"]["source_label_gap"] is None


def test_images_only_where_they_are_asked_for(checkpoint, converted, tmp_path):
    assert load_model(converted).prototype_images is None
    facts = Facts(label_unit="years", space="image", prototype_images="value")
    model = load_model(convert_checkpoint(checkpoint, tmp_path / "m.safetensors", facts))
    np.testing.assert_array_equal(model.prototype_images, pictures(12, (64, 96)))
    assert "images of the people" in model.info.card


def test_prototype_images_that_are_upside_down_are_noticed(checkpoint, tmp_path, monkeypatch, head):
    from expert.imaging.preprocessing import prepare
    from expert.schema import InputSettings

    recipe = InputSettings(shape=(192, 160), positions_mm=(7.0,))
    slices = np.repeat(prepare(head, recipe).images, 12, axis=0)
    assert not conversion._anterior_first(slices, recipe)
    assert conversion._anterior_first(slices[:, ::-1], recipe)
    assert not conversion._anterior_first(pictures(12), recipe)
    held = Checkpoint({"prototype_images": slices[:, ::-1, :, None]}, {}, "0" * 64)
    read = read_checkpoint(checkpoint)
    latents = {
        "prototype_vectors": np.random.default_rng(0).random((12, 16, 6, 5), dtype=np.float32)
    }
    monkeypatch.setattr(
        conversion,
        "read_checkpoint",
        lambda path: Checkpoint({**read.tensors, **held.tensors, **latents}, {}, "0" * 64),
    )
    with pytest.warns(ConversionWarning, match="first_pixel AL"):
        convert_checkpoint(checkpoint, tmp_path / "m.safetensors", YEARS)


def refused(arguments, *words):
    result = invoke(app, ["convert", *map(str, arguments)])
    assert result.exit_code == 1, result.output
    lines = [line for line in result.output.splitlines() if line]
    assert len(lines) == 1, lines
    assert lines[0].startswith("Error: ")
    for word in words:
        assert word in lines[0]


def test_the_command(checkpoint, net, tmp_path):
    out = tmp_path / "model.safetensors"
    told = [
        "--unit",
        "years",
        "--space",
        "image",
        "--name",
        "mine",
        "--dataset",
        "pictures",
        "--licence",
        "none needed",
    ]
    result = invoke(app, ["convert", str(checkpoint), "--out", str(out), *told])
    assert result.exit_code == 0, result.output
    assert "12 prototypes, 20 – 86 years" in result.output
    assert "not in this file" in result.output
    info = load_model(out).info
    assert (info.name, info.training.dataset, info.training.licence) == (
        "mine",
        "pictures",
        "none needed",
    )
    before = out.read_bytes()
    refused([checkpoint, "--out", out, "--unit", "years"], "exists already")
    assert out.read_bytes() == before
    again = invoke(
        app,
        [
            "convert",
            str(checkpoint),
            "--out",
            str(out),
            "--unit",
            "weeks",
            "--overwrite",
            "--space",
            "image",
        ],
    )
    assert again.exit_code == 0, again.output
    assert load_model(out).info.label.unit == "weeks"


def test_errors_are_one_sentence(checkpoint, tmp_path):
    out = tmp_path / "m.safetensors"
    text = tmp_path / "text.pth"
    text.write_text("no checkpoint")
    empty = tmp_path / "empty.pth"
    empty.write_bytes(b"")
    other = tmp_path / "other.pth"
    torch.save({"epoch": 3}, other)
    bare = tmp_path / "bare.pth"
    torch.save(torch.nn.Linear(3, 2).state_dict(), bare)
    refused([checkpoint, "--out", out], "--unit years")
    refused([tmp_path / "nowhere.pth", "--out", out, "--unit", "years"], "nowhere.pth")
    refused(
        [tmp_path / "nowhere.pth", "--out", text, "--unit", "years", "--overwrite"], "nowhere.pth"
    )
    refused([tmp_path, "--out", out, "--unit", "years"], "could not be read")
    refused([text, "--out", out, "--unit", "years"], "not a readable PyTorch checkpoint")
    refused([empty, "--out", out, "--unit", "years"], "not a readable PyTorch checkpoint")
    refused([other, "--out", out, "--unit", "years"], "no network's state")
    refused([bare, "--out", out, "--unit", "years"], "no checkpoint of ExPeRT")
    refused(
        [checkpoint, "--out", checkpoint, "--unit", "years", "--overwrite"], "the checkpoint itself"
    )
    refused(
        [checkpoint, "--out", out, "--unit", "years", "--images", "reference"], "prototype_images"
    )
    refused([checkpoint, "--out", out, "--unit", "years", "--spacing-mm", "-1"], "spacing_mm")
    refused(
        [checkpoint, "--out", text / "m.safetensors", "--unit", "years"], "could not be written"
    )
    assert not out.exists()


def test_a_checkpoint_in_place_of_a_model(checkpoint):
    with pytest.raises(ExpertError, match="expert convert"):
        load_model(checkpoint)
