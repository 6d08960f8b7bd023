"""Tests of `expert.schema`: documents are checked, frozen, and the same after a round trip."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from expert.model_file import load_model, shipped_models
from expert.schema import Architecture, InputRecipe, InputSettings, Label, ModelInfo


def test_unknown_fields_and_infinite_numbers_are_refused():
    with pytest.raises(ValidationError, match="colour"):
        Architecture(colour=1)
    with pytest.raises(ValidationError, match="finite"):
        Label(minimum=0, maximum=float("inf"))


def test_documents_are_frozen():
    label = Label(minimum=0, maximum=1)
    with pytest.raises(ValidationError, match="frozen"):
        label.minimum = 5


def test_newer_fields_are_only_written_where_they_are_used():
    plain = Architecture().model_dump()
    assert not {"guide", "members", "planes", "backbone", "mirrored"} & set(plain)
    used = Architecture(members=3, mirrored=(0,)).model_dump()
    assert used["members"] == 3
    assert Architecture.model_validate(used).mirrored == (0,)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shape": (4, 4)}, "at least 8"),
        ({"shape": (32, 32, 32)}, "one entry per axis"),
        ({"space": "image", "shape": (16, 16, 16)}, "plain images are 2D"),
        ({"intensity": "full"}, "plain images"),
        ({"space": "image", "intensity": "white matter"}, "heads"),
        ({"sized": True}, "plain images"),
        ({"space": "ellipse", "shape": (16, 16, 16)}, "plain images are 2D"),
        ({"space": "ellipse", "intensity": "tissue"}, "heads"),
        ({"refined": True}, "for intensity tissue"),
        ({"blur_mm": 1.4, "intensity": "white matter"}, "for intensity tissue"),
        ({"intensity": "tissue", "sharpness": 2.0}, "needs blur_mm"),
    ],
)
def test_input_settings_that_contradict_each_other_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        InputSettings(**settings)


def test_the_former_name_of_input_settings_still_works():
    assert InputRecipe is InputSettings


@pytest.mark.parametrize(
    ("settings", "stride"),
    [
        ({}, 32),
        ({"widths": (8,)}, 4),
        ({"widths": (8, 8), "pool": 2}, 16),
        ({"shrink": 2}, 64),
        ({"backbone": "histogram", "pool": 8}, 8),
    ],
)
def test_stride_and_grid(settings, stride):
    architecture = Architecture(**settings)
    assert architecture.stride == stride
    assert architecture.grid((2 * stride, 3 * stride)) == (2, 3)
    assert architecture.problem(InputSettings(shape=(2 * stride, 3 * stride))) == ""
    if stride > 4:
        wrong = InputSettings(shape=(2 * stride + 1, 3 * stride))
        assert "multiple of the stride" in architecture.problem(wrong)


def test_an_architecture_that_does_not_fit_the_input_is_named():
    solid = InputSettings(shape=(32, 32, 32), center_mm=(0, 0, 0))
    assert "number of axes" in Architecture().problem(solid)
    framed = InputSettings(space="ellipse", shape=(96, 96))
    assert "go together" in Architecture().problem(framed)
    assert Architecture(ellipse=True).problem(framed) == ""
    assert "3 planes" in Architecture(planes=3).problem(InputSettings())


def test_a_model_must_describe_every_prototype():
    document = json.loads(load_model("phantom").info.model_dump_json())
    document["prototypes"] = document["prototypes"][1:]
    with pytest.raises(ValidationError, match="prototypes are described"):
        ModelInfo.model_validate(document)


def test_the_documents_of_shipped_models_are_the_same_after_a_round_trip():
    for name in shipped_models():
        info = load_model(name).info
        assert ModelInfo.model_validate_json(info.model_dump_json()) == info
