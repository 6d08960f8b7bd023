"""Tests of `expert.features.grey_values`."""

from __future__ import annotations

import numpy as np
import torch

from expert.features.grey_values import to_unit


def test_grey_values_become_numbers_between_0_and_1():
    values = np.array([[0, 51], [102, 255]], dtype=np.uint8)
    found = to_unit(values)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, torch.tensor([[0, 0.2], [0.4, 1]]))


def test_arrays_in_any_memory_order_are_taken():
    values = np.arange(12, dtype=np.uint8).reshape(3, 4)[:, ::-1].T
    torch.testing.assert_close(to_unit(values) * 255, torch.from_numpy(values.copy()).float())
