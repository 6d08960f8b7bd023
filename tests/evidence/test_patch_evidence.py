"""Tests of `expert.evidence.patch_evidence`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from expert.attribution import for_prediction
from expert.evidence.patch_evidence import Evidence, bands
from expert.evidence.tissue_norms import TissueNorms, tissue_fractions


def with_norms(e, young, old):
    """The explanation with curves that are the same in every patch."""
    mean = np.empty((2, len(e.views), len(e.views[0].mass), 3))
    mean[0], mean[1] = young, old
    norms = TissueNorms(np.array([20.0, 80.0]), mean, 0.1 * np.ones_like(mean))
    return e.model_copy(update={"norms": norms.tensors})


def test_the_evidence_is_that_of_the_explanation(explanation):
    e = with_norms(explanation, (0.1, 0.5, 0.4), (0.3, 0.4, 0.3))
    found = Evidence.of(e)
    assert found.contributions.sum() == pytest.approx(e.prediction - found.reference, abs=0.01)
    np.testing.assert_array_equal(found.contributions[2], for_prediction(e, 2))
    np.testing.assert_array_equal(found.fractions[1], tissue_fractions(e.views[1].image, e.grid))
    place = (found.bands[0].middle - 20) / 60
    np.testing.assert_allclose(found.usual[0][0, 0, 0], 0.1 + 0.2 * place, atol=1e-3)
    view, patch = found.strongest(1)[0]
    assert abs(found.contributions[view, patch]) == np.abs(found.contributions).max()
    assert any(found.region_names(view, patch) for patch in range(len(e.views[0].mass)))
    assert Evidence.of(explanation).fractions is None
    assert Evidence.of(explanation).difference(0, patch) is None


def test_a_plain_image_has_no_regions(explanation):
    assert not Evidence.of(explanation.model_copy(update={"registration": None})).regions


@pytest.mark.parametrize(
    ("prediction", "start", "expected"),
    [
        (72.0, 44.0, ("40–45", "70–75")),
        (24.8, 44.0, ("40–45", "20–25")),
        (45.0, 44.0, ("40–45", "55–60")),  # too close: a quarter of the range apart
        (43.0, 44.0, ("40–45", "25–30")),
        (79.0, 78.0, ("75–80", "60–65")),  # the range ends above
    ],
)
def test_bands_are_around_the_reference_and_the_prediction(prediction, start, expected):
    found = bands(prediction, start, 20.0, 82.0)
    assert tuple(band.text for band in found) == expected
    assert found[0].low <= start < found[0].high


def test_bands_of_other_units_are_round_too():
    assert [band.text for band in bands(31.0, 25.0, 16.0, 40.0)] == ["24–26", "30–32"]


def case(explanation, contribution, own):
    """One patch with this contribution and these fractions, among people of 10 % to 30 % fluid."""
    found = Evidence.of(with_norms(explanation, (0.1, 0.5, 0.4), (0.3, 0.4, 0.3)))
    fractions, contributions = found.fractions.copy(), np.zeros_like(found.contributions)
    fractions[0, 14], contributions[0, 14] = own, contribution
    usual = tuple(np.broadcast_to(u, fractions.shape).copy() for u in found.usual)
    usual[0][0, 14], usual[1][0, 14] = (0.15, 0.45, 0.4), (0.3, 0.4, 0.3)
    two = bands(70.0, 40.0, 20.0, 80.0)
    return replace(found, fractions=fractions, contributions=contributions, usual=usual, bands=two)


def test_differences_fit_the_contribution(explanation):
    older = case(explanation, 2.0, (0.31, 0.40, 0.29))
    assert older.difference(0, 14).tissue == 0
    assert older.difference(0, 14).more
    assert older.fitting_difference(0, 14).tissue == 0
    # The same tissues in a patch that contributes to younger: nothing in them explains it.
    assert case(explanation, -2.0, (0.31, 0.40, 0.29)).fitting_difference(0, 14) is None
    # More grey matter than people of the reference, as the young have: it fits a lower prediction.
    younger = case(explanation, -2.0, (0.20, 0.50, 0.30))
    assert younger.difference(0, 14).tissue == 2
    found = younger.fitting_difference(0, 14)
    assert (found.tissue, found.more) == (1, True)
    assert case(explanation, 2.0, (0.16, 0.45, 0.39)).difference(0, 14) is None


def test_distances_between_patches_are_in_template_mm(explanation):
    found, grid = Evidence.of(explanation), explanation.grid
    shape = explanation.view_shape
    step = found.moved(0, 0, 1)
    np.testing.assert_allclose(step, [shape[1] / grid[1], 0, 0], atol=1e-9)
    step = found.moved(0, grid[1], 0)
    np.testing.assert_allclose(step, [0, -shape[0] / grid[0], 0], atol=1e-9)
