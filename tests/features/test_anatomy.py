"""Anatomical coordinates of heads that are moved by a known field."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage

from expert.features.anatomy import (
    AnatomicalCoordinates,
    anatomical_displacement,
    patch_coordinates,
)

SHAPE = (40, 48, 40)


def brain() -> np.ndarray:
    """A ball of grey matter around white matter, with two ventricles of fluid."""
    z, y, x = np.indices(SHAPE) - (np.array(SHAPE) / 2)[:, None, None, None]
    radius = np.sqrt(z**2 + (y / 1.2) ** 2 + x**2)
    values = np.where(radius < 13, 200, 100)
    for side in (-4, 4):
        values[(np.abs(x - side) < 2) & (np.abs(y) < 8) & (np.abs(z) < 3)] = 1
    out = ndimage.gaussian_filter(values.astype(float), 0.7)
    return np.where(radius < 17, np.clip(out, 1, 255), 0).astype(np.uint8)


def moved(image: np.ndarray, field: np.ndarray) -> np.ndarray:
    """The image whose structure at x is that of `image` at x + field."""
    return np.asarray(ndimage.map_coordinates(image, np.indices(SHAPE) + field, order=1))


def smooth_field(seed: int = 1, size: float = 2.0) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal((3, *SHAPE))
    field = np.stack([ndimage.gaussian_filter(part, 6) for part in noise])
    return field * size / field.std()


def test_a_known_field_is_found() -> None:
    average, field = brain(), smooth_field()
    image = moved(average, field)
    found = anatomical_displacement(image, average)
    inside = image > 0
    before = np.linalg.norm(field, axis=0)[inside].mean()
    after = np.linalg.norm(found - field, axis=0)[inside].mean()
    assert before > 2
    assert after < 0.85 * before


def test_the_average_has_its_own_coordinates() -> None:
    grid = (5, 6, 5)
    assert np.allclose(patch_coordinates(brain(), brain(), grid), np.indices(grid), atol=0.02)


def test_empty_patches_have_their_own_place() -> None:
    grid = (5, 6, 5)
    image = moved(brain(), smooth_field())
    content = torch.nn.functional.adaptive_avg_pool3d(torch.from_numpy(image).float()[None], grid)
    empty = content[0].numpy() == 0
    assert empty.any()
    found = patch_coordinates(image, brain(), grid)
    assert np.array_equal(found[:, empty], np.indices(grid)[:, empty])


def test_a_module_keeps_its_average_and_knows_images_again() -> None:
    module = AnatomicalCoordinates(SHAPE)
    module.average.copy_(torch.from_numpy(brain()))
    again = AnatomicalCoordinates(SHAPE)
    again.load_state_dict(module.state_dict())
    images = torch.from_numpy(moved(brain(), smooth_field()))[None, None].float() / 255
    first, second = module(images, (5, 6, 5)), again(images, (5, 6, 5))
    assert first.shape == (1, 3, 5, 6, 5)
    assert torch.equal(first, second)
    assert torch.equal(module(images, (5, 6, 5)), first)
