"""Painted heads: the same for a seed, and true to the map they are painted from."""

from __future__ import annotations

import numpy as np
import torch

from studies.heads.painting import COORDINATE_MM, SIZE, example


def test_shapes_and_seed(source):
    one, same, other = (example(source, seed) for seed in (3, 3, 4))
    assert one.image.shape == (1, SIZE, SIZE, SIZE)
    assert one.tissues.shape == (4, SIZE, SIZE, SIZE)
    assert one.coordinates.shape == (SIZE, SIZE, SIZE, 3)
    torch.testing.assert_close(one.image, same.image)
    assert (one.image - other.image).abs().max() > 0.1


def test_fractions_sum_to_one(source):
    for seed in range(4):
        tissues = example(source, seed).tissues
        assert tissues.min() >= 0
        torch.testing.assert_close(tissues.sum(0), torch.ones(SIZE, SIZE, SIZE), atol=0.06, rtol=0)


def test_coordinates_follow_the_pose(source):
    found = [example(source, seed) for seed in range(6)]
    brains = [one for one in found if (1 - one.tissues[0]).sum() > 2000]
    assert len(brains) >= 4
    for one in brains:
        inside = (one.tissues[0] < 0.5).numpy()
        index = np.argwhere(inside)
        affine = index @ one.to_template[:3, :3].T + one.to_template[:3, 3]
        drawn = one.coordinates[torch.from_numpy(inside)].numpy() * COORDINATE_MM
        # The local deformation is a few mm.
        assert np.linalg.norm(affine - drawn, axis=1).mean() < 8
        assert np.linalg.det(one.to_template[:3, :3]) > 0


def test_poses_vary(source):
    matrices = [example(source, seed).to_template[:3, :3] for seed in range(8)]
    turned = [
        np.degrees(np.arccos(np.clip(m[2, 2] / np.linalg.norm(m[2]), -1, 1))) for m in matrices
    ]
    assert max(turned) > 15
