"""Tests of `studies.corrupted_inputs`: copies are what their names say, assessments are those of
`expert.explain`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.runs import write_folds
from helpers.squares import draw_squares
from typer.testing import CliRunner

from expert.datasets.phantom import phantom_with_truth, write_cohort
from expert.errors import InputError
from expert.imaging.preprocessing import prepare
from expert.imaging.registration import Registration
from expert.imaging.volume import Volume
from expert.inference import explain
from expert.model_file import Model
from expert.novelty import (
    INDICATORS,
    image_statistics,
)
from expert.schema import RESEARCH_USE, Familiarity
from studies import corrupted_inputs
from studies.__main__ import app
from studies.corrupted_inputs import assess, run_study
from studies.corrupted_report import Assessment, markdown
from studies.corruptions import BRAIN_MASK, CORRUPTIONS, MIRRORED, OTHER, SYNTHETIC, UNCHANGED

AFFINE = np.array([[0.0, 0, 2, -88], [-2, 0, 0, 118], [0, 2, 0, -135], [0, 0, 0, 1]])
"""Array axes P, S, R, as in many a file."""


@pytest.fixture(scope="module")
def heads(tmp_path_factory) -> Path:
    """A table of three synthetic heads."""
    return write_cohort(tmp_path_factory.mktemp("somebody") / "heads", 3, 41)


@pytest.fixture(scope="module")
def calibrated(one_plane) -> Model:
    """It, with a limit of its seven signs, of which only distance, registration and grey values
    ever speak."""
    volume, truth = phantom_with_truth(50, 700)
    usual = prepare(
        volume, one_plane.info.input, registration=Registration.known(truth.template_to_subject)
    )
    cells = ((0.0,) * one_plane.info.patches,)
    wide = ((1e6,) * one_plane.info.patches,)
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


def copies(monkeypatch, volumes: list[Volume], seed: int = 0) -> dict[str, list[Volume]]:
    """What the study would ask about, without asking."""
    seen: dict[str, list[Volume]] = {}

    def remember(model, kind, volume):
        seen.setdefault(kind, []).append(volume)
        return Assessment(kind), None

    monkeypatch.setattr(corrupted_inputs, "assess", remember)
    assert [answer.kind for answer in corrupted_inputs._assessments(None, volumes, (), seed)] == [
        *seen
    ] * len(volumes)
    return seen


@pytest.fixture
def drawn() -> Volume:
    """A smooth block with its own value in every corner, in array axes P, S, R."""
    p, s, r = np.meshgrid(*[np.linspace(0, 1, n) for n in (24, 32, 20)], indexing="ij")
    wave = 100 + 60 * np.sin(9 * p) * np.cos(7 * s) * np.sin(8 * r + 1)
    return Volume((wave + 200 * s + 100 * r).astype(np.int16), AFFINE)


def test_copies_of_any_axis_order_are_what_their_names_say(monkeypatch, drawn):
    seen = {kind: one[0] for kind, one in copies(monkeypatch, [drawn]).items()}
    assert {*CORRUPTIONS, UNCHANGED, SYNTHETIC} == set(seen)
    head = drawn.canonical()
    data = head.data.astype(np.float32)  # R, A, S
    assert seen[UNCHANGED] is drawn
    for kind in CORRUPTIONS:
        np.testing.assert_array_equal(seen[kind].affine, head.affine, kind)
        assert seen[kind].space == "ras", kind
    np.testing.assert_array_equal(seen[MIRRORED].data, data[::-1])
    np.testing.assert_array_equal(seen["back to front"].data, data[:, ::-1])
    np.testing.assert_array_equal(seen["upside down"].data, data[:, :, ::-1])
    turned = [seen[kind].data.shape for kind in CORRUPTIONS if kind.startswith("turned by 90°")]
    assert turned == [(20, 32, 24), (32, 24, 20), (24, 20, 32)]
    assert not seen["upper half black"].data[:, :, 16:].any()
    np.testing.assert_array_equal(seen["upper half black"].data[:, :, :16], data[:, :, :16])
    assert not seen["lower half black"].data[:, :, :16].any()
    np.testing.assert_array_equal(seen["right half black"].data[:10], data[:10])
    assert not seen["right half black"].data[10:].any()
    np.testing.assert_array_equal(seen["right half cut away"].data, data[:10])
    assert set(np.unique(seen["its outline (threshold mask)"].data)) <= {0, 1}
    assert not seen["all zeros"].data.any()
    assert np.ptp(seen["constant"].data) == 0


def test_a_blurred_copy_lost_its_detail_and_a_noisy_one_has_the_noise_it_should(monkeypatch, drawn):
    generator = np.random.default_rng(2)
    fine = replace(drawn, data=(drawn.data + generator.normal(0, 30, drawn.shape)).astype(np.int16))
    data = fine.canonical().data.astype(np.float32)
    seen = {kind: one[0].data for kind, one in copies(monkeypatch, [fine]).items()}
    blurred = seen["blurred 4-fold"]
    assert blurred.shape == data.shape
    assert np.abs(np.diff(blurred, axis=0)).mean() < 0.5 * np.abs(np.diff(data, axis=0)).mean()
    assert np.corrcoef(blurred.ravel(), data.ravel())[0, 1] > 0.8
    added = seen["noisy"] - data
    assert added.std() == pytest.approx(0.2 * np.percentile(data, 99), rel=0.03)
    assert abs(np.corrcoef(seen["noise alone"].ravel(), data.ravel())[0, 1]) < 0.05


def test_another_seed_is_other_noise_and_other_synthetic_heads(monkeypatch, drawn):
    first, again, other = (copies(monkeypatch, [drawn, drawn], seed) for seed in (0, 0, 1))
    for kind in ("noisy", SYNTHETIC):
        np.testing.assert_array_equal(first[kind][0].data, again[kind][0].data)
        assert (first[kind][0].data != other[kind][0].data).any()
        assert (first[kind][0].data != first[kind][1].data).any()


def test_strange_heads_are_caught_and_others_left_alone(calibrated, heads, monkeypatch, tmp_path):
    kept = ("upside down", MIRRORED, "all zeros")
    monkeypatch.setattr(corrupted_inputs, "CORRUPTIONS", {kind: CORRUPTIONS[kind] for kind in kept})
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
    assert upside.unlike
    assert upside.indicator in ("nearest_distance", "registration")
    assert found.of_kind(BRAIN_MASK)[0].detected
    assert "3D head" in found.of_kind(OTHER)[0].refused
    assert "unknown kind" in found.of_kind(OTHER)[1].refused
    assert not found.of_kind(SYNTHETIC)[0].detected
    assert (found.heads, found.synthetic, found.seed, found.nominal[0]) == (1, True, 3, 40)
    assert {stage for stage, _ in told} == {"corrupted"}
    assert [f for _, f in told] == sorted(f for _, f in told)
    text = markdown(found)
    assert "| other image (--other) | 2 | 2 (100%) | 2 |  |  |" in text
    assert (
        f"| upside down | 1 | 1 (100%) | 0 | {upside.score:.1f} | {upside.indicator} (1 of 1) |"
        in text
    )
    assert not any(word in text for word in ("jane", "somebody", "phantom-41", "square"))
    assert RESEARCH_USE in text


def test_the_answer_is_that_of_explain(one_plane, head):
    upside = replace(head, data=np.ascontiguousarray(head.data[:, :, ::-1]))
    for limit in (1e-6, 1e6):
        calibration = one_plane.info.calibration.model_copy(
            update={"nearest_distance_limit": limit}
        )
        model = replace(
            one_plane, info=one_plane.info.model_copy(update={"calibration": calibration})
        )
        answer, registration = assess(model, "upside", upside)
        said = explain(model, upside, top=1, images=False)
        assert (
            answer.unlike
            == any(notice.code == "unlike_training" for notice in said.warnings)
            == (limit < 1)
        )
        assert answer.score == pytest.approx(said.nearest_distance, abs=0.01)
        assert answer.indicator == "nearest_distance"
        assert registration.quality == pytest.approx(said.registration.quality, abs=0.001)


def test_the_command_writes_its_report(one_plane, heads, tmp_path, monkeypatch):
    monkeypatch.setattr(
        corrupted_inputs, "CORRUPTIONS", {MIRRORED: CORRUPTIONS["all zeros"]}
    )  # refused at once
    run = write_folds(tmp_path / "run", [[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
    out, table = tmp_path / "strange.md", ["--data", str(heads)]
    monkeypatch.setattr("expert.model_file.load_model", lambda _: one_plane)
    said = CliRunner().invoke(
        app,
        ["corrupted", "phantom", *table, "--subjects", "1", "--run", str(run), "--out", str(out)],
    )
    assert said.exit_code == 0, said.output
    text = out.read_text()
    assert text in said.output
    assert f"| {UNCHANGED} | 1 | " in text
    assert "of 6 held-out images of 2 folds" in text
    assert "nearest prototype, years" in text  # this model is of before the seven signs


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
