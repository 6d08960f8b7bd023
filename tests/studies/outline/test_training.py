"""The outline network is trained and written as half-precision weights."""

from __future__ import annotations

import numpy as np
import torch
from safetensors.torch import load_file

from studies.outline.examples import SOURCE, Sources
from studies.outline.training import loss, train_outline


def test_the_loss_is_lowest_for_the_truth():
    inside = torch.zeros(22, 1, 32, 32)
    inside[:16, :, 8:24, 8:24] = 1
    true = loss(10 * inside - 5, inside)
    assert true < loss(10 * inside.roll(6, 2) - 5, inside)
    assert true < loss(torch.zeros_like(inside), inside)


def test_training_is_read_again(tmp_path):
    sources = Sources.__new__(Sources)
    sources.images = torch.rand(2, SOURCE, SOURCE)
    sources.ellipses = torch.tensor([[80.0, 80, 40, 30, 0]] * 2)
    sources.others = torch.rand(2, SOURCE, SOURCE)
    target = tmp_path / "run" / "fold0.safetensors"
    trained = train_outline(sources, target, steps=2, seed=1)
    assert all(value.dtype == torch.float16 for value in load_file(target).values())
    again = train_outline(None, target, steps=2, seed=1)
    for one, other in zip(trained.parameters(), again.parameters(), strict=True):
        assert np.array_equal(one.detach(), other.detach())
