"""Tests of `expert.training.launch`: real processes, through the command line."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
from helpers import exact_training
from helpers.processes import LONGEST_SECONDS, command
from safetensors.numpy import load_file

from expert.errors import ExpertError
from expert.training import processes
from expert.training.launch import started
from expert.training.pipeline import train
from expert.training.prototype_module import PrototypeModule
from expert.training.recipe import read_recipe


def test_one_process_is_not_started_again():
    with started(1, 1):
        assert processes.count() == 1


def test_processes_that_do_not_fit_are_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(ExpertError, match=r"4 processes were started, but --devices 1 and --nodes"):
        started(1, 1).__enter__()
    monkeypatch.delenv("WORLD_SIZE")
    with pytest.raises(ExpertError, match="MASTER_ADDR and MASTER_PORT"):
        started(1, 2).__enter__()


def curves(run, stage):
    with (run / "final" / stage / "metrics.csv").open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


@pytest.mark.slow
def test_the_command_trains_with_two_processes(tiny_recipe, squares, tmp_path):
    """The batches of 9 images are divided into 5 and 4."""
    text = tiny_recipe.read_text().replace("epochs: 4, learning", "epochs: 2, learning")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(text.replace("epochs: 4, batch: 8", "epochs: 2, batch: 9"))
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    train(read_recipe(recipe), squares, one, jobs=1)
    done = subprocess.run(
        command("train", recipe, "--data", squares, "--out", two, "--devices", "2"),
        capture_output=True,
        text=True,
        timeout=LONGEST_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("two.safetensors") == 1
    assert load_file(one).keys() == load_file(two).keys()
    alone, together = (curves(path.with_suffix(".run"), "warmup") for path in (one, two))
    assert len(alone) == 2
    for row, other in zip(alone, together, strict=True):
        assert row == pytest.approx(other, rel=1e-4)


@pytest.mark.slow
def test_two_processes_train_the_same_model(tiny_recipe, squares, tmp_path):
    text = tiny_recipe.read_text()
    text = text.replace("epochs: 4, batch: 8", "epochs: 6, batch: 7, validation: 0.25, patience: 1")
    text = text.replace("consistency: 1.0", "consistency: 1.0, equivariance: 0.5, copies: 5")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(text)
    files = []
    for devices in ("1", "2"):
        files.append(tmp_path / f"{devices}.safetensors")
        arguments = [str(part) for part in (recipe, squares, files[-1], devices)]
        subprocess.run(
            [sys.executable, exact_training.__file__, *arguments],
            check=True,
            timeout=LONGEST_SECONDS,
        )
    for stage in ("warmup", "prototypes"):
        alone, together = (curves(path.with_suffix(".run"), stage) for path in files)
        assert len(alone) >= 2
        for row, other in zip(alone, together, strict=True):
            assert row == pytest.approx(other, rel=1e-9)
    first, second = (load_file(path) for path in files)
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_allclose(first[name], second[name], rtol=1e-6, atol=1e-8, err_msg=name)


@pytest.mark.slow
def test_all_end_if_one_is_killed_and_one_process_resumes(
    tiny_recipe, squares, tmp_path, monkeypatch
):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        tiny_recipe.read_text().replace("schedule: {epochs: 4", "schedule: {epochs: 90")
    )
    out, errors = tmp_path / "m.safetensors", tmp_path / "errors.txt"
    checkpoint = tmp_path / "m.run" / "final" / "prototypes-last.ckpt"
    with errors.open("w") as file:
        both = command("train", recipe, "--data", squares, "--out", out, "--devices", "2")
        first = subprocess.Popen(both, stderr=file)
        started_at = time.monotonic()
        while not checkpoint.exists() and time.monotonic() - started_at < LONGEST_SECONDS:
            time.sleep(0.05)
        children = psutil.Process(first.pid).children()
        (second,) = [child for child in children if "--devices" in child.cmdline()]
        os.kill(second.pid, signal.SIGKILL)
        assert first.wait(timeout=LONGEST_SECONDS) == 1
    assert errors.read_text() == (
        "Error: process 2 of 2 ended with exit code -9, and so do the others. "
        "The same command resumes the training.\n"
    )
    assert not out.exists()
    epochs, real = [], PrototypeModule.training_step

    def watched(self, batch, index):
        epochs.append(self.current_epoch)
        return real(self, batch, index)

    monkeypatch.setattr(PrototypeModule, "training_step", watched)
    train(read_recipe(recipe), squares, out, jobs=1)
    assert min(epochs) > 0
    assert max(epochs) == 89
    assert out.exists()
