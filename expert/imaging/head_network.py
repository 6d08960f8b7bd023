"""The network that finds the brain, its tissues and its pose in a head of any contrast.

A U-Net on a 4 mm grid. For each voxel it gives the fractions of fluid, grey and white matter, and
the place of the voxel in the template. See `expert.imaging.brain_finding` for its use.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn
from torch.nn import functional

from expert.imaging.template import DATA

WIDTHS = (8, 24, 40, 64)
"""Channels at 4, 8, 16 and 32 mm."""
COORDINATE_MM = 100.0
"""Template coordinates are divided by this in the network's output."""
FILE = "head_network.safetensors"


def _block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(inputs, outputs, 3, stride, 1, bias=False),
        nn.BatchNorm3d(outputs, momentum=0.02),
        nn.LeakyReLU(0.1),
    )


class HeadNetwork(nn.Module):
    """Tissues and template coordinates of a head.

    References
    ----------
    .. [1] Billot et al., "SynthSeg", Medical Image Analysis 2023 (training by painted heads).
    .. [2] Gopinath et al., "Registration by regression", 2024, arXiv:2404.16781 (coordinates).
    """

    def __init__(self) -> None:
        super().__init__()
        a, b, c, d = WIDTHS
        self.stem = _block(1, a)
        self.down1 = nn.Sequential(_block(a, b, 2), _block(b, b))
        self.down2 = nn.Sequential(_block(b, c, 2), _block(c, c))
        self.down3 = nn.Sequential(_block(c, d, 2), _block(d, d), _block(d, d))
        self.up3, self.up2 = nn.Conv3d(d, c, 1), nn.Conv3d(c, b, 1)
        self.join2, self.join1 = _block(c, c), _block(b, b)
        self.fine = nn.Conv3d(b, 8 * a, 1)  # eight voxels of 4 mm from one of 8 mm
        self.last = nn.Sequential(_block(2 * a, 2 * a), nn.Conv3d(2 * a, 4, 1))
        self.coordinates = nn.Conv3d(b + c, 3, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Tissue logits and coordinates.

        Parameters
        ----------
        image : (B, 1, x, y, z) Tensor
            4 mm, RAS; every size is a multiple of 8.

        Returns
        -------
        tissues : (B, 4, x, y, z) Tensor
            Logits of outside, fluid, grey and white.
        coordinates : (B, 3, x / 2, y / 2, z / 2) Tensor
            Template RAS mm / 100 of the centres of voxels of 8 mm.
        """
        one = self.stem(image)
        two = self.down1(one)
        three = self.down2(two)
        deep = self.down3(three)
        three = self.join2(three + _twice(self.up3(deep)))
        wide = _twice(three)
        two = self.join1(two + self.up2(wide))
        places = self.coordinates(torch.cat([two, wide], 1))
        fine = _shuffle(self.fine(two))
        return self.last(torch.cat([one, fine], 1)), places


def _twice(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="nearest")


def _shuffle(x: Tensor) -> Tensor:
    """(B, 8 C, x, y, z) to (B, C, 2 x, 2 y, 2 z)."""
    batch, channels, *size = x.shape
    parts = x.reshape(batch, channels // 8, 2, 2, 2, *size).permute(0, 1, 5, 2, 6, 3, 7, 4)
    return parts.reshape(batch, channels // 8, *(2 * n for n in size))


@functools.lru_cache(maxsize=1)
def load_head_network() -> HeadNetwork:
    """The trained network, from the package."""
    from safetensors.torch import load_file

    network = HeadNetwork()
    weights = {k: v.float() for k, v in load_file(DATA / FILE).items()}
    network.load_state_dict(weights, strict=False)  # without the numbers of batches seen
    return network.eval()
