"""White matter is one grey value, whatever the scanner's gain, its zero and its slow change over
the head."""

from __future__ import annotations

import numpy as np
import pytest

from expert.errors import InputError
from expert.imaging.bias_field import fit_bias_field
from expert.imaging.registration import Registration
from expert.imaging.resampling import resample_to_template
from expert.imaging.template import load_template
from expert.imaging.volume import Volume


def graded(head: Volume, registration: Registration) -> np.ndarray:
    template = load_template("wm")
    image = resample_to_template(head, registration, template.affine, template.data.shape)
    return fit_bias_field(head, registration).apply(image, template.affine)[template.data > 240]


def changed(head: Volume, data: np.ndarray) -> Volume:
    return Volume(data.astype(np.float32), head.affine)


def test_white_matter_is_one(known_head):
    white = graded(*known_head)
    assert np.median(white) == pytest.approx(1, abs=0.02)


def test_a_gain_changes_nothing(known_head):
    head, registration = known_head
    louder = changed(head, np.asarray(head.data, dtype=float) * 37)
    np.testing.assert_allclose(
        graded(louder, registration), graded(head, registration), rtol=1e-4, atol=1e-4
    )


def test_a_bias_field_is_taken_out(known_head):
    head, registration = known_head
    index = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in head.shape], indexing="ij"))
    field = np.exp(0.25 * index[0] - 0.2 * index[1] ** 2 + 0.15 * index[2])
    shaded = changed(head, np.asarray(head.data, dtype=float) * field)
    before, after = graded(head, registration), graded(shaded, registration)
    assert np.abs(after - before).mean() < 0.02
    assert after.std() == pytest.approx(before.std(), abs=0.01)


def test_what_is_no_head_is_refused(known_head):
    head, registration = known_head
    flat = changed(head, np.full(head.shape, 3.0))
    with pytest.raises(InputError, match="are constant"):
        fit_bias_field(flat, registration)
    far = Registration.known(np.array([[1.0, 0, 0, 900], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]))
    with pytest.raises(InputError, match="No brain"):
        fit_bias_field(head, far)
