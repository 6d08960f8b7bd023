"""Tissues get the same values whatever the scanner."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from expert.errors import InputError
from expert.imaging.tissue_values import CONTRAST, WHITE, TissueHead, fit_tissue_scale


def brain(seed: int = 0, bias: float = 0.0, noise: float = 0.0, gain: float = 1.0):
    """Values, priors, places and true tissue values of 6000 voxels."""
    generator = np.random.default_rng(seed)
    points = generator.uniform(-70, 70, (3, 6000))
    kind = generator.choice(3, 6000, p=[0.15, 0.45, 0.4])
    level = np.array([0.2, 0.6, 1.0])[kind]
    field = np.exp(bias * np.sin(points[0] / 60) + bias * points[2] / 90)
    values = gain * (level * field + noise * generator.standard_normal(6000))
    priors = np.full((3, 6000), 0.15)
    priors[kind, np.arange(6000)] = 0.7
    wrong = generator.random(6000) < 0.1
    priors[:, wrong] = generator.permutation(priors[:, wrong])
    return values, priors, points, np.array([0.0, 0.5, 1.0])[kind]


@pytest.mark.parametrize("bias", [0.0, 0.3])
@pytest.mark.parametrize("gain", [1.0, 1000.0])
def test_tissues_are_found_under_a_bias_field(bias, gain):
    values, priors, points, truth = brain(1, bias, 0.02, gain)
    scale = fit_tissue_scale(values, priors, points)
    found = scale.tissue_values(values, points)
    assert np.abs(found - truth).mean() < 0.06
    fluid, grey, white = scale.means / gain
    assert (white - grey) / white == pytest.approx(0.4, abs=0.05)
    assert fluid < grey


def test_a_bias_field_that_is_not_corrected_would_be_seen():
    values, priors, points, truth = brain(1, 0.3, 0.02)
    scale = fit_tissue_scale(values, priors, points)
    flat = replace(scale, coefficients=np.zeros_like(scale.coefficients))
    assert np.abs(flat.tissue_values(values, points) - truth).mean() > 0.1


def test_constant_values_are_refused():
    _, priors, points, _ = brain()
    with pytest.raises(InputError, match="constant"):
        fit_tissue_scale(np.ones(6000), priors, points)


def test_image_of_a_head(registered_head):
    head, _, found = registered_head
    tissue = TissueHead.of(head, found)
    assert tissue.refusal == ""
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = (-79, -112, -79)
    image, content = tissue.view(affine, (80, 96, 80))
    assert image.dtype == content.dtype == np.uint8
    assert ((image > 0) <= (content >= 127)).all()
    inside = image[content == 255]
    fluid, grey, white = (
        (inside < 60).mean(),
        (np.abs(inside - 100.0) < 40).mean(),
        (inside > 150).mean(),
    )
    assert fluid > 0.02
    assert grey > 0.25
    assert white > 0.25
    assert abs(np.median(inside[inside > 150]) - WHITE) < 20


def test_other_grey_values_give_the_same_tissues(registered_head):
    head, _, found = registered_head
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    affine[:3, 3] = (-78, -112, -60)
    first, content = TissueHead.of(head, found).view(affine, (40, 48, 32))
    data = np.asarray(head.data, np.float32)
    data = 3000 * (data / data.max()) ** 1.3 + 40
    other, _ = TissueHead.of(replace(head, data=data), replace(found, found=None)).view(
        affine, (40, 48, 32)
    )
    inside = content == 255
    off = np.abs(first[inside].astype(float) - other[inside]) / WHITE
    assert off.mean() < 0.06


def test_inverted_contrast_is_refused(registered_head):
    head, _, found = registered_head
    data = np.asarray(head.data, np.float32)
    inverted = np.where(data > 0.05 * data.max(), 1.1 * data.max() - data, 0)
    tissue = TissueHead.of(replace(head, data=inverted), found)
    assert "not a T1-weighted image" in tissue.refusal
    assert tissue.contrast < CONTRAST < TissueHead.of(head, found).contrast
