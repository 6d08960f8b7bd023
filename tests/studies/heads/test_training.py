"""The head network is trained, resumed, and written as half-precision weights."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from studies.heads.painting import example
from studies.heads.training import loss, train


def test_the_loss_is_lowest_for_the_truth(source):
    one = example(source, 1)
    tissues, places = one.tissues[None], one.coordinates.movedim(-1, 0)[None]
    wide = torch.nn.functional.avg_pool3d(places, 2)
    true = loss((tissues + 1e-4).log(), wide, tissues, places)
    moved = loss((tissues.roll(4, 2) + 1e-4).log(), wide, tissues, places)
    shifted = loss((tissues + 1e-4).log(), wide + 0.2, tissues, places)
    assert true < moved
    assert true < shifted


@pytest.mark.slow
def test_training_is_resumed(label_map, tmp_path, capsys):
    (tmp_path / "data" / "synthseg_labels").mkdir(parents=True)
    affines = {}
    for number in (1, 2):
        name = f"training_seg_{number:02d}.nii.gz"
        shutil.copy(label_map, tmp_path / "data" / "synthseg_labels" / name)
        affines[name] = np.eye(4).tolist()
    (tmp_path / "affines.json").write_text(json.dumps(affines))
    run = tmp_path / "run"
    out = train(tmp_path / "data", tmp_path / "affines.json", run, steps=2, seed=3)
    first = load_file(out)
    assert all(value.dtype == torch.float16 for value in first.values())
    train(tmp_path / "data", tmp_path / "affines.json", run, steps=3, seed=3)
    state = load_file(run / "last.safetensors")
    assert int(state["step"]) == 3
    assert "dice" in capsys.readouterr().out
