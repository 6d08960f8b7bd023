"""Slices that are missing in every way: refused with their places, or said."""

from __future__ import annotations

import pytest
from helpers.dicom_files import series

from expert.errors import InputError
from expert.imaging.dicom.completeness import (
    number_step,
    refuse_incomplete,
    signs_of_missing,
    slice_number,
    sparseness,
)
from expert.imaging.dicom.stacks import stacks_of


@pytest.fixture
def stack(frames):
    """A function that makes a stack of some of the slices of a series."""

    def of(keep, files=None):
        (found,) = stacks_of(frames([(files or series())[n] for n in keep]))
        return found

    return of


@pytest.mark.parametrize(
    ("keep", "part"),
    [
        ([0, 1, 2, 3, 7, 8, 9, 10, 11, 12, 13], "3 of 14 slices of a are missing: 5 to 7 (between 33.6 and 38.4 mm)"),  # noqa: E501
        ([0, 1, 2, 4, 5, 6, 8, 9, 10, 11, 12, 13], "2 of 14 slices of a are missing: 4 (between 32.4 and 34.8 mm), 8"),  # noqa: E501
        (range(0, 14, 2), "6 of 13 slices of a are missing: only every second one is there"),
        (range(1, 14, 2), "only every second one"),
        (range(0, 14, 3), "only every third one"),
        ([0, 1, 3, 6, 7, 10, 13], "are missing"),
        ([0, 13, 1], "11 of 14 slices of a are missing"),
    ],
)  # fmt: skip
def test_more_than_one_missing_slice_is_refused(stack, keep, part):
    with pytest.raises(InputError) as caught:
        refuse_incomplete(stack(list(keep)), "a")
    assert part in str(caught.value)


def test_a_whole_stack_and_a_single_gap_are_not_refused(stack):
    for keep in (range(14), [*range(6), *range(7, 14)]):
        refuse_incomplete(stack(list(keep)), "a")
        assert signs_of_missing(stack(list(keep))) == []


def test_missing_ends_and_uncertain_signs_are_said(stack):
    assert "number 8" in signs_of_missing(stack(range(7, 14)))[0]
    files = series(ImagesInAcquisition=14)
    assert "states 14 slices" in signs_of_missing(stack(range(10), files))[0]
    files = series()
    for n, file in enumerate(files):
        file.InstanceNumber = 2 * n + 1
    assert "every second number" in signs_of_missing(stack(range(14), files))[0]
    for n, file in enumerate(files):
        file.InstanceNumber, file.SliceThickness = n + 1, 0.6
    assert "2 times as far apart" in signs_of_missing(stack(range(14), files))[0]


def test_slices_are_named_by_their_numbers(stack):
    files = series()
    for n, file in enumerate(files):
        file.InstanceNumber = 14 - n
    found = stack([0, 1, 2, 5, 6, 7, 8, 9, 10, 11, 12, 13], files)
    assert slice_number(found, 3) == 11
    with pytest.raises(InputError, match="missing: 10 to 11"):
        refuse_incomplete(found, "a")
    for n, file in enumerate(files):
        file.InstanceNumber = (5 * n) % 14 + 1
    assert slice_number(stack(range(14), files), 3) == 4


def test_steps_of_numbers_and_distances(stack):
    found = stack(range(0, 14, 2))
    assert number_step(found.frames, found.geometry) == 2
    assert sparseness(found.frames, found.geometry) == pytest.approx(2)
    found = stack([0, 1, 3, 4])
    assert number_step(found.frames, found.geometry) == 0
