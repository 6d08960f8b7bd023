"""One head as other files: `python tools/measure_reliability.py same` tries them all."""

from __future__ import annotations

import numpy as np
import pytest
from reliability.same_answer import measure, rotation, variants

from expert.model_file import load_model

SOME = {
    ("axis order", "PIR"),
    ("axis order", "ASL"),
    ("data type", "int16"),
    ("scale factor", "2 x -500"),
    ("format", "MGZ"),
    ("format", "DICOM series"),
    ("moved by 3 cm in the grid", "left"),
    ("turned by 10° in the header", "yaw"),
}


@pytest.fixture(scope="module")
def found(head, tmp_path_factory):
    every = variants(head, tmp_path_factory.mktemp("variants"))
    return measure(load_model("phantom"), head, (one for one in every if one[:2] in SOME))


def test_the_prediction_is_the_same(found):
    assert {(one.kind, one.name) for one in found} == SOME
    for one in found:
        assert abs(one.difference) < 0.5, one


def test_left_and_right_are_never_exchanged(found):
    assert not any(one.mirrored for one in found)


def test_rotations_keep_lengths():
    for axis in range(3):
        turn = rotation(axis, 10.0)
        np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(turn) == pytest.approx(1)
