"""Heads of any blur are brought to one sharpness."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from expert.imaging.conforming import add_blur
from expert.imaging.preprocessing import prepare
from expert.imaging.registration import Registration
from expert.imaging.sharpness import brain_grid, missing_blur, sharpness
from expert.imaging.template import load_template
from expert.imaging.volume import Volume
from expert.schema import InputSettings

TARGET = 2.1


def image(blur: float = 0.0, contrast: float = 1.0, noise: float = 0.0) -> np.ndarray:
    """The template's head with fine structure, on the grid of the measurement."""
    affine, inner = brain_grid()
    template = load_template("t1")
    to_index = np.linalg.inv(template.affine) @ affine
    data = ndimage.affine_transform(
        template.data.astype(np.float32), to_index[:3, :3], to_index[:3, 3], inner.shape, order=1
    )
    fine = np.random.default_rng(0).standard_normal(inner.shape).astype(np.float32)
    data = data + 12 * ndimage.gaussian_filter(fine, 0.7) * (data > 0)
    data = ndimage.gaussian_filter(data, blur) if blur else data
    other = np.random.default_rng(1).standard_normal(inner.shape).astype(np.float32)
    return np.maximum(contrast * data + noise * other, 0)


def test_the_grid_is_inside_the_template():
    affine, inner = brain_grid()
    mask = load_template("mask")
    index = np.argwhere(inner) @ affine[:3, :3].T + affine[:3, 3]
    back = np.rint((index - mask.affine[:3, 3]) / 2).astype(int)
    assert (mask.data[tuple(back.T)] > 0).all()
    assert inner.sum() > 0.6 * (mask.data > 0).sum()


def test_blurred_images_are_less_sharp_whatever_their_contrast():
    _, inner = brain_grid()
    values = [sharpness(image(blur), inner) for blur in (0.0, 0.4, 0.7, 1.0)]
    assert sorted(values, reverse=True) == values
    assert values[0] > 1.2 * values[2]
    assert sharpness(image(0.4, contrast=30.0), inner) == pytest.approx(values[1], rel=1e-3)


def test_images_of_any_blur_get_the_same_sharpness():
    affine, inner = brain_grid()
    target = sharpness(image(1.0), inner)
    given = [missing_blur(image(blur), target) for blur in (0.0, 0.7, 0.9)]
    assert sorted(given, reverse=True) == given
    sharp = [
        sharpness(add_blur(Volume(image(blur), affine), more).data, inner)
        for blur, more in zip((0.0, 0.7, 0.9), given, strict=True)
    ]
    np.testing.assert_allclose(sharp, target, rtol=0.02)
    # What the sharpest one gets, the others had: 0.7 and 0.9 voxels of 2 mm.
    assert given[0] - given[1] == pytest.approx(4 * 0.7**2, abs=0.15)
    assert given[0] - given[2] == pytest.approx(4 * 0.9**2, abs=0.15)


def test_images_that_are_blurred_already_stay():
    _, inner = brain_grid()
    assert missing_blur(image(1.2), sharpness(image(1.0), inner)) == 0


def test_the_edge_of_a_cut_image_does_not_count():
    whole, _ = image(), brain_grid()
    target = sharpness(image(1.0), brain_grid()[1])
    cut = whole.copy()
    cut[:, :, -25:] = 0
    assert missing_blur(cut, target) == pytest.approx(missing_blur(whole, target), abs=0.8)
    assert missing_blur(np.zeros_like(whole), target) == 0


def test_a_blurred_head_is_prepared_as_the_sharp_one(registered_head):
    head, _, registration = registered_head
    settings = InputSettings(
        intensity="tissue", shape=(80, 96, 80), spacing_mm=2.0, center_mm=(3.0, -17.0, 0.0)
    )
    place = Registration.known(registration.template_to_subject)
    sigma = 1.0 / np.array(head.spacing)  # mm
    blurred = Volume(ndimage.gaussian_filter(np.asarray(head.data, np.float32), sigma), head.affine)
    gaps = {}
    for target in (0.0, TARGET):
        chosen = settings.model_copy(update={"blur_mm": 1.4, "sharpness": target})
        sharp, soft = (
            prepare(one, chosen, registration=place).images.astype(float) for one in (head, blurred)
        )
        inside = (sharp > 0) & (soft > 0)
        gaps[target] = np.abs(sharp - soft)[inside].mean()
    assert gaps[TARGET] < 0.6 * gaps[0.0]
