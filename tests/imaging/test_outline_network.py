"""The network that finds a fetal head: shape and size."""

from __future__ import annotations

import torch

from expert.imaging.outline_network import FILE, OutlineNetwork, load_outline_network
from expert.imaging.template import DATA


def test_shapes():
    with torch.inference_mode():
        assert OutlineNetwork().eval()(torch.rand(2, 1, 96, 96)).shape == (2, 1, 96, 96)


def test_the_trained_network_is_small():
    assert (DATA / FILE).stat().st_size <= 1_000_000
    network = load_outline_network()
    assert not network.training
    assert network is load_outline_network()
