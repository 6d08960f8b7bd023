"""The place of slices: order, gaps, shear, and what is no stack."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.dicom_files import head, series

from expert.imaging.dicom.geometry import arrange


def test_slices_are_ordered_by_their_place_and_not_by_name_or_number(frames):
    files = series()
    for n, file in enumerate(files):
        file.InstanceNumber = (5 * n) % 14 + 1
    found = frames(files[::-1])
    geometry = arrange(found)
    ordered = [found[n].position[2] for n in geometry.order]
    assert ordered == sorted(ordered)
    assert geometry.missing == ()
    np.testing.assert_allclose(geometry.affine, head()[1], atol=1e-5)


@pytest.mark.parametrize("lost", [[6], [1, 2, 3], [4, 9], [2, 3, 7, 8, 9], list(range(1, 12))])
def test_missing_slices_are_gaps_of_several_steps(frames, lost):
    files = series()
    geometry = arrange(frames([file for n, file in enumerate(files) if n not in lost]))
    assert geometry.missing == tuple(lost)
    assert geometry.count == 14
    np.testing.assert_allclose(geometry.affine, head()[1], atol=1e-4)


def test_rounded_positions_are_even(frames):
    files = series(*head(spacing=(1.0, 1.0, 0.9)))
    for n, file in enumerate(files):
        file.ImagePositionPatient = [0, 0, round(0.9 * n, 1)]
    assert arrange(frames(files)).problem == ""
    for n, file in enumerate(files):
        file.ImagePositionPatient = [0, 0, 0.9 * n + 0.02 * (-1) ** n]
    assert arrange(frames(files)).problem == ""


def test_uneven_slices_are_no_stack(frames):
    files = series()
    for file in files[8:]:
        file.ImagePositionPatient[2] += 0.4
    assert "unevenly spaced (1.20 to 1.60 mm)" in arrange(frames(files)).problem


def test_a_slice_beside_the_line_is_no_part_of_the_stack(frames):
    files = series()
    files[5].ImagePositionPatient[1] += 4
    assert "do not lie on a line" in arrange(frames(files)).problem


def test_sheared_positions_have_their_true_step(frames):
    data, affine = head()
    affine[1, 2] = 0.5
    geometry = arrange(frames(series(data, affine)))
    assert geometry.problem == ""
    np.testing.assert_allclose(geometry.affine, affine, atol=1e-5)
    assert geometry.tilt == pytest.approx(np.degrees(np.arctan2(0.5, 1.2)), abs=1e-3)
    assert arrange(frames(series())).tilt == pytest.approx(0, abs=1e-3)


def test_slices_at_the_same_position_collide(frames):
    assert arrange(frames(series() + series())).collisions == 14


def test_without_a_place_the_order_is_that_of_the_numbers(frames):
    files = series()
    for n, file in enumerate(files):
        del file.ImagePositionPatient
        file.InstanceNumber = 14 - n
    geometry = arrange(frames(files))
    assert geometry.order == tuple(range(13, -1, -1))
    assert not geometry.oriented
    assert not geometry.step_known
    for file in files:
        file.SpacingBetweenSlices = 2.5
    geometry = arrange(frames(files))
    assert geometry.step_known
    assert np.linalg.norm(geometry.affine[:, 2]) == pytest.approx(2.5)
    for n, file in enumerate(files):
        file.SliceLocation = 3.0 * n
    geometry = arrange(frames(files))
    assert geometry.order == tuple(range(14))
    assert np.linalg.norm(geometry.affine[:, 2]) == pytest.approx(3)
