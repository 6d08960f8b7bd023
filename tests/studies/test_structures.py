"""The study of matched structures: plans as displacements, painted heads, bad registrations."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from expert.comparison import compare_images
from expert.model import PrototypeRegressor
from expert.schema import Architecture
from studies import structures

GRID, SHAPE = (5, 6, 5), (40, 48, 40)
NAMES = {1: "Frontal_WM_L", 2: "PrecentralGyrus_L", 51: "LateralVentricle_R"}


def labels() -> np.ndarray:
    """White matter in cortex, with a ventricle that is not symmetric."""
    z, y, x = np.indices(SHAPE) - (np.array(SHAPE) / 2)[:, None, None, None]
    radius = np.sqrt(z**2 + (y / 1.2) ** 2 + x**2)
    out = np.where(radius < 17, 2, 0)
    out[radius < 12 + 2 * np.sin(x / 3) * np.cos(y / 3) * np.cos(z / 4)] = 1
    out[(np.abs(x - 3) < 3) & (np.abs(y) < 8) & (np.abs(z + 2) < 4)] = 51
    return out.astype(np.uint8)


def network() -> PrototypeRegressor:
    torch.manual_seed(0)
    architecture = Architecture(
        dimensions=3, backbone="histogram", places=GRID, widths=(), pool=8, channels=4, bins=8,
        reach=2.0, coordinates=True, regularization=0.3, relaxation=0.4, prototypes=3,
        weights="relative", marginals="content",
    )  # fmt: skip
    out = PrototypeRegressor(architecture, GRID).eval().requires_grad_(False)
    out.backbone.coordinates.average.copy_(torch.from_numpy(structures.paint(labels(), NAMES, 9)))
    return out


def test_a_plan_that_shifts_all_mass_is_that_displacement() -> None:
    places = np.stack(np.unravel_index(np.arange(150), GRID), 1)
    flow = np.zeros((150, 150))
    for patch, place in enumerate(places):
        target = np.minimum(place + np.array([1, 0, 0]), np.array(GRID) - 1)
        flow[patch, np.ravel_multi_index(tuple(target), GRID)] = 1 / 150
    found = structures.displacement(flow, GRID)
    assert (found[0, :4] == 1).all()
    assert (found[1:] == 0).all()
    assert np.allclose(structures.pixels(found, SHAPE)[0, 12:28], 8)


def test_painted_tissues() -> None:
    image = structures.paint(labels(), NAMES, 0)
    medians = [np.median(image[labels() == number]) for number in (51, 2, 1)]
    assert medians[0] < 40 < medians[1] < 150 < medians[2]
    assert (image[labels() == 0] == 0).all()


def test_the_known_field_has_its_size() -> None:
    field = structures.known_field(SHAPE, 2.0, 0)
    size = 2.0 * np.sqrt((field**2).sum(0).mean())
    assert size == pytest.approx(structures.FIELD_MM)


def test_partners_in_a_deformed_head_are_nearer_than_the_same_place() -> None:
    plan, position = structures.deformed_phantoms(network(), labels()[None], NAMES, 2.0)[0]
    assert position > 3
    assert plan < position


def test_the_bad_registration_is_as_bad_as_said() -> None:
    off = structures.bad_registration(np.eye(4), 3)
    center = np.array([0.0, -17.0, 10.0, 1.0])
    assert np.linalg.norm((off @ center - center)[:3]) == pytest.approx(structures.SHIFT_MM)
    angle = np.degrees(np.arccos((np.trace(off[:3, :3]) - 1) / 2))
    assert angle == pytest.approx(structures.TURN_DEG)


def test_a_copy_by_position_matches_every_patch_with_its_place() -> None:
    one = network()
    image = structures.paint(labels(), NAMES, 1)[None]
    result = compare_images(structures.position_copy(one), image, np.where(image > 0, 255, 0))
    assert result.partners is None
    assert np.array_equal(result.flow[0, 0], np.diag(result.mass[0]))
