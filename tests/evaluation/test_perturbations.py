"""Tests of `expert.evaluation.perturbations`."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.hand_made import FLAT, Pixels, both, grid_of, network, picture, prototypes

from expert.evaluation.matching_quality import self_match
from expert.evaluation.perturbations import known_changes, rotated_patches, slight_changes


@both
def test_cells_that_left_or_became_background_are_left_out(recipe):
    image, content = picture(recipe)
    changes = {}
    for change in known_changes(image, content, grid_of(recipe)):
        changes.setdefault(change.name, []).append(change)
    assert len(changes["shift"]) == len(recipe.shape)
    last = changes["shift"][-1]
    away = last.partner.reshape(grid_of(recipe))[..., -1]
    assert (away == -1).all()
    assert (last.partner >= 0).sum() == last.partner.size * (1 - 1 / grid_of(recipe)[-1])
    assert not last.image[..., :8].any()
    assert np.array_equal(last.image[..., 8:], image[..., :-8])
    content = np.zeros_like(content)
    content[..., 16:24] = 255  # one column of cells in the middle
    found, chance = self_match(
        network(recipe, Pixels(grid_of(recipe)), *prototypes(recipe)), image, content
    )
    assert found["shift"] == 1
    assert chance["flip"] == pytest.approx(1 / (np.prod(grid_of(recipe)) / 5))


def test_the_true_cell_of_a_rotation_is_where_the_centre_went():
    image = np.zeros(FLAT.shape)
    for cell, true in enumerate(rotated_patches(FLAT.shape, (6, 5), 10.0)):
        row, column = divmod(cell, 5)
        image[:] = 0
        image[row * 8 + 3 : row * 8 + 5, column * 8 + 3 : column * 8 + 5] = 255
        moved = next(c for c in known_changes(image, image, (6, 5)) if c.name == "rotation").image
        if true >= 0:
            place = np.array(np.nonzero(moved > 100)).mean(axis=1)
            assert abs(place - (np.array(divmod(true, 5)) * 8 + 3.5)).max() < 5
    assert rotated_patches(FLAT.shape, (6, 5), 0.0).tolist() == list(range(30))
    assert rotated_patches((10, 20, 20), (1, 2, 2), 90.0).tolist() in ([1, 3, 0, 2], [2, 0, 3, 1])


def test_no_change_touches_the_size_of_a_fetal_head():
    image = np.random.default_rng(0).integers(0, 256, (40, 56)).astype(np.uint8)
    content = np.full_like(image, 255)
    changes = [
        *known_changes(image, content, (5, 7), rim=True),
        *slight_changes(image, content, (5, 7), 1, rim=True),
    ]
    assert len(changes) == 10
    for change in changes:
        assert np.array_equal(change.image[[0, -1]], image[[0, -1]])
        assert np.array_equal(change.image[:, [0, -1]], image[:, [0, -1]])
    assert len(list(slight_changes(image, content, (5, 7), 1))) == 4
