"""Tests of `expert.imaging.dicom.stacks`."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.dicom_files import CAPTURE, changed, dataset, series, ultrasound

from expert.imaging.dicom.stacks import stacks_of

TWO = {
    "EchoTime": (2, 10),
    "EchoNumbers": (1, 2),
    "TemporalPositionIdentifier": (1, 2),
    "AcquisitionNumber": (1, 2),
    "AcquisitionTime": ("101010", "111111"),
    "ContentTime": ("101010", "111111"),
    "TriggerTime": (1, 500),
    "ImageType": (["ORIGINAL", "PRIMARY", "M"], ["ORIGINAL", "PRIMARY", "P"]),
    "InversionTime": (300, 900),
    "DiffusionBValue": (0.0, 1000.0),
    "FlipAngle": (5, 30),
    "StackID": ("1", "2"),
}


@pytest.mark.parametrize("keyword", TWO)
def test_images_of_the_same_slices_are_told_apart(frames, keyword):
    first, second = TWO[keyword]
    files = series(**{keyword: first})
    others = changed(files, 2, 1, **{keyword: second})
    mixed = [file for pair in zip(files, others, strict=True) for file in pair]
    stacks = stacks_of(frames(mixed))
    assert [len(stack.frames) for stack in stacks] == [14, 14]
    for stack in stacks:
        assert len({frame.traits[stack.traits[0].rsplit(" ", 3)[0]] for frame in stack.frames}) == 1
        assert stack.rank == 0


def test_two_echoes_at_three_times(frames):
    first = series(EchoTime=2)
    files = [
        file
        for time in range(3)
        for echo in (2, 9)
        for file in changed(first, 10 * time + echo, EchoTime=echo, AcquisitionNumber=time)
    ]
    stacks = stacks_of(frames(files))
    assert [len(stack.frames) for stack in stacks] == [14] * 6
    assert not any(stack.geometry.collisions for stack in stacks)


def test_numbers_distinguish_repeated_images_if_nothing_else_does(frames):
    files = series()
    for others in (changed(files, 2, 15), changed(files, 2, 1)):
        both = files + others
        if others[0].InstanceNumber == 1:  # take turns
            for n, file in enumerate(both):
                file.InstanceNumber = 2 * (n % 14) + n // 14 + 1
        stacks = stacks_of(frames(both))
        assert [len(stack.frames) for stack in stacks] == [14, 14]
        ranges = [sorted(frame.number for frame in stack.frames) for stack in stacks]
        assert ranges[0] != ranges[1]


def test_what_nothing_distinguishes_is_not_divided(frames):
    files = series()
    (stack,) = stacks_of(frames(files + changed(files, 2, 1)))
    assert stack.geometry.collisions == 14
    (stack,) = stacks_of(frames(files + changed(files, 2, 1)[3:4]))
    assert stack.geometry.collisions == 1


def test_copies_are_left_out(frames):
    files = series()
    for copies in (files, changed(files, 1), files[3:5]):
        (stack,) = stacks_of(frames(files + list(copies)))
        assert len(stack.frames) == 14
        assert stack.copies == len(copies)
    for file in files:
        del file.ImagePositionPatient
    (stack,) = stacks_of(frames(files + files))
    assert stack.copies == 14


def test_captures_and_other_orientations_are_apart(frames):
    files = series()
    uid = files[0].SeriesInstanceUID
    colours = dataset(np.full((11, 9, 3), 7, np.uint8), 99, CAPTURE, uid)
    grey = dataset(np.full((11, 9), 7, np.int16), 98, CAPTURE, uid)
    turned = changed(files[:1], 2, 97, ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    stacks = stacks_of(frames([*files, colours, grey, *turned]))
    assert sorted(len(stack.frames) for stack in stacks) == [1, 1, 1, 14]
    assert sorted(stack.rank for stack in stacks) == [0, 3, 3, 3]


def test_derived_images_and_few_slices_come_later(frames):
    (derived,) = stacks_of(frames(series(ImageType=["DERIVED", "SECONDARY"])))
    assert derived.rank == 1
    (few,) = stacks_of(frames(series()[:5]))
    assert few.rank == 3


def test_ultrasound_images_of_one_series_are_single_images(frames):
    first = ultrasound()
    others = [ultrasound(series=first.SeriesInstanceUID) for _ in range(2)]
    others[1].PixelData = bytes(len(first.PixelData))
    stacks = stacks_of(frames([first, *others, first]))
    assert len(stacks) == 3
    assert sum(stack.copies for stack in stacks) == 1
