"""Tests of `expert.attribution`."""

from __future__ import annotations

import numpy as np
import pytest

from expert.attribution import (
    between,
    compared_prototypes,
    contribution_to_prediction,
    for_prediction,
    for_prototype,
    reference,
    reference_text,
)
from expert.inference import explain
from expert.model_file import load_model

RADIUS = 6.0


def relative(distances):
    weights = np.exp(-(distances**2 - distances.min() ** 2) / (2 * (RADIUS / 3) ** 2))
    return weights / weights.sum()


def case(seed=1, prototypes=40, patches=30, spread=1.0):
    """Contributions of patches to distances, labels, and the weights relative to the nearest."""
    generator = np.random.default_rng(seed)
    contributions = 0.5 + spread * generator.random((prototypes, patches))
    labels = generator.uniform(20, 80, prototypes)
    distances = contributions.sum(axis=1)
    return distances, relative(distances), contributions, labels


def test_distances_add_up(explanation):
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


@pytest.mark.parametrize("spread", [0.1, 1.0, 8.0])
def test_contributions_sum_to_the_prediction_minus_the_mean_label(spread):
    distances, shares, contributions, labels = case(spread=spread)
    found = contribution_to_prediction(distances, shares, contributions, labels, RADIUS)
    assert found.sum() == pytest.approx(shares @ labels - labels.mean(), abs=0.01)


def test_contributions_of_small_differences_are_the_gradient():
    distances, _, contributions, labels = case(spread=1e-4)
    found = contribution_to_prediction(
        distances, relative(distances), contributions, labels, RADIUS
    )
    mean, variance = distances.mean(), (RADIUS / 3) ** 2
    slope = -mean / variance / len(labels) * (labels - labels.mean())
    np.testing.assert_allclose(
        found, slope @ (contributions - contributions.mean(axis=0)), rtol=0.02, atol=1e-9
    )


def test_patches_that_do_the_same_contribute_the_same():
    distances, shares, contributions, labels = case()
    contributions[:, 3] = contributions[:, 7]
    contributions[:, 5] = 2.0  # adds the same to every distance: no difference to the prediction
    distances = contributions.sum(axis=1)
    shares = relative(distances)
    found = contribution_to_prediction(distances, shares, contributions, labels, RADIUS)
    assert found[3] == pytest.approx(found[7], rel=1e-9)
    assert found[5] == pytest.approx(0, abs=1e-9)
    # Labels mirrored about their mean: every contribution changes its sign.
    mirrored = 2 * labels.mean() - labels
    other = contribution_to_prediction(distances, shares, contributions, mirrored, RADIUS)
    np.testing.assert_allclose(other, -found, atol=1e-9)


def test_with_cut_weights_only_prototypes_in_the_radius_count():
    distances, _, contributions, labels = case(spread=1.5)
    radius = float(np.quantile(distances, 0.3))
    weights = np.where(distances <= radius, np.exp(-(distances**2) / (2 * (radius / 3) ** 2)), 0)
    shares = weights / weights.sum()
    inside = compared_prototypes(distances, shares, radius)
    assert 0 < inside.sum() < len(inside)
    found = contribution_to_prediction(distances, shares, contributions, labels, radius)
    assert found.sum() == pytest.approx(shares @ labels - labels[inside].mean(), abs=0.01)
    # Relative weights are above 0 beyond the radius, however far all prototypes are.
    assert compared_prototypes(distances, relative(distances), 1e-3).all()


def test_contributions_of_an_explanation_sum_over_views_and_patches(explanation):
    e = explanation
    total = sum(for_prediction(e, view).sum() for view in range(len(e.views)))
    assert total == pytest.approx(e.prediction - reference(e), abs=0.01)
    assert e.labels.min() < reference(e) < e.labels.max()
    # The weights of this model are cut off at the radius.
    assert reference_text(e) == "prototypes in the radius"
    assert reference_text(e.model_copy(update={"radius": 1e6})) == "prototypes"


def test_contributions_of_combined_planes_sum_to_the_common_prediction(planes_model_file, head):
    e = explain(load_model(planes_model_file), head, top=1, images=False)
    assert e.together
    total = sum(for_prediction(e, view).sum() for view in range(len(e.views)))
    assert total == pytest.approx(e.prediction - reference(e), abs=0.01)


def test_nothing_contributes_to_a_fallback(explanation):
    e = explanation
    views = tuple(view.model_copy(update={"fallback": True}) for view in e.views)
    nearest = e.model_copy(update={"views": views, "fallback": True})
    assert not for_prediction(nearest, 0).any()
    assert reference(nearest) == pytest.approx(np.mean([view.prediction for view in e.views]))
