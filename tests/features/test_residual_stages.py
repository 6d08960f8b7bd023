"""Tests of `expert.features.residual_stages`."""

from __future__ import annotations

import pytest
import torch

from expert.features.residual_stages import ResidualBlock, residual_stages


@pytest.mark.parametrize(
    ("dimensions", "widths", "cells"), [(2, (8,), 16), (2, (8, 8, 16, 4), 2), (3, (4, 6), 8)]
)
def test_each_stage_halves_the_grid(dimensions, widths, cells):
    images = torch.zeros(2, 1, *[64] * dimensions)
    assert residual_stages(dimensions, widths)(images).shape == (
        2,
        widths[-1],
        *[cells] * dimensions,
    )


def test_layers_have_the_names_of_resnet_18():
    names = residual_stages(2, (64, 128, 256, 512)).state_dict()
    weights = {name: value for name, value in names.items() if "num_batches" not in name}
    sizes = [value.numel() for name, value in weights.items() if "running" not in name]
    assert sum(sizes) == 11170240  # of ResNet-18 for one channel, without the last layer
    assert names["layer3.0.downsample.0.weight"].shape == (256, 128, 1, 1)
    assert "layer1.0.downsample.0.weight" not in names
    assert {name.split(".")[0] for name in names} == {
        "conv1", "bn1", "layer1", "layer2", "layer3", "layer4",
    }  # fmt: skip


def test_fewer_stages_take_the_same_random_numbers():
    torch.manual_seed(3)
    short, after = residual_stages(2, (8, 12)).state_dict(), torch.rand(2)
    torch.manual_seed(3)
    whole, later = residual_stages(2, (8, 12, 1, 1)).state_dict(), torch.rand(2)
    assert torch.equal(after, later)
    assert short.keys() < whole.keys()


def test_a_block_without_weights_is_its_input():
    block = ResidualBlock(2, 3, 3, 1).eval()
    torch.nn.init.zeros_(block.conv2.weight)
    images = torch.randn(2, 3, 5, 5)
    torch.testing.assert_close(block(images), images.clamp_min(0))
