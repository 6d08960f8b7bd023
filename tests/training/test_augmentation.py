"""Tests of `expert.training.augmentation`."""

from __future__ import annotations

import pytest
import torch

from expert.training.augmentation import moved, new_places
from expert.training.recipe import Augmentation


@pytest.mark.parametrize("grid", [(6, 5), (3, 4, 5)])
def test_cells_are_found_where_they_went(grid):
    torch.manual_seed(2)
    shape = tuple(8 * n for n in grid)
    # A picture that tells, in each of its pixels, where that is: what is read at a cell's new place
    # must be its old one.
    where = torch.stack(
        torch.meshgrid(*[(torch.arange(n) + 0.5) / n for n in shape], indexing="ij")
    )
    settings = Augmentation(rotation_deg=20.0, scale=0.2, shift=0.2)
    for axis, plane in enumerate(where):
        images = plane.expand(7, 1, *shape)
        new, _, theta = moved(images, torch.ones(7, *shape), settings, flip=0.5)
        places = new_places(theta, grid)
        pixels = ((places + 0.5) * 8 - 0.5).round().long()
        cells = torch.stack(
            torch.meshgrid(*[torch.arange(n) for n in grid], indexing="ij"), -1
        ).reshape(-1, len(grid))
        inside = ((pixels > 1) & (pixels < torch.tensor(shape) - 2)).all(-1)
        assert inside.any()
        for image, patch in inside.nonzero().tolist():
            read = new[(image, 0, *pixels[image, patch].tolist())].item()
            assert read == pytest.approx((cells[patch, axis].item() + 0.5) / grid[axis], abs=0.03)
