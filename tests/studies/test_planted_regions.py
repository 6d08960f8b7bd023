"""Tests of `studies.planted_regions`."""

from __future__ import annotations

import numpy as np
import pytest

from expert.errors import InputError
from expert.schema import InputSettings
from studies.planted_effects import study_recipe
from studies.planted_regions import planted_change, region_patches


def test_a_region_is_where_the_content_changed():
    volume = study_recipe().input
    planes = InputSettings(shape=(96, 96), spacing_mm=2.0, positions_mm=(3.0, 7.0, 11.0))
    ventricles, sections = planted_change(7, "ventricles", [volume, planes])
    (cortex,) = planted_change(7, "left cortex", [volume])
    assert sections.shape == (3, *planes.shape)
    middle, left = region_patches(ventricles, (4, 5, 4)), region_patches(cortex, (4, 5, 4))
    cells = left.reshape(4, 5, 4)
    assert cells[..., :2].sum() > 8
    assert not cells[..., 2:].any()  # axes S, A, R: the right half is untouched
    assert 2 <= middle.sum() <= 16
    assert not middle.reshape(4, 5, 4)[..., [0, 3]].any()
    with pytest.raises(InputError, match="ventricles"):
        planted_change(7, "nose", [volume])


def test_a_region_is_the_fewest_cells_that_hold_most():
    change = np.zeros((2, 4, 4))
    change[0, 0, 0], change[0, 0, 3], change[0, 3, 3] = 70, 22, 8
    np.testing.assert_array_equal(
        region_patches(change, (2, 2)), [[True, True, False, False], [False] * 4]
    )
    np.testing.assert_array_equal(
        region_patches(change, (2, 2), 0.5)[0], [True, False, False, False]
    )
    np.testing.assert_array_equal(region_patches(change, (2, 2), 1.0)[0], [True, True, False, True])
