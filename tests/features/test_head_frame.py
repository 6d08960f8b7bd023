"""The size of a head travels in the outermost pixels of its image."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from expert.features.head_frame import (
    LARGEST_MM,
    MIDDLE_MM,
    STEP_MM,
    circumference_of,
    keep_rim,
    place_name,
    read_rim,
    with_rim,
    without_rim,
)

IMAGE = np.random.default_rng(0).integers(0, 256, (16, 24)).astype(np.uint8)


@pytest.mark.parametrize("circumference", [44.3, 183.0, 331.7, 449.9])
def test_the_circumference_is_read_again(circumference):
    image = with_rim(IMAGE, circumference)
    assert circumference_of(image) == pytest.approx(circumference, abs=0.01)
    assert circumference_of(image[::-1, ::-1]) == circumference_of(image)
    assert np.array_equal(image[1:-1, 1:-1], IMAGE[1:-1, 1:-1])
    inner, size = read_rim(torch.from_numpy(image)[None, None].float() / 255)
    expected = (circumference - MIDDLE_MM) / STEP_MM
    assert size.tolist()[0] == pytest.approx([expected, expected**2 / 3], abs=1e-3)
    assert not inner[0, 0, 0].any()
    assert inner[0, 0, 3, 4] * 255 == pytest.approx(float(IMAGE[3, 4]))


def test_a_size_beyond_the_range_is_the_largest():
    assert circumference_of(with_rim(IMAGE, 1830.0)) == pytest.approx(LARGEST_MM, abs=0.01)


def test_changes_keep_the_rim():
    before = torch.rand(2, 1, 16, 24)
    changed = keep_rim(torch.zeros_like(before), before)
    assert not changed[..., 1:-1, 1:-1].any()
    assert torch.equal(changed[..., 0, :], before[..., 0, :])
    assert not without_rim(with_rim(IMAGE, 200))[[0, -1]].any()


def test_places_are_named_from_the_centre():
    names = {place_name(r, c, (80, 112)) for r in range(8, 80, 16) for c in range(8, 112, 16)}
    assert len(names) == 35  # each patch of the grid has its own
    assert place_name(39.5, 55.5, (80, 112)) == "midline, centre"
    assert place_name(7.5, 7.5, (80, 112)) == "upper skull, left end"
    assert place_name(71.5, 71.5, (80, 112)) == "lower skull, right of centre"
