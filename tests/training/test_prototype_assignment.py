"""Tests of `expert.training.prototype_assignment`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.hand_made import FLAT, cohort, pictures
from helpers.processes import run_group

from expert.comparison import compare_images
from expert.model import PrototypeRegressor
from expert.schema import Architecture
from expert.training.prototype_assignment import (
    BLOCK,
    assign_prototypes,
    cohort_distances,
    heaviest_patches,
)
from expert.training.recipe import Schedule


@pytest.fixture
def net():
    torch.manual_seed(0)
    settings = {"widths": (8,), "pool": 2, "channels": 16, "prototypes": 3, "radius": 60.0}
    net = PrototypeRegressor(Architecture(**settings, marginals="content"), (6, 5))
    return net.eval().requires_grad_(False)


def test_prototypes_become_training_images_with_their_content(net):
    images, content = pictures(FLAT, 4, 5), np.full((4, *FLAT.shape), 255, dtype=np.uint8)
    content[2, :24] = 0
    assign_prototypes(net, cohort(FLAT, images, content), torch.tensor([[2, 0], [0, 0], [3, 0]]))
    with torch.no_grad():
        wanted = net.backbone(torch.from_numpy(images[[2, 0, 3]])[:, None].float() / 255)
    torch.testing.assert_close(net.prototypes.detach(), wanted)
    assert net.prototype_mass[0, :15].sum() < 0.01  # the background keeps next to nothing
    torch.testing.assert_close(net.prototype_mass.sum(1), torch.ones(3))
    assert not net.training


def test_distances_are_those_of_single_images(net):
    arrays = cohort(FLAT, pictures(FLAT, BLOCK + 2, 6))
    found = cohort_distances(net, arrays, [0], [0])
    assert found.shape == (BLOCK + 2, 1, 3)
    for row in (0, BLOCK - 1, BLOCK, BLOCK + 1):  # on both sides of the end of a block
        alone = compare_images(net, arrays.images[row], arrays.content[row])
        np.testing.assert_allclose(found[row, 0], alone.distances[0], rtol=1e-3)


def test_distances_as_in_training_are_close_to_the_exact_ones(net):
    arrays = cohort(FLAT, pictures(FLAT, 4, 6))
    exact, rough = (
        cohort_distances(net, arrays, [0], [0], training) for training in (None, Schedule())
    )
    torch.testing.assert_close(rough, exact, rtol=0.1, atol=0.1)


def test_heaviest_patches_by_plane():
    mass = torch.tensor([[0.5, 0.5, 0.0], [0.1, 0.2, 0.7], [0.6, 0.4, 0.0], [0.0, 0.9, 0.1]])
    assert heaviest_patches(mass).tolist() == [mass.amax(0).tolist()]
    found = heaviest_patches(mass, torch.tensor([0, 1, 0, 1]))
    torch.testing.assert_close(found, torch.tensor([[0.6, 0.5, 0.0], [0.1, 0.9, 0.7]]))


SHARED = f"""
import sys
sys.path.append({str(Path(__file__).parents[1])!r})
from helpers.hand_made import FLAT, cohort, pictures
from expert.model import PrototypeRegressor
from expert.schema import Architecture
from expert.training.prototype_assignment import BLOCK, cohort_distances, shared_distances
from expert.training.recipe import Schedule
torch.manual_seed(0)
settings = {{"widths": (8,), "pool": 2, "channels": 16, "prototypes": 3, "radius": 60.0}}
net = PrototypeRegressor(Architecture(**settings, marginals="content"), (6, 5)).eval()
for number in (2 * BLOCK + 3, 4):  # of the second cohort, one process has nothing
    arrays = cohort(FLAT, pictures(FLAT, number, 6))
    for training in (None, Schedule()):
        found = shared_distances(net, arrays, [0], [0], training)
        torch.testing.assert_close(found, cohort_distances(net, arrays, [0], [0], training))
"""


def test_processes_share_the_distances_of_a_cohort():
    run_group(SHARED, 2)
