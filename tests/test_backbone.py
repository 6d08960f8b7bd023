"""Tests of `expert.backbone`."""

from __future__ import annotations

import pytest
import torch

from expert.backbone import Members, make_backbone
from expert.model import PrototypeRegressor
from expert.schema import Architecture


@pytest.mark.parametrize("backbone", ["residual", "histogram"])
def test_joined_distances_are_the_root_of_the_mean_square(backbone):
    torch.manual_seed(0)
    settings = {
        "backbone": backbone,
        "widths": (8,),
        "pool": 4,
        "channels": 6,
        "prototypes": 2,
        "matching": "position",
    }
    single = [make_backbone(Architecture(**settings)).eval() for _ in range(3)]
    scales = [2.0, 5.0, 11.0]
    images = torch.rand(3, 1, 16, 32)
    grid = tuple(single[0](images).shape[2:])
    whole = PrototypeRegressor(Architecture(**settings, members=3), grid).eval()
    assert isinstance(whole.backbone, Members)
    with torch.inference_mode():
        whole.scale.fill_(whole.backbone.join(single, scales))
        whole.prototypes.copy_(whole.backbone(images[1:]))
        joined = whole.compare(
            whole.backbone(images[:1]).double(), whole.image_mass(torch.ones(1, 16, 32))
        )
        costs = []
        for network, scale in zip(single, scales, strict=True):
            grids = network(images).flatten(2)
            costs.append(scale * (grids[:1] - grids[1:]).norm(dim=1))
    assert whole.prototypes.shape == (2, 18, *grid)
    expected = torch.stack(costs).square().mean(0).sqrt()
    diagonal = whole.scale.detach() * joined.cost[0].diagonal(dim1=1, dim2=2)
    torch.testing.assert_close(diagonal.float(), expected, atol=1e-4, rtol=1e-4)


def test_a_mirrored_head_has_the_mirrored_features():
    """In the frame of its ellipse, which end of a head is the front is not known."""
    torch.manual_seed(0)
    settings = Architecture(ellipse=True, widths=(8, 16), shrink=2, channels=6, prototypes=2)
    backbone = make_backbone(settings).eval()
    image = torch.rand(1, 1, 80, 112)
    image[..., [0, -1], :] = image[..., [0, -1]] = 0.4
    with torch.inference_mode():
        features, other = backbone(image), backbone(image.flip(-2, -1))
        assert features.shape == (1, 6, 5, 7)
        torch.testing.assert_close(other, features.flip(-2, -1))
        larger = image.clone()
        larger[..., [0, -1], 1:-1] = 0.6
        assert (backbone(larger) - features).abs().max() > 1e-4  # the size is part of the features
