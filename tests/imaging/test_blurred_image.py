"""An extracted brain is not mixed with the black around it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from expert.imaging.blurred_image import BlurredImage, sample
from expert.imaging.brain import brain_mask
from expert.imaging.brain_finding import find_brain


@pytest.fixture(scope="module")
def extracted(registered_head):
    """The head, its brain, and the mask of the latter."""
    head, _, registration = registered_head
    mask = brain_mask(head, registration) > 0
    return head, replace(head, data=np.where(mask, head.data, 0)), mask


def on_grid(image: BlurredImage, like) -> np.ndarray:
    """Grey values of an image at the voxels of a volume."""
    world = like.affine[:3, :3] @ np.indices(like.shape).reshape(3, -1) + like.affine[:3, 3:]
    return image.at(world, np.eye(4)).reshape(like.shape)


def test_the_edge_of_an_extracted_brain_is_not_darker(extracted):
    head, brain, mask = extracted
    whole = BlurredImage.of(head, find_brain(head), 1.4)
    cut = BlurredImage.of(brain, find_brain(brain), 1.4)
    assert whole.weight is None
    assert cut.weight is not None
    edge = mask & ~ndimage.binary_erosion(mask, iterations=1)
    values = on_grid(cut, brain)
    own = np.asarray(brain.data, float)
    mixed = ndimage.gaussian_filter(own, 1.4 / np.array(brain.spacing))
    seen = edge & (values > 0)
    assert seen.sum() > 0.9 * edge.sum()
    assert abs(values[seen].mean() / own[seen].mean() - 1) < 0.2
    assert mixed[seen].mean() < 0.85 * values[seen].mean()
    assert not values[~ndimage.binary_dilation(mask, iterations=2)].any()


def test_dark_fluid_inside_an_extracted_brain_counts(extracted):
    _, brain, mask = extracted
    core = ndimage.binary_erosion(mask, iterations=8)
    places = np.argwhere(core)
    hole = np.zeros_like(mask)
    middle = places.mean(axis=0).astype(int)
    hole[tuple(slice(m - 6, m + 7) for m in middle)] = True
    dark = replace(brain, data=np.where(hole, 0, brain.data))
    image = BlurredImage.of(dark, find_brain(brain), 1.4)
    values = on_grid(image, dark)
    assert values[tuple(middle)] < 0.02 * np.median(np.asarray(brain.data)[core])


def test_a_sharper_image_is_blurred_and_a_blurred_one_stays(extracted, registered_head):
    matrix = registered_head[2].template_to_subject
    for volume in extracted[:2]:
        image = BlurredImage.of(volume, find_brain(volume), 1.4)
        softer = image.blurred_to(1.5, matrix)
        assert softer is not image
        assert softer.volume.data.std() < image.volume.data.std()
        assert softer.blurred_to(1.6, matrix) is softer
        assert (softer.weight is None) == (image.weight is None)


def test_without_a_blur_the_image_is_interpolated_linearly(extracted):
    image = BlurredImage.of(extracted[1], find_brain(extracted[1]), 0.0)
    assert image.order == 1
    assert image.weight is None
    np.testing.assert_array_equal(image.splines, image.volume.data)


def test_sample():
    data = np.arange(24.0).reshape(2, 3, 4)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    points = np.array([[0, 2.0, 1.0], [0, 4.0, 2.0], [0, 6.0, 3.0]])
    np.testing.assert_allclose(sample(data, affine, np.eye(4), points), [0, 23, 11.5])
    assert sample(data, affine, np.eye(4), points - 100).tolist() == [0, 0, 0]
