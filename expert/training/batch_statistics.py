"""Batch normalisation over the batch of all processes, on processors.

PyTorch's own synchronised batch normalisation needs a graphics card.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from expert.training.framework import lightning
from expert.training.processes import gathered


class _Shared(nn.modules.batchnorm._BatchNorm):
    """Mean and variance of a training batch are those of all processes; the state is the same."""

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def forward(self, own: Tensor) -> Tensor:
        """(B, C, *grid) normalised."""
        if not self.training:
            return super().forward(own)
        axes = [axis for axis in range(own.dim()) if axis != 1]
        values = own.to(torch.promote_types(own.dtype, torch.float32))
        variance, mean = torch.var_mean(values, axes, correction=0)
        size = torch.full_like(mean, values.numel() / values.shape[1])
        means, variances, sizes = gathered(torch.stack([mean, variance, size])).unbind(1)
        total = sizes.sum(0)
        mean = (means * sizes).sum(0) / total
        variance = ((variances + (means - mean) ** 2) * sizes).sum(0) / total
        with torch.no_grad():
            self.num_batches_tracked += 1
            unbiased = variance * total / (total - 1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(unbiased, self.momentum)
        one = (1, -1, *[1] * (own.dim() - 2))
        factor = self.weight * (variance + self.eps).rsqrt()
        normal = (values - mean.view(one)) * factor.view(one) + self.bias.view(one)
        return normal.to(own.dtype)


class _Shared2d(_Shared, nn.BatchNorm2d):
    pass


class _Shared3d(_Shared, nn.BatchNorm3d):
    pass


SHARED: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm2d: _Shared2d,
    nn.BatchNorm3d: _Shared3d,
}
"""Layers, and what they are while several processes train."""


class BatchStatistics(lightning.pytorch.plugins.LayerSync):
    """Makes the batch normalisation of a model that of all processes, and undoes it.

    The layers keep their weights and their names: only their class changes.
    """

    def apply(self, model: nn.Module) -> nn.Module:
        """Change the layers of a model."""
        for layer in model.modules():
            layer.__class__ = SHARED.get(type(layer), type(layer))
        return model

    def revert(self, model: nn.Module) -> nn.Module:
        """Change them back."""
        former = {shared: usual for usual, shared in SHARED.items()}
        for layer in model.modules():
            layer.__class__ = former.get(type(layer), type(layer))
        return model
