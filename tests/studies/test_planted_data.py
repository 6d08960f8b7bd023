"""Tests of `studies.planted_data`."""

from __future__ import annotations

import numpy as np
import pytest

from expert.errors import InputError
from studies.planted_data import draw_subjects, phantom_arguments


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
