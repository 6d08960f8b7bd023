"""Tests of `expert.training.batch_statistics`, with real processes."""

from __future__ import annotations

import torch
from helpers.processes import run_group
from torch import nn

from expert.features.residual_stages import residual_stages
from expert.training.batch_statistics import BatchStatistics

CODE = """
from torch import nn
from expert.training.batch_statistics import BatchStatistics
from expert.training.processes import Share, summed
torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
for layer, batch in ((nn.BatchNorm2d(3), torch.randn(5, 3, 4, 2)),
                     (nn.BatchNorm3d(2), torch.randn(4, 2, 3, 2, 2))):
    layer.weight.data.uniform_(), layer.bias.data.uniform_()
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    wanted = layer(batch)
    (wanted.tanh() * torch.arange(wanted.numel()).view_as(wanted)).sum().backward()
    state = {name: value.clone() for name, value in layer.state_dict().items()}
    gradients = [one.grad for one in layer.parameters()]
    layer.load_state_dict(before)
    layer.zero_grad()
    BatchStatistics().apply(layer)
    share = Share(len(batch))
    found = layer(share.own(batch))
    torch.testing.assert_close(found, share.own(wanted))
    factor = share.own(torch.arange(wanted.numel()).view_as(wanted))
    (found.tanh() * factor).sum().backward()
    for one, gradient in zip(layer.parameters(), gradients):
        torch.testing.assert_close(summed(one.grad), gradient)
    for name, value in layer.state_dict().items():
        torch.testing.assert_close(value, state[name])
    torch.testing.assert_close(layer.eval()(batch), BatchStatistics().revert(layer)(batch))
"""


def test_statistics_are_those_of_the_whole_batch():
    run_group(CODE, 2)


def test_layers_change_back():
    network = nn.Sequential(residual_stages(2, (4,)), nn.Flatten())
    kinds = [type(layer) for layer in network.modules()]
    names = network.state_dict().keys()
    changed = BatchStatistics().apply(network)
    assert [type(layer) for layer in changed.modules()] != kinds
    assert changed.state_dict().keys() == names
    assert [type(layer) for layer in BatchStatistics().revert(network).modules()] == kinds
    assert network.train()(torch.randn(2, 1, 16, 16)).shape == (2, 64)
