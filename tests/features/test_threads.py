"""Tests of `expert.features.threads`."""

from __future__ import annotations

import pytest
import torch

from expert.features.threads import one_thread


def test_the_number_of_threads_comes_back():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
        with pytest.raises(ValueError), one_thread():  # noqa: PT011
            raise ValueError
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_explaining_uses_one_thread_and_gives_the_rest_back(explanation, model, head):
    from expert.inference import explain

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert explain(model, head, top=1).prediction == explanation.prediction
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
