"""The average brain of the package on the grid of a network's input."""

from __future__ import annotations

import numpy as np

from expert.features.anatomy import patch_coordinates
from expert.features.grey_values import WHITE_MATTER
from expert.imaging.average_brain import average_brain
from expert.schema import InputSettings

SETTINGS = InputSettings(
    intensity="tissue", shape=(80, 96, 80), spacing_mm=2.0, center_mm=(3.0, -17.0, 0.0)
)


def test_it_holds_fluid_grey_and_white_matter_inside_a_brain() -> None:
    average = average_brain(SETTINGS)
    assert average.shape == SETTINGS.shape
    assert average.dtype == np.uint8
    inside = average > 0
    litres = inside.sum() * 0.008 / 1000
    assert 1.2 < litres < 2.0
    assert np.percentile(average[inside], 95) > 0.9 * WHITE_MATTER
    # A ventricle, beside the midline above the anterior commissure.
    assert average[tuple(voxel(SETTINGS, (9, -5, 16)))] < 0.4 * WHITE_MATTER


def test_it_is_resampled_to_other_inputs() -> None:
    coarse = SETTINGS.model_copy(update={"shape": (40, 48, 40), "spacing_mm": 4.0})
    place = (20, -40, 30)
    values = [
        int(average_brain(settings)[tuple(voxel(settings, place))])
        for settings in (SETTINGS, coarse)
    ]
    assert abs(values[0] - values[1]) < 60


def test_it_has_its_own_coordinates() -> None:
    grid, average = (10, 12, 10), average_brain(SETTINGS)
    assert np.abs(patch_coordinates(average, average, grid) - np.indices(grid)).max() < 0.05


def voxel(settings: InputSettings, place_mm: tuple[float, float, float]) -> np.ndarray:
    """Index (S, A, R) of a place in template RAS mm."""
    middle = (np.array(settings.shape) - 1) / 2
    offset = np.array(place_mm)[::-1] - np.array(settings.center_mm)
    return np.rint(middle + offset / settings.spacing_mm).astype(int)
