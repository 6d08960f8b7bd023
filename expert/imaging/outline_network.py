"""The network that finds the outline of the fetal head in an ultrasound image.

A small U-Net on a square of 96 pixels. For each pixel it gives the probability that it is inside
the head. See `expert.imaging.head_outline` for its use.
"""

from __future__ import annotations

import functools

from torch import Tensor, nn
from torch.nn import functional

from expert.imaging.template import DATA

SIZE = 96
"""Rows and columns of the input."""
WIDTHS = (16, 32, 48, 64)
"""Channels at a half, a quarter, an eighth and a sixteenth of the resolution."""
FILE = "outline_network.safetensors"


def _block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
        nn.BatchNorm2d(outputs, momentum=0.05),
        nn.LeakyReLU(0.1),
    )


class OutlineNetwork(nn.Module):
    """Inside and outside of a fetal head.

    References
    ----------
    .. [1] Ronneberger et al., "U-Net", MICCAI 2015, arXiv:1505.04597.
    """

    def __init__(self) -> None:
        super().__init__()
        a, b, c, d = WIDTHS
        self.down1 = nn.Sequential(_block(1, a, 2), _block(a, a))
        self.down2 = nn.Sequential(_block(a, b, 2), _block(b, b))
        self.down3 = nn.Sequential(_block(b, c, 2), _block(c, c))
        self.down4 = nn.Sequential(_block(c, d, 2), _block(d, d), _block(d, d))
        self.up4, self.up3, self.up2 = nn.Conv2d(d, c, 1), nn.Conv2d(c, b, 1), nn.Conv2d(b, a, 1)
        self.join3, self.join2, self.join1 = _block(c, c), _block(b, b), _block(a, a)
        self.fine = nn.Conv2d(a, 4, 3, 1, 1)  # four pixels from one of half the resolution

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, 1, n, n) of images (B, 1, n, n), 0 to 1; n is a multiple of 16."""
        one = self.down1(images)
        two = self.down2(one)
        three = self.down3(two)
        three = self.join3(three + _twice(self.up4(self.down4(three))))
        two = self.join2(two + _twice(self.up3(three)))
        one = self.join1(one + _twice(self.up2(two)))
        return functional.pixel_shuffle(self.fine(one), 2)


def _twice(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


@functools.lru_cache(maxsize=1)
def load_outline_network() -> OutlineNetwork:
    """The trained network, from the package."""
    return read_outline_network(str(DATA / FILE))


def read_outline_network(path: str) -> OutlineNetwork:
    """A trained network from a safetensors file."""
    from safetensors.torch import load_file

    network = OutlineNetwork()
    weights = {name: value.float() for name, value in load_file(path).items()}
    network.load_state_dict(weights, strict=False)  # without the numbers of batches seen
    return network.eval()
