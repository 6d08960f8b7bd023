"""Tests of `studies.external.inputs`."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from expert.imaging.scanner_simulation import change_axis_order
from studies.external.inputs import INPUTS, ORIENTATIONS, SLICES, STORED, change, markdown
from studies.external.predictions import ORIGINAL, Answer, Heads, Task


@pytest.fixture(scope="module")
def turned(head):
    """The head in another order of axes."""
    return change_axis_order(head, np.random.default_rng(1))


def test_voxel_sizes_are_what_their_names_say(turned):
    for name, size in (("1.5 mm", 1.5), ("3 mm", 3.0)):
        assert change(turned, name).spacing == pytest.approx((size, size, size))


@pytest.mark.parametrize(("name", "code"), zip(SLICES, "RAS", strict=True))
def test_slices_are_along_their_axis(turned, name, code):
    sliced = change(turned, name)
    axis = nib.aff2axcodes(sliced.affine).index(code)
    assert sliced.spacing[axis] == pytest.approx(5)
    assert sum(size == pytest.approx(2) for size in sliced.spacing) == 2


@pytest.mark.parametrize("name", STORED)
def test_types(turned, name):
    stored = change(turned, name)
    assert stored.data.dtype == name
    assert np.array_equal(stored.affine, turned.affine)


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_orientations(turned, name):
    new = change(turned, name)
    assert "".join(nib.aff2axcodes(new.affine)) == name
    assert new.fingerprint() == turned.fingerprint()


def test_the_table_has_a_row_for_every_input():
    answers = [Answer(Task(n, ORIGINAL), value) for n, value in enumerate((40.0, 60.0))]
    for name in INPUTS:
        answers += [Answer(Task(0, name), 41.0), Answer(Task(1, name), 57.0, flagged=True)]
    answers[2] = Answer(Task(0, INPUTS[0]), None, refused="Too small.")
    text = markdown(Heads("some-model", "years", (38.0, 66.0), tuple(answers)))
    assert "prototypes" not in text
    assert "| 0.7 mm | -3.00 | 3.00 | 3.00 | 1 | 1 |" in text
    assert "- 1 ×: Too small." in text
    for name in INPUTS[1:]:
        assert f"| {name} | -1.00 | 2.00 | 3.00 | 0 | 1 |" in text
