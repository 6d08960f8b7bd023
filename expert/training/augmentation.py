"""Random changes of a batch of training images, from PyTorch's global random generator."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from expert.training.recipe import Augmentation
from expert.transport import grid_indices


def augment(
    images: Tensor, content: Tensor, settings: Augmentation, flip: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Rotate, scale, shift and mirror a batch and change its grey values; see `moved`."""
    return moved(images, content, settings, flip)[:2]


def moved(
    images: Tensor, content: Tensor, settings: Augmentation, flip: float = 0.0
) -> tuple[Tensor, Tensor, Tensor]:
    """Rotate, scale, shift and mirror a batch, change its grey values, and return the transforms.

    Parameters
    ----------
    images : Tensor
        (B, 1, *shape), 0 to 1.
    content : Tensor
        (B, *shape), 0 to 1; moves with the image, its values stay.
    settings : Augmentation
        Amounts.
    flip : float
        Probability of mirroring along the last axis.

    Returns
    -------
    images, content : Tensor
        Of the same shapes.
    theta : Tensor
        (B, axes, axes + 1), as `torch.nn.functional.affine_grid` takes it: from positions in the
        new image to positions in the old one.
    """
    batch, axes = images.shape[0], images.dim() - 2

    def uniform(*size: int) -> Tensor:
        return 2 * torch.rand(*size, device=images.device) - 1

    matrix = torch.eye(axes, device=images.device).repeat(batch, 1, 1)
    size = torch.tensor(images.shape[2:], dtype=images.dtype, device=images.device).flip(0)
    for first in range(axes):
        for second in range(first + 1, axes):
            angle = uniform(batch) * math.radians(settings.rotation_deg)
            turn = torch.eye(axes, device=images.device).repeat(batch, 1, 1)
            turn[:, first, first] = turn[:, second, second] = angle.cos()
            # Grid coordinates run from -1 to 1 on every axis: a rigid rotation depends on the
            # image's proportions.
            turn[:, first, second] = -angle.sin() * size[second] / size[first]
            turn[:, second, first] = angle.sin() * size[first] / size[second]
            matrix = matrix @ turn
    matrix = matrix * (1 + settings.scale * uniform(batch, 1, axes))
    mirrored = torch.rand(batch, device=images.device) < flip
    matrix[:, :, 0] = torch.where(mirrored[:, None], -matrix[:, :, 0], matrix[:, :, 0])
    shift = 2 * settings.shift * uniform(batch, axes, 1)
    theta = torch.cat([matrix, shift], dim=2)

    both = torch.cat([images, content[:, None]], dim=1)
    grid = functional.affine_grid(theta, list(both.shape), align_corners=False)
    both = functional.grid_sample(both, grid, align_corners=False)
    images, content = both[:, :1], both[:, 1]

    one = (batch, *[1] * (axes + 1))
    if settings.gamma:
        images = images.clamp(0, 1).pow(torch.exp(settings.gamma * uniform(*one)))
    if settings.bias:
        coarse = uniform(batch, 1, *[3] * axes)
        mode = "bilinear" if axes == 2 else "trilinear"
        field = functional.interpolate(coarse, size=images.shape[2:], mode=mode, align_corners=True)
        images = images * torch.exp(settings.bias * field)
    if settings.noise:
        amount = settings.noise * torch.rand(one, device=images.device)
        images = images + amount * torch.randn_like(images) * content[:, None]
    return images.clamp(0, 1), content, theta


def new_places(theta: Tensor, grid: tuple[int, ...]) -> Tensor:
    """Positions of the patches of a feature grid after an augmentation.

    Parameters
    ----------
    theta : Tensor
        (B, axes, axes + 1) from `moved`.
    grid : tuple of int
        Patches per axis; M in all.

    Returns
    -------
    Tensor
        (B, M, axes) in patches of the new grid; the centre of the first patch is 0.
    """
    sizes = torch.tensor(grid, dtype=theta.dtype, device=theta.device)
    patches = grid_indices(grid, theta)
    # PyTorch's grid coordinates: last axis first, from -1 to 1.
    old = (2 * (patches + 0.5) / sizes - 1).flip(-1)
    new: Tensor = torch.linalg.solve(
        theta[:, :, :-1], (old[None] - theta[:, None, :, -1]).transpose(1, 2)
    ).transpose(1, 2)
    return (new.flip(-1) + 1) / 2 * sizes - 0.5
