"""Turned heads: what is measured on one image."""

from __future__ import annotations

import numpy as np
from helpers.drawn_heads import drawn_head

from expert.imaging.outline_network import load_outline_network
from studies.outline.turned import Measured


def test_a_drawn_head_is_measured(fetal_model, monkeypatch):
    monkeypatch.setattr("studies.outline.turned.ANGLES_DEG", (0, 40, 180))
    found = Measured(
        errors=[(0.2, 0.3, 0.4)] * 5,
        subjects=list("aabcd"),
        shifted=[(0.5, 0.1)],
        usable=[True] * 5,
    )
    settings, network = fetal_model.info.input, fetal_model.network
    found.add_turned(network, drawn_head(), settings, load_outline_network())
    assert np.abs(found.changes).max() < 0.3
    assert found.refused == 0
    assert found.larger[0] > 0.3  # the size decides
    assert found.follows[0] > 0.9
    assert "| transport minus position (95 %) | -0.100" in "\n".join(found.lines())
