"""Tests of `studies.corrupted.inputs`: copies are what their names say, assessments are those of
`expert.explain`."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from helpers.squares import draw_squares
from typer.testing import CliRunner

from expert.datasets.phantom import phantom_with_truth
from expert.errors import InputError
from expert.imaging.preprocessing import prepare
from expert.imaging.registration import Registration
from expert.inference import explain
from expert.model_file import Model
from expert.novelty import (
    INDICATORS,
    image_statistics,
)
from expert.schema import RESEARCH_USE, Familiarity
from studies.__main__ import app
from studies.corrupted import inputs
from studies.corrupted.corruptions import (
    BRAIN_MASK,
    CORRUPTIONS,
    MIRRORED,
    OTHER,
    SYNTHETIC,
    UNCHANGED,
)
from studies.corrupted.inputs import assess, run_study
from studies.corrupted.report import markdown

"""Array axes P, S, R, as in many a file."""


@pytest.fixture(scope="module")
def calibrated(one_plane) -> Model:
    """It, with a limit of its seven signs, of which only distance, registration and grey values
    ever speak."""
    volume, truth = phantom_with_truth(50, 700)
    usual = prepare(
        volume, one_plane.info.input, registration=Registration.known(truth.template_to_subject)
    )
    patches = math.prod(one_plane.info.grid)
    cells = ((0.0,) * patches,)
    wide = ((1e6,) * patches,)
    statistics = image_statistics(usual.images, usual.content, one_plane.info.grid)
    familiarity = Familiarity(
        histogram=tuple(statistics.histogram.tolist()),
        brightness=cells,
        brightness_spread=wide,
        detail=cells,
        detail_spread=wide,
        center=dict.fromkeys(INDICATORS, 0.0),
        limit=1.5,
        images=40,
        spread=dict.fromkeys(INDICATORS, 1e6)
        | {"registration": 0.5, "nearest_distance": 20.0, "histogram": 0.1},
    )
    calibration = one_plane.info.calibration.model_copy(update={"familiarity": familiarity})
    return replace(one_plane, info=one_plane.info.model_copy(update={"calibration": calibration}))


@pytest.mark.slow
def test_strange_heads_are_caught_and_others_left_alone(calibrated, heads, monkeypatch, tmp_path):
    kept = ("upside down", MIRRORED, "all zeros")
    monkeypatch.setattr(inputs, "CORRUPTIONS", {kind: CORRUPTIONS[kind] for kind in kept})
    picture = tmp_path / "jane.png"
    draw_squares(tmp_path, 2, 1).with_name("square-00.png").rename(picture)
    told = []
    found = run_study(
        calibrated,
        heads,
        subjects=1,
        other=[picture, heads],
        seed=3,
        progress=lambda stage, f: told.append((stage, f)),
    )
    assert [answer.kind for answer in found.assessments] == [
        UNCHANGED,
        *kept,
        BRAIN_MASK,
        SYNTHETIC,
        OTHER,
        OTHER,
    ]
    (plain,), (zeros,), (upside,) = (
        found.of_kind(UNCHANGED),
        found.of_kind("all zeros"),
        found.of_kind("upside down"),
    )
    assert not plain.detected
    assert plain.score <= found.limit == 1.5
    assert "empty" in zeros.refused
    assert zeros.score is None
    assert "registration failed" in upside.refused
    assert found.of_kind(BRAIN_MASK)[0].detected
    assert "3D head" in found.of_kind(OTHER)[0].refused
    assert "unknown format" in found.of_kind(OTHER)[1].refused
    assert not found.of_kind(SYNTHETIC)[0].detected
    assert (found.heads, found.synthetic, found.seed, found.nominal[0]) == (1, True, 3, 40)
    assert {stage for stage, _ in told} == {"corrupted"}
    assert [f for _, f in told] == sorted(f for _, f in told)
    text = markdown(found)
    assert "| other image (--other) | 2 | 2 (100%) | 2 |  |  |" in text
    assert "| upside down | 1 | 1 (100%) | 1 |  |  |" in text
    assert not any(word in text for word in ("jane", "somebody", "phantom-41", "square"))
    assert RESEARCH_USE in text


@pytest.mark.slow
def test_the_answer_is_that_of_explain(one_plane, head):
    for limit in (1e-6, 1e6):
        calibration = one_plane.info.calibration.model_copy(
            update={"nearest_distance_limit": limit}
        )
        model = replace(
            one_plane, info=one_plane.info.model_copy(update={"calibration": calibration})
        )
        answer, registration = assess(model, "head", head)
        said = explain(model, head, top=1, images=False)
        assert (
            answer.unlike
            == any(notice.code == "unlike_training" for notice in said.warnings)
            == (limit < 1)
        )
        assert answer.score == pytest.approx(said.nearest_distance, abs=0.01)
        assert answer.indicator == "nearest_distance"
        assert registration.quality == pytest.approx(said.registration.quality, abs=0.001)


def test_what_cannot_be_studied_is_refused_in_a_sentence(
    tiny_model_file, one_plane, heads, squares, tmp_path
):
    def said(*arguments: object) -> str:
        result = CliRunner().invoke(
            app, ["corrupted", *map(str, arguments), "--out", str(tmp_path / "s.md")]
        )
        assert result.exit_code == 1
        assert result.output.startswith("Error: ")
        assert result.output.count("\n") == 1
        return result.output

    assert "plain 2D images" in said(tiny_model_file, "--data", squares)
    assert "There is no file" in said(
        "phantom", "--data", heads, "--other", tmp_path / "missing.png"
    )
    assert "could not be read" in said("phantom", "--data", tmp_path / "missing.csv")
    assert "finished folds" in said("phantom", "--data", heads, "--run", tmp_path / "missing")
    assert "3D head" in said("phantom", "--data", squares)
    assert not (tmp_path / "s.md").exists()
    with pytest.raises(InputError, match="never calibrated"):
        run_study(
            replace(one_plane, info=one_plane.info.model_copy(update={"calibration": None})), heads
        )
