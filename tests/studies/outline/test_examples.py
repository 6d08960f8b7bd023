"""Examples for the outline network: where the ellipse goes, the head's inside goes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.drawn_heads import drawn_head

from expert.imaging.head_outline import square_of
from studies.outline import examples


@pytest.fixture(scope="module")
def sources():
    """Two drawn heads, without the real images."""
    found = examples.Sources.__new__(examples.Sources)
    square, to_index = square_of(drawn_head(30.0), examples.SOURCE)
    step = to_index[0, 0]
    center = (np.array([140, 190]) - to_index[:, 2]) / step
    ellipse = [*center, 105 / step, 0.79 * 105 / step, np.deg2rad(30.0)]
    found.images = torch.from_numpy(np.stack([square, square]))
    found.ellipses = torch.tensor([ellipse, ellipse], dtype=torch.float32)
    bone = examples.drawn_bone(np.random.default_rng(0)).astype(np.float32)
    found.others = torch.from_numpy(np.stack([np.clip(bone, 0, 1)]))
    return found


def test_the_inside_follows_the_head(sources):
    images, inside = examples.draw(sources, 8, 3, torch.Generator().manual_seed(1))
    assert images.shape == inside.shape == (11, 1, 96, 96)
    assert float(images.min()) >= 0
    assert float(images.max()) <= 1
    assert not inside[8:].any()
    for image, mask in zip(images[:8, 0], inside[:8, 0], strict=True):
        shrunk = torch.nn.functional.max_pool2d(-mask[None], 9, 1, 4)[0] < -0.5
        rim = (mask > 0.5) & ~shrunk
        assert image[rim].mean() > image[shrunk].mean()  # the skull is brighter than the brain


def test_folds_keep_exams_together():
    exams = np.array(["a", "a", "b", "c", "d", "e"])
    parts = examples.folds(exams, 3, 1)
    assert sorted(np.concatenate(parts).tolist()) == list(range(6))
    assert any({0, 1} <= set(part.tolist()) for part in parts)


def test_images_without_a_head():
    generator = np.random.default_rng(1)
    kinds = ("drawn_bone", "drawn_shapes", "noise", "speckled_blob")
    for draw in (getattr(examples, kind) for kind in kinds):
        assert draw(generator).shape == (examples.SOURCE, examples.SOURCE)
    assert len(examples.photographs()) >= 1


def test_the_table_of_outlines(hc18):
    table = examples.read_outlines(hc18)
    assert len(table.files) == 370
    assert table.subset(np.array([3, 5])).files == (table.files[3], table.files[5])
