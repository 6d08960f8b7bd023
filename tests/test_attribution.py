"""Tests of `expert.attribution`."""

from __future__ import annotations

import numpy as np
import pytest


def test_the_patches_that_speak_add_up(explanation):
    from expert.attribution import between, for_prediction, for_prototype

    e = explanation
    for number, view in enumerate(e.views):
        np.testing.assert_allclose(view.contributions.sum(axis=1), view.distances, rtol=1e-9)
        first, second = e.prototypes[0].index, e.prototypes[1].index
        np.testing.assert_allclose(
            view.contributions[first], e.prototypes[0].views[number].contributions, rtol=1e-9
        )
        assert for_prototype(e, number, first).sum() == pytest.approx(0, abs=1e-5)
        gap = view.distances[second] - view.distances[first]
        assert between(e, number, first, second).sum() == pytest.approx(gap, abs=1e-9)
        # The pull of a patch is the slope of the answer along it: tried with one patch that counts
        # 0.1 % more.
        patch = int(np.abs(for_prediction(e, number)).argmax())
        distances = view.distances + 1e-3 * view.contributions[:, patch]
        weights = np.exp(-(distances**2) / (2 * (e.radius / 3) ** 2)) * (view.shares > 0)
        moved = float(weights @ e.labels / weights.sum()) - view.prediction
        assert moved == pytest.approx(1e-3 * for_prediction(e, number)[patch], rel=0.02)
