"""Tests of `expert.cohort.prediction`: runs that are continued, ended, and killed."""

from __future__ import annotations

import os
import signal
import time

import pytest
from helpers.cohorts import copies, read_rows, start_predict, wait_for_rows
from helpers.processes import group_is_gone

from expert.cohort.inputs import Item, items
from expert.cohort.prediction import predict_cohort
from expert.cohort.rows import FORCE_HINT, Options
from expert.errors import Cancelled, InputError
from expert.model_file import load_model


@pytest.fixture
def todo(squares):
    return items([squares])[:4]


def test_finished_rows_are_not_repeated(tiny_model_file, todo, tmp_path):
    model, out = load_model(tiny_model_file), tmp_path / "o.csv"
    counts = []
    first = predict_cohort(model, todo[1:3], out, progress=counts.append)
    assert counts == [0, 1, 2]
    assert (first.kept, first.failed, len(first.rows)) == (0, 0, 2)
    counts.clear()
    second = predict_cohort(model, todo, out, progress=counts.append)
    assert counts == [2, 3, 4]
    assert second.kept == 2
    continued = out.read_bytes()
    assert [row["input"] for row in read_rows(out)] == [item.name for item in todo]
    assert all(row["label"] for row in read_rows(out))
    whole = predict_cohort(model, todo, tmp_path / "w.csv")
    assert whole.table.read_bytes() == continued
    assert predict_cohort(model, todo, out, overwrite=True).kept == 0
    assert out.read_bytes() == continued


def test_errors_are_repeated_on_request(tiny_model_file, todo, tmp_path):
    model, out = load_model(tiny_model_file), tmp_path / "o.csv"
    late = tmp_path / "late.png"
    given = [todo[0], Item("late.png", late)]
    assert predict_cohort(model, given, out).failed == 1
    late.write_bytes(todo[1].path.read_bytes())
    again = predict_cohort(model, given, out)
    assert (again.kept, again.kept_errors, again.failed) == (2, 1, 1)
    again = predict_cohort(model, given, out, retry_errors=True)
    assert (again.kept, again.kept_errors, again.failed) == (1, 0, 0)


def test_refused_and_forced_images_are_repeated_when_force_changes(
    one_plane, head_file, heads_refused, tmp_path
):
    out, given = tmp_path / "o.csv", [Item("h", head_file)]
    for force, failed in [(False, 1), (True, 0), (False, 1)]:
        outcome = predict_cohort(one_plane, given, out, Options(force=force))
        assert (outcome.kept, outcome.failed) == (0, failed)
        assert outcome.rows[0]["error"].endswith(FORCE_HINT) == (not force)


def test_explanations_are_added_to_rows_without_them(tiny_model_file, todo, tmp_path):
    model, out = load_model(tiny_model_file), tmp_path / "o.csv"
    predict_cohort(model, todo[:1], out)
    options = Options(explanations=tmp_path / "ex")
    outcome = predict_cohort(model, todo[:1], out, options)
    assert outcome.kept == 0
    assert (tmp_path / outcome.rows[0]["explanation"]).is_file()
    assert predict_cohort(model, todo[:1], out, options).kept == 1
    assert predict_cohort(model, todo[:1], out).kept == 1


def test_what_cannot_be_written_is_said_before_anything_is_predicted(
    tiny_model_file, todo, tmp_path
):
    model = load_model(tiny_model_file)
    counts = []
    file = tmp_path / "file"
    file.write_text("")

    def run(out, options=None):
        predict_cohort(model, todo, out, options, progress=counts.append)

    with pytest.raises(InputError, match="could not be written"):
        run(tmp_path / "missing" / "o.csv")
    with pytest.raises(InputError, match=r"folder .*file could not be made"):
        run(tmp_path / "o.csv", Options(explanations=file))
    with pytest.raises(InputError, match="is one of the inputs"):
        run(todo[0].path)
    assert not counts


def test_a_cancelled_run_keeps_its_rows(tiny_model_file, todo, tmp_path):
    model, out = load_model(tiny_model_file), tmp_path / "o.csv"

    def check() -> None:
        if out.read_bytes().count(b"\n") > 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        predict_cohort(model, todo, out, check=check)
    assert len(read_rows(out)) == 2
    assert predict_cohort(model, todo, out).kept == 2


def test_parquet_is_continued_from_its_running_record(tiny_model_file, todo, tmp_path):
    pytest.importorskip("pyarrow")
    model, out = load_model(tiny_model_file), tmp_path / "o.parquet"

    def check() -> None:
        if (tmp_path / "o.parquet.csv").read_bytes().count(b"\n") > 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        predict_cohort(model, todo, out, check=check)
    assert not out.exists()
    outcome = predict_cohort(model, todo, out)
    assert outcome.kept == 2
    assert [path.name for path in tmp_path.iterdir()] == ["o.parquet"]
    again = predict_cohort(model, todo, out)
    assert again.kept == 4
    assert again.rows == outcome.rows


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_command_is_continued(head_file, tmp_path, workers):
    heads = copies(head_file, tmp_path / "heads", 5)
    out, options = tmp_path / "o.csv", ["--model", "phantom", "--workers", workers]
    for rows in (0, 2):
        process = start_predict(*heads, *options, "--out", out)
        wait_for_rows(out, rows, process)
        time.sleep(0.4 * rows)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert group_is_gone(process.pid)  # workers do not outlive the command
    process = start_predict(*heads, *options, "--out", out)
    text, _ = process.communicate(timeout=600)
    assert process.returncode == 0
    assert "were predicted by an earlier run" in text
    assert "5 of 5 predicted" in text
    process = start_predict(*heads, *options, "--out", tmp_path / "whole.csv")
    process.communicate(timeout=600)
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_ends_the_command_in_time(head_file, tmp_path, workers):
    heads = copies(head_file, tmp_path / "heads", 8)
    out = tmp_path / "o.csv"
    process = start_predict(*heads, "--model", "phantom", "--workers", workers, "--out", out)
    wait_for_rows(out, 1, process)
    time.sleep(0.2)
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    text, errors = process.communicate(timeout=60)
    assert time.monotonic() - began < 3
    assert process.returncode == 130
    assert "Traceback" not in errors + text
    done = len(read_rows(out))
    assert f"has the rows of {done} of 8 images. The same command continues." in errors
    assert group_is_gone(process.pid)


@pytest.mark.slow
def test_ctrl_c_before_the_first_image_ends_the_command_too(head_file, tmp_path):
    out = tmp_path / "o.csv"
    process = start_predict(head_file, "--model", "phantom", "--out", out)
    wait_for_rows(out, 0, process)  # torch is being imported
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - began < 3
    assert process.returncode == 130
    assert "has the rows of 0 of 1 images" in errors
