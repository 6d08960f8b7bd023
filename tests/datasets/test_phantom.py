"""Phantoms depend on age and seed alone, and age changes the regions that it should."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from expert.datasets.phantom import (
    effect_affine,
    effect_regions,
    phantom,
    phantom_with_truth,
    write_cohort,
)
from expert.datasets.table import read_table
from expert.errors import InputError
from expert.imaging.registration import Registration
from expert.imaging.resampling import resample_to_subject
from studies.planted_data import PLACES


def test_seed_and_age_are_the_only_input():
    np.testing.assert_array_equal(phantom(40, 3).data, phantom(40, 3).data)
    assert (phantom(40, 3).data != phantom(40, 4).data).mean() > 0.3
    assert (phantom(40, 3).data != phantom(80, 3).data).any()


def test_age_acts_in_known_places_only():
    young, truth = phantom_with_truth(25, 7, clean=True)
    old, same = phantom_with_truth(80, 7, clean=True)
    np.testing.assert_array_equal(truth.template_to_subject, same.template_to_subject)
    changed = np.abs(young.data.astype(float) - old.data.astype(float)) > 0.02 * young.data.max()
    from expert.datasets.phantom import effect_affine
    from expert.imaging.registration import Registration
    from expert.imaging.resampling import resample_to_subject

    regions = np.max(list(effect_regions().values()), axis=0).astype(np.float32)
    there = resample_to_subject(
        regions, effect_affine(), Registration.known(truth.template_to_subject), young
    )
    assert changed.sum() > 500
    assert (there[changed] > 0).mean() > 0.95


def test_a_cohort_is_a_table(tmp_path):
    table = write_cohort(tmp_path, 3, 9)
    entries = read_table(table)
    assert len({entry.sha256 for entry in entries}) == 3
    assert all(20 <= entry.label <= 85 for entry in entries)
    (tmp_path / entries[0].name).write_bytes(b"other")
    with pytest.raises(InputError, match="checksum"):
        read_table(table)


@pytest.mark.parametrize("age", [-1, 200, float("nan")])
def test_impossible_ages_are_refused(age):
    with pytest.raises(InputError):
        phantom(age, 0)


def test_a_place_that_was_given_no_look_is_as_it_was():
    plain, truth = phantom_with_truth(50, 3)
    same, _ = phantom_with_truth(
        50, 3, ventricle_age=truth.ventricle_age, cortex_age=truth.cortex_age
    )
    np.testing.assert_array_equal(plain.data, same.data)
    np.testing.assert_array_equal(plain.data, phantom(50, 3).data)
    assert truth.left_cortex_age == truth.cortex_age


@pytest.mark.parametrize("place", PLACES)
def test_heads_differ_in_the_planted_place_and_nowhere_else(place):
    argument = {"ventricles": "ventricle_age", "left cortex": "left_cortex_age"}[place]
    young, truth = phantom_with_truth(50, 7, clean=True, **{argument: 20.0})
    old, _ = phantom_with_truth(50, 7, clean=True, **{argument: 85.0})
    region = effect_regions()[place.removeprefix("left ")].copy()
    if place == "left cortex":
        region[effect_affine()[0, 3] + effect_affine()[0, 0] * np.arange(len(region)) >= 0] = False
    # People are deformed by some mm beyond the affine transform that brings the region to them.
    region = ndimage.binary_dilation(region, iterations=4)
    known = Registration.known(truth.template_to_subject)
    there = resample_to_subject(region.astype(np.float32), effect_affine(), known, young)
    changed = young.data != old.data
    assert changed.sum() > 500
    assert (there[changed] > 0).mean() > 0.995
    assert changed[there == 0].mean() < 0.0005
