"""Tests of `expert.evaluation.accuracy`."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from expert.evaluation.accuracy import distinct_prototypes, evaluate, prototype_subjects
from expert.model_file import load_model


@pytest.fixture(scope="module")
def tiny(tiny_model_file):
    return load_model(tiny_model_file)


@pytest.fixture(scope="module")
def result(tiny, squares):
    return evaluate(tiny, squares, jobs=1)


def test_errors_are_those_of_the_rows(result):
    labels, predictions = (
        np.array([row[name] for row in result.rows]) for name in ("label", "prediction")
    )
    assert len(labels) == result.errors.images == 24
    assert result.errors.mae == pytest.approx(np.abs(predictions - labels).mean())
    assert not result.failed
    assert 0 <= result.unlike_training < 0.3
    assert result.explanations is None


def test_the_interval_covers_what_it_says(result, tiny):
    inside = [
        abs(row["prediction"] - row["label"]) <= tiny.info.calibration.half_width
        for row in result.rows
    ]
    assert result.interval_coverage == pytest.approx(np.mean(inside))
    assert ("90% interval covers", f"{np.mean(inside):.1%}") in result.lines()


def test_without_a_calibration_no_coverage_is_given(tiny, squares):
    info = tiny.info.model_copy(update={"calibration": None})
    found = evaluate(replace(tiny, info=info), squares, jobs=1)
    assert found.interval_coverage is None
    assert not any("interval" in name for name, _ in found.lines())


def test_prototypes_are_counted_by_subject_or_by_latent(tiny, result):
    assert distinct_prototypes(tiny) == result.distinct_prototypes == 6
    latents = tiny.tensors["weights.prototypes"].copy()
    latents[1] = latents[0]
    same = replace(tiny, tensors=tiny.tensors | {"weights.prototypes": latents})
    assert prototype_subjects(same)[0] == prototype_subjects(same)[1]
    assert distinct_prototypes(same) == 5


def test_the_result_is_saved_as_json(result, tmp_path):
    document = json.loads(result.save(tmp_path / "e.json").read_text())
    assert document["errors"]["mae"] == result.errors.mae
    assert document["rows"] == result.rows
