"""Weights of patches by what each predicts alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from expert.features.patch_weights import LEAST, patch_weights


def histograms(labels, copies=3, channels=2):
    """(N, copies, channels, 2, 2): patch 0 is the label, patch 1 has noise, others are noise."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(len(labels), copies, channels, 2, 2, generator=generator)
    known = torch.from_numpy(labels).float()[:, None]
    values[:, :, 0, 0, 0] = known
    values[:, :, 0, 0, 1] = known + known.std() * values[:, :, 0, 0, 1]
    return values


def test_a_patch_counts_by_what_it_predicts():
    labels = np.random.default_rng(1).uniform(20, 80, 60)
    weights = patch_weights(histograms(labels), labels, np.arange(60))
    assert weights.shape == (2, 2)
    assert weights[0, 0] == pytest.approx(LEAST + 1, abs=0.05)
    assert weights[0, 1] == pytest.approx(LEAST + 0.5, abs=0.15)
    assert weights[1].max() < LEAST + 0.05


def test_the_same_subject_on_both_sides_would_count_as_knowledge():
    labels = np.repeat(np.random.default_rng(1).uniform(20, 80, 30), 2)
    values = histograms(labels, copies=1, channels=200)
    values[1::2, :, :, 1] = values[::2, :, :, 1]  # noise that belongs to the person
    alone = patch_weights(values, labels, np.repeat(np.arange(30), 2))
    leaked = patch_weights(values, labels, np.arange(60))
    assert (alone[1] == LEAST).all()
    assert leaked[1].min() > LEAST


def test_too_few_subjects_have_equal_weights():
    labels = np.arange(3.0)
    assert (patch_weights(histograms(labels), labels, np.arange(3)) == LEAST).all()
