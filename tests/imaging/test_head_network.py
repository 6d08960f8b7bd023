"""The network that finds the brain: shapes, size, and what it may depend on."""

from __future__ import annotations

import torch

from expert.imaging.head_network import FILE, HeadNetwork, load_head_network
from expert.imaging.template import DATA


def test_shapes():
    network = HeadNetwork().eval()
    with torch.inference_mode():
        tissues, places = network(torch.rand(2, 1, 32, 40, 24))
    assert tissues.shape == (2, 4, 32, 40, 24)
    assert places.shape == (2, 3, 16, 20, 12)


def test_the_trained_network_is_small():
    assert (DATA / FILE).stat().st_size <= 1_000_000
    network = load_head_network()
    assert not network.training
    assert network is load_head_network()
