"""The backbone of grey-value histograms: each patch alone."""

from __future__ import annotations

import pytest
import torch

from expert.evaluation.deletion import receptive_field
from expert.features.histogram_backbone import LEAST_SPREAD, HistogramBackbone
from expert.schema import Architecture, InputSettings


def backbone(dimensions: int = 3, **changes: object) -> HistogramBackbone:
    torch.manual_seed(0)
    settings = {
        "backbone": "histogram",
        "dimensions": dimensions,
        "widths": (8,),
        "pool": 4,
        "channels": 6,
        "bins": 5,
    }
    return HistogramBackbone(Architecture(**(settings | changes))).eval()


def test_a_cell_counts_its_own_grey_values():
    image = torch.zeros(1, 1, 8, 4)
    image[0, 0, :4] = 0.25  # the first cell is one value, on a bin's middle
    image[0, 0, 4:, :2] = 0.625  # the second is half empty, its value between two bins
    front = backbone(2).soft_histogram(image)[0]
    assert front.shape == (6, 2, 1)
    shares = front[:5] * (front[5:] + 0.02) / 5**0.5
    torch.testing.assert_close(shares[:, 0, 0], torch.tensor([0, 1.0, 0, 0, 0]))
    torch.testing.assert_close(shares[:, 1, 0], torch.tensor([0, 0, 0.25, 0.25, 0]))
    torch.testing.assert_close(front[5, :, 0], torch.tensor([1.0, 0.5]))


@pytest.mark.parametrize("dimensions", [2, 3])
def test_nothing_outside_a_box_matters_to_its_cell(dimensions):
    network = backbone(dimensions)
    image = torch.rand(1, 1, *[8] * dimensions)
    other = torch.rand(1, 1, *[8] * dimensions)
    inside = (0, 0, *[slice(4, 8)] * dimensions)
    other[inside] = (
        image[inside].flatten()[torch.randperm(4**dimensions)].reshape(image[inside].shape)
    )
    with torch.inference_mode():
        here, there = network(image), network(other)
    last = (0, slice(None), *[1] * dimensions)
    torch.testing.assert_close(here[last], there[last])
    assert not torch.allclose(here, there)
    assert receptive_field(Architecture(backbone="histogram", pool=4)) == 4


def test_counting_once_is_counting_anew():
    network = backbone()
    image = torch.rand(2, 1, 8, 8, 12)
    with torch.inference_mode():
        front = network.soft_histogram(image)
        torch.testing.assert_close(network(front), network(image))
        torch.testing.assert_close(network.pooled(front), network.pooled(image))
        torch.testing.assert_close(network.soft_histogram(image.flip(-1)), front.flip(-1))


def test_each_patch_has_a_linear_map_of_its_own():
    network = backbone(2, widths=(), places=(4, 8))
    images = torch.rand(2, 1, 16, 32)
    with torch.no_grad():
        before = network(images)
        network.features.places.weight[:, :, 1, 2] += 1.0
        changed = (network(images) - before).abs().amax(dim=(0, 1)) > 0
        one, other = network.soft_histogram(images)[:, None]
        between = network.trunk((one + other) / 2)
        torch.testing.assert_close(between, (network.trunk(one) + network.trunk(other)) / 2)
    assert changed[1, 2]
    assert changed.sum() == 1


def test_the_maps_see_standardised_histograms():
    network = backbone(2, widths=(), places=(4, 8))
    histograms = network.soft_histogram(torch.rand(50, 1, 16, 32) * torch.rand(50, 1, 1, 1))
    maps = network.features.places
    maps.standardise(histograms)
    standard = (histograms - maps.mean) / maps.spread
    torch.testing.assert_close(standard.mean(0), torch.zeros_like(maps.mean), atol=1e-4, rtol=0)
    spread = standard.std(0)[histograms.std(0) > LEAST_SPREAD]
    torch.testing.assert_close(spread, torch.ones_like(spread))
    assert maps.spread.min() >= LEAST_SPREAD  # the content is the same in every image


def test_places_must_fit_the_grid():
    settings = InputSettings(space="image", shape=(16, 32), center_mm=(0.0, 0.0))
    document = {"backbone": "histogram", "widths": (), "pool": 4, "places": (4, 8)}
    assert Architecture(**document).problem(settings) == ""
    wrong = Architecture(**document | {"places": (4, 4)})
    assert wrong.problem(settings) == "places must be the grid, (4, 8)"
    for wrong in ({"widths": (8,)}, {"backbone": "residual"}, {"places": ()}):
        with pytest.raises(ValueError, match="either widths or, with histograms, places"):
            Architecture(**document | wrong)
