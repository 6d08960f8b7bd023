"""Tests of `studies.external.predictions`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from expert.datasets.table import read_table
from expert.errors import InputError
from expert.imaging.scanner_simulation import apply_effect
from expert.imaging.volume import Volume
from expert.inference import explain
from expert.model_file import save_model
from expert.schema import ImageReference
from studies.external.predictions import (
    ORIGINAL,
    Answer,
    Heads,
    Task,
    answer_task,
    number,
    predict_copies,
    reasons,
    table,
    without_names,
)


def same_or_broken(volume: Volume, name: str, seed: int) -> Volume:
    if name == "broken":
        raise ZeroDivisionError
    if name == "empty":
        return replace(volume, data=np.zeros_like(volume.data))
    return replace(volume, data=np.asarray(volume.data, dtype=np.float64))


@pytest.mark.slow
def test_copies_are_predicted_as_by_explain(one_plane_file, one_plane, one_head, head):
    rows = read_table(one_head, label_column="age")
    tasks = [Task(0, "same"), Task(0, "empty"), Task(0, "broken"), Task(1, "same")]
    stages = []
    found = predict_copies(
        one_plane_file, rows, tasks, same_or_broken, progress=lambda *stage: stages.append(stage)
    )
    assert found.labels == (72, 30)
    own, jane, same, empty, broken, other = found.answers
    expected = explain(one_plane, head, top=1).prediction
    assert own.prediction == pytest.approx(expected, abs=1e-6)
    assert same.prediction == pytest.approx(expected, abs=0.1)
    assert empty.prediction is None
    assert empty.refused
    assert broken.refused == "Program error: ZeroDivisionError."
    for answer in (jane, other):
        assert answer.prediction is None
        assert "jane" not in answer.refused
        assert "the file" in answer.refused
    assert stages[-1] == ("heads", 1.0)
    assert found.original(1) is None
    assert found.of("same", 0) == (same,)
    assert found.differences(found.of("same")) == pytest.approx([same.prediction - own.prediction])


@pytest.mark.slow
def test_several_processes_give_the_same(one_plane_file, one_head):
    rows = read_table(one_head, label_column="age")[:1]
    tasks = [Task(0, "noise", 1), Task(0, "axis order", 2)]
    one, two = (
        predict_copies(one_plane_file, rows, tasks, apply_effect, jobs=jobs) for jobs in (1, 2)
    )
    assert [a.task for a in one.answers] == [a.task for a in two.answers]
    assert [a.prediction for a in one.answers] == pytest.approx(
        [a.prediction for a in two.answers], abs=1e-3
    )


def test_heads_that_are_prototypes_are_counted(one_plane, one_head, tmp_path):
    jane = read_table(one_head, label_column="age")[1]
    reference = ImageReference(dataset="d", subject="s", file="f.nii.gz", sha256=jane.sha256)
    first, *others = one_plane.info.prototypes
    shown = (first.model_copy(update={"reference": reference}), *others)
    weights = {
        name.removeprefix("weights."): array
        for name, array in one_plane.tensors.items()
        if name.startswith("weights.")
    }
    target = tmp_path / "m.safetensors"
    save_model(target, one_plane.info.model_copy(update={"prototypes": shown}), weights)
    found = predict_copies(str(target), [jane], [], same_or_broken)
    assert found.prototypes == 1
    assert found.trained_note


def test_a_head_that_cannot_be_read_is_refused(one_plane_file, one_head):
    answer = answer_task(
        one_plane_file, one_head.parent / "jane.nii.gz", Task(0, ORIGINAL), same_or_broken
    )
    assert answer.prediction is None
    assert answer.refused


def test_models_of_plain_images_are_not_for_these_studies(tiny_model_file, one_head):
    with pytest.raises(InputError, match="3D heads"):
        predict_copies(str(tiny_model_file), read_table(one_head), [], same_or_broken)


def test_differences_leave_refused_heads_and_copies_out():
    answers = (
        Answer(Task(0, ORIGINAL), 40.0),
        Answer(Task(1, ORIGINAL), None, refused="No."),
        Answer(Task(0, "x", 1), 43.0),
        Answer(Task(0, "x", 2), None, refused="No."),
        Answer(Task(1, "x", 1), 70.0),
    )
    found = Heads("m", "years", (40.0, 60.0), answers)
    assert found.differences(found.of("x")).tolist() == [3.0]
    assert found.differences(found.of("x", 1)).size == 0


def test_pages_name_no_files():
    assert without_names("jane doe-1.nii.gz is empty.") == "jane the file is empty."
    assert reasons(["", ""]) == []
    lines = reasons(["a.nii is bad.", "", "b.nii.gz is bad.", "No brain."])
    assert lines[-2:] == ["- 2 ×: the file is bad.", "- 1 ×: No brain."]


def test_tables():
    assert table(("a", "b"), [("x|y", "1")]) == ["", "| a | b |", "|---|---:|", "| x/y | 1 |"]
    assert [number(1.234), number(1.0, sign=True), number(np.nan)] == ["1.23", "+1.00", "–"]
