"""Tests of `studies.planted_data`."""

from __future__ import annotations

import numpy as np
import pytest

from expert.errors import InputError
from expert.schema import InputSettings
from studies.planted_data import draw_subjects, phantom_arguments
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


def test_labels_say_what_was_planted_and_others_do_not():
    people, others = draw_subjects(40, 3), draw_subjects(40, 3, 40)
    assert not {*people.seeds} & {*others.seeds}
    assert np.abs(np.corrcoef(people.ages.T)[np.triu_indices(3, 1)]).max() < 0.5
    assert (
        phantom_arguments("mixed", people.ages[4])["left_cortex_age"]
        == people.labels("left cortex")[4]
    )
    assert phantom_arguments("ageing", people.ages[4]) == {"age": people.labels("age")[4]}
    assert phantom_arguments("ventricles", people.ages[4]) == {
        "age": 50.0,
        "ventricle_age": people.labels("ventricles")[4],
    }
    dealt = people.labels(None, 0)
    assert sorted(dealt) == sorted(people.ages[:, 0])
    assert not np.array_equal(dealt, people.labels(None, 1))
    with pytest.raises(InputError, match="2 heads"):
        draw_subjects(1, 3)
