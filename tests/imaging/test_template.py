"""Tests of `expert.imaging.template`: the maps that are shipped are those of one template."""

from __future__ import annotations

import numpy as np
import pytest

from expert.imaging.template import load_template


@pytest.mark.parametrize("name", ["t1", "gm", "wm", "mask"])
def test_maps_share_one_grid(name):
    volume = load_template(name)
    assert volume.data.shape == (97, 115, 97)
    np.testing.assert_allclose(np.diag(volume.affine)[:3], 2.0)
    np.testing.assert_array_equal(volume.affine, load_template("t1").affine)
    assert load_template(name) is volume  # read once


def test_tissue_lies_in_the_brain_and_the_brain_is_symmetric():
    mask = load_template("mask").data > 0
    assert 1.5e6 < 8 * mask.sum() < 2.1e6  # mm³
    for name in ("gm", "wm"):
        tissue = load_template(name).data > 128
        assert (mask[tissue]).mean() > 0.97
    assert (mask == mask[::-1]).mean() > 0.995
    white, grey = (load_template("t1").data[load_template(n).data > 240] for n in ("wm", "gm"))
    assert np.median(white) > np.median(grey)
