"""Tests of `expert.evidence.tissue_norms`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from expert.datasets.prepared_dataset import CohortArrays
from expert.errors import InputError
from expert.evidence.tissue_norms import (
    LABELS,
    NORMS,
    TissueNorms,
    add_norms,
    estimate_norms,
    norms_of_training,
    tissue_fractions,
)
from expert.model_file import load_model

GRID = (2, 2)


def image(fluid):
    """Four patches of 10 x 10: two with this number of fluid rows, white, and empty."""
    values = np.zeros((20, 20), np.uint8)
    values[:10] = 100
    values[:fluid] = 1
    values[10:, :10] = 200
    return values


def test_fractions_are_counted_by_the_nearest_tissue():
    found = tissue_fractions(image(3), GRID)
    np.testing.assert_allclose(found[0], [0.3, 0.7, 0])
    np.testing.assert_allclose(found[2], [0, 0, 1])
    assert np.isnan(found[3]).all()
    edges = np.full((20, 20), 49, np.uint8)
    edges[:, 10:] = 51
    np.testing.assert_allclose(tissue_fractions(edges, GRID)[:2], [[1, 0, 0], [0, 1, 0]])
    assert tissue_fractions(np.full((8, 8, 8), 160, np.uint8), (2, 2, 2))[5, 2] == 1


def test_curves_follow_the_label():
    generator = np.random.default_rng(1)
    labels = generator.uniform(20, 80, 300)
    rows = np.round((labels - 20) / 10 + generator.normal(0, 0.5, 300)).clip(0, 9).astype(int)
    norms = estimate_norms(np.stack([image(n)[None] for n in rows]), labels, GRID)
    assert norms.mean.shape == (13, 1, 4, 3)
    for label in (20.0, 35.0, 50.0, 80.0):
        fluid, grey, white = norms.at(label, 0)[0]
        assert fluid == pytest.approx((label - 20) / 100, abs=0.025)
        assert fluid + grey + white == pytest.approx(1)
    np.testing.assert_allclose(norms.at(50, 0)[2], [0, 0, 1], atol=1e-9)
    assert np.isnan(norms.at(50, 0)[3]).all()
    # Spread over people of one label, not over all labels: half a row and rounding.
    assert 0.03 < norms.spread[6, 0, 0, 0] < 0.08
    np.testing.assert_allclose(norms.at(5, 0), norms.at(norms.labels[0], 0))


def test_curves_survive_the_model_file():
    labels = np.linspace(20, 80, 40)
    norms = estimate_norms(np.stack([image(n % 9)[None] for n in range(40)]), labels, GRID)
    tensors = norms.tensors
    assert tensors[NORMS].dtype == np.float16
    assert np.isfinite(tensors[NORMS]).all()
    again = TissueNorms.from_tensors(tensors)
    np.testing.assert_allclose(again.mean, norms.mean, atol=1e-3)
    np.testing.assert_allclose(again.labels, norms.labels, rtol=1e-6)
    assert TissueNorms.from_tensors({LABELS: tensors[LABELS]}) is None


def cohort(model, intensity):
    """Ten images of tissue values for a model of planes."""
    settings = model.info.input.model_copy(update={"intensity": intensity})
    images = np.full((10, len(settings.positions_mm), *settings.shape), 100, np.uint8)
    return settings, CohortArrays(
        images, np.full_like(images, 255), np.linspace(20, 80, 10),
        np.full((10, 4, 4), np.nan), np.ones(10), settings.positions_mm, (), None,
    )  # fmt: skip


def test_curves_are_added_to_a_model_file(model, tmp_path):
    settings, heads = cohort(model, "tissue")
    tissue = replace(model, info=model.info.model_copy(update={"input": settings}))
    again = load_model(add_norms(tissue, heads, tmp_path / "model.safetensors"))
    norms = TissueNorms.from_tensors(again.tensors)
    assert norms.mean.shape[1:] == (len(settings.positions_mm), int(np.prod(model.info.grid)), 3)
    np.testing.assert_allclose(norms.at(50, 1), [[0, 1, 0]] * int(np.prod(model.info.grid)))
    for name, value in model.tensors.items():
        np.testing.assert_array_equal(again.tensors[name], value)


def test_other_grey_values_have_no_curves(model, tmp_path):
    settings, heads = cohort(model, "robust")
    assert norms_of_training(settings, heads, model.info.grid) is None
    with pytest.raises(InputError, match="do not mean tissue"):
        add_norms(model, heads, tmp_path / "model.safetensors")
