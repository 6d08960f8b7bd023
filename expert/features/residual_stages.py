"""Residual stages of an image network in two or three dimensions: `residual_stages`."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

STAGES = 4
"""Of the published network. All are made, as their initial weights are drawn one after the other:
the same seed gives the same weights, however many stages are used."""
BLOCKS = 2
"""Residual blocks of each stage."""


def residual_stages(dimensions: int, widths: Sequence[int]) -> nn.Sequential:
    """Make a residual network up to its last stage; with four stages of 64, 128, 256 and 512
    channels this is ResNet-18.

    The names of its layers and its initial weights are those of MONAI's ``ResNet``, with which
    models of earlier versions were made.

    Parameters
    ----------
    dimensions : int
        2 or 3.
    widths : sequence of int
        Channels of each stage, one to four.

    Returns
    -------
    torch.nn.Sequential
        From images (B, 1, *shape) to (B, widths[-1], *grid); each patch of the grid is 4 pixels
        wide after the first stage, and twice as wide after each further one.

    References
    ----------
    .. [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv:1512.03385.
    """  # noqa: D205
    convolution = nn.Conv2d if dimensions == 2 else nn.Conv3d
    norm = nn.BatchNorm2d if dimensions == 2 else nn.BatchNorm3d
    largest = nn.MaxPool2d if dimensions == 2 else nn.MaxPool3d
    full = [*widths, *[1] * (STAGES - len(widths))]
    network = nn.Sequential()
    stages = []
    network.add_module("conv1", convolution(1, full[0], 7, stride=2, padding=3, bias=False))
    network.add_module("bn1", norm(full[0]))
    network.add_module("act", nn.ReLU(inplace=True))
    network.add_module("maxpool", largest(3, stride=2, padding=1))
    before = full[0]
    for number, width in enumerate(full):
        blocks = []
        for block in range(BLOCKS):
            stride = 2 if number and not block else 1
            blocks.append(ResidualBlock(dimensions, before, width, stride))
            before = width
        stages.append(nn.Sequential(*blocks))
    for module in [*network.modules(), *[part for stage in stages for part in stage.modules()]]:
        if isinstance(module, convolution):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    for number in range(len(widths)):
        network.add_module(f"layer{number + 1}", stages[number])
    return network


class ResidualBlock(nn.Module):
    """Two 3-wide convolutions with batch normalisation, added to their input.

    Parameters
    ----------
    dimensions : int
        2 or 3.
    inputs, outputs : int
        Channels.
    stride : int
        Of the first convolution.
    """

    def __init__(self, dimensions: int, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        convolution = nn.Conv2d if dimensions == 2 else nn.Conv3d
        norm = nn.BatchNorm2d if dimensions == 2 else nn.BatchNorm3d
        downsample = None
        if stride != 1 or inputs != outputs:
            downsample = nn.Sequential(
                convolution(inputs, outputs, 1, stride=stride, bias=False), norm(outputs)
            )
        self.conv1 = convolution(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = norm(outputs)
        self.act = nn.ReLU(inplace=True)
        self.conv2 = convolution(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = norm(outputs)
        self.downsample = downsample

    def forward(self, images: Tensor) -> Tensor:
        """(B, outputs, *grid) features of (B, inputs, *grid)."""
        out = self.bn2(self.conv2(self.act(self.bn1(self.conv1(images)))))
        out = out + (images if self.downsample is None else self.downsample(images))
        activated: Tensor = self.act(out)
        return activated
