"""Image to feature grid: a residual network cut after any stage, in two or three dimensions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from expert.schema import Architecture

OUTSIDE = 1e-6
"""Grey values up to this are outside of the content and are not counted."""
LITTLE = 0.02
"""Added to a cell's content before its histogram is made one of shares: a cell with a few voxels
has none worth trusting."""


def make_backbone(architecture: Architecture) -> Backbone | HistogramBackbone | Members:
    """The network from image to feature grid that an architecture asks for."""
    return Members(architecture) if architecture.joined else one_backbone(architecture)


def one_backbone(architecture: Architecture) -> Backbone | HistogramBackbone:
    """A single member of an architecture."""
    return (
        HistogramBackbone(architecture)
        if architecture.backbone == "histogram"
        else Backbone(architecture)
    )


class Backbone(nn.Module):
    """ResNet stages (two basic blocks each), optional pooling, and the two 1×1 convolutions of
    ExPeRT.

    The residual stages are MONAI's (He et al., CVPR 2016); with four stages of 64, 128, 256, 512
    channels this is ResNet-18. Fewer stages with pooling keep the same grid with a smaller
    receptive field.

    Parameters
    ----------
    architecture : Architecture
        Dimensions, shrink, widths, pool, channels and mirrored are used.

    References
    ----------
    .. [1] Hesse et al., "Prototype Learning for Explainable Brain Age Prediction", WACV 2024,
           arXiv:2306.09858 (ResNet-18 → 1×1 conv → ReLU → 1×1 conv → sigmoid).
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        # Half-width arithmetic of the residual stages while training: twice the speed on recent
        # CPUs; never at inference.
        self.mixed_precision = False
        self.mirrored = [2 + axis for axis in architecture.mirrored]
        from monai.networks.nets.resnet import ResNet

        widths = list(architecture.widths)
        stages = len(widths)
        full = widths + [1] * (
            4 - stages
        )  # MONAI builds four stages; those beyond the cut are dropped below
        network = ResNet(
            "basic",
            [2, 2, 2, 2],
            full,
            spatial_dims=architecture.dimensions,
            n_input_channels=1,
            conv1_t_stride=2,
            feed_forward=False,
            bias_downsample=False,
        )
        convolution = nn.Conv2d if architecture.dimensions == 2 else nn.Conv3d
        pooling = nn.AvgPool2d if architecture.dimensions == 2 else nn.AvgPool3d
        self.features = nn.Sequential()
        if architecture.shrink > 1:
            self.features.add_module("shrink", pooling(architecture.shrink))
        for name in ("conv1", "bn1", "act", "maxpool", *[f"layer{n + 1}" for n in range(stages)]):
            self.features.add_module(name, getattr(network, name))
        if architecture.pool > 1:
            self.features.add_module("pool", pooling(architecture.pool))
        if architecture.dimensions == 2:
            # A quarter faster on the CPU.
            self.features.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.add_on_layers = nn.Sequential(
            convolution(widths[-1], architecture.channels, 1),
            nn.ReLU(),
            convolution(architecture.channels, architecture.channels, 1),
            nn.Sigmoid(),
        )
        for layer in (self.add_on_layers[0], self.add_on_layers[2]):
            for name, parameter in layer.named_parameters():
                if name == "weight":
                    nn.init.kaiming_normal_(parameter, mode="fan_out", nonlinearity="relu")
                else:
                    nn.init.zeros_(parameter)

    def trunk(self, images: Tensor) -> Tensor:
        """(B, 1, *shape) in [0, 1] to (B, widths[-1], *grid): what a plain regression head would
        see."""
        if self.mirrored:  # read from the far end, given back as the image lies
            images = images.flip(self.mirrored)
        if self.mixed_precision and self.training:
            with torch.autocast(images.device.type, torch.bfloat16):
                out: Tensor = self.features(images)
            out = out.float()
        else:
            out = self.features(images)
        return out.flip(self.mirrored) if self.mirrored else out

    def pooled(self, images: Tensor) -> Tensor:
        """(B, widths[-1]) mean over the cells: what a plain regression head sees."""
        return self.trunk(images).flatten(2).mean(2)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 1, *shape) in [0, 1] to (B, C, *grid) in (0, 1)."""
        out: Tensor = self.add_on_layers(self.trunk(images))
        return out


class HistogramBackbone(nn.Module):
    """Soft histogram of each cell, a small network of each cell's own, and the two 1×1 convolutions
    of ExPeRT.

    Not part of the published method. The grey values of a view are counted into `bins` overlapping
    (triangular) bins in boxes of `pool` input cells per axis; `widths` are the hidden units of the
    network that reads a cell's histogram.

    Parameters
    ----------
    architecture : Architecture
        Dimensions, widths, pool, bins, channels and mirrored are used.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.mixed_precision = False
        self.mirrored = [2 + axis for axis in architecture.mirrored]
        self.cell, self.bins = architecture.pool, architecture.bins
        convolution = nn.Conv2d if architecture.dimensions == 2 else nn.Conv3d
        self.features = nn.Sequential()
        inputs = self.bins + 1
        for number, width in enumerate(architecture.widths):
            self.features.add_module(f"conv{number}", convolution(inputs, width, 1))
            self.features.add_module(f"act{number}", nn.ReLU())
            inputs = width
        self.add_on_layers = nn.Sequential(
            convolution(inputs, architecture.channels, 1),
            nn.ReLU(),
            convolution(architecture.channels, architecture.channels, 1),
            nn.Sigmoid(),
        )

    def front(self, images: Tensor) -> Tensor:
        """Count: has no weights, so that it can be done once for all epochs.

        Parameters
        ----------
        images : (B, 1, *shape) Tensor
            0 to 1, 0 outside of the content; or what this returned, which is returned again.

        Returns
        -------
        (B, bins + 1, *grid) Tensor
            Shares of the grey values in each cell (times the root of `bins`), and its content, 0 to
            1.
        """
        if images.shape[1] != 1:
            return images
        if self.mirrored:
            images = images.flip(self.mirrored)
        grid = [n // self.cell for n in images.shape[2:]]
        # Cells before voxels: (B, *grid, *box), then (B * M, voxels).
        split = [part for n in grid for part in (n, self.cell)]
        axes = len(grid)
        order = [0, *range(1, 2 * axes, 2), *range(2, 2 * axes + 1, 2)]
        values = (
            images[:, 0].reshape(len(images), *split).permute(order).reshape(-1, self.cell**axes)
        )
        inside = (values > OUTSIDE).to(values.dtype)
        place = values.clamp(0, 1) * (self.bins - 1)
        low = place.floor().clamp(max=self.bins - 2)
        upper = (place - low) * inside
        counts = values.new_zeros(len(values), self.bins)
        counts.scatter_add_(1, low.long(), inside - upper)
        counts.scatter_add_(1, low.long() + 1, upper)
        counts = counts / values.shape[1]
        content = counts.sum(1, keepdim=True)
        told = torch.cat([counts / (content + LITTLE) * self.bins**0.5, content], 1)
        return told.reshape(len(images), *grid, self.bins + 1).movedim(-1, 1)

    def trunk(self, images: Tensor) -> Tensor:
        """(B, 1, *shape) images, or their `front`, to (B, widths[-1], *grid)."""
        out: Tensor = self.features(self.front(images))
        return out.flip(self.mirrored) if self.mirrored else out

    def pooled(self, images: Tensor) -> Tensor:
        """(B, widths[-1]) mean over the cells by their content: what a plain regression head
        sees."""
        front = self.front(images)
        content = front[:, -1:].flatten(2)
        share = content / content.sum(-1, keepdim=True).clamp_min(1e-6)
        out: Tensor = (self.trunk(front).flatten(2) * share).sum(-1)
        return out

    def forward(self, images: Tensor) -> Tensor:
        """(B, 1, *shape) images, or their `front`, to (B, C, *grid) in (0, 1)."""
        out: Tensor = self.add_on_layers(self.trunk(images))
        return out


class Members(nn.Module):
    """Backbones that were trained one by one, side by side: each patch has the channels of all.

    Not part of the published method. A patch's distance becomes the root of the members' mean
    squared distances, in label units: what one training saw by chance weighs less, and all that is
    built on distances (plans, shares, evidence) stays.

    The last channels are those of the guide, where the architecture has one
    (`expert.training.guide_module`): patches are matched by them alone, and compared by the others
    alone.

    Parameters
    ----------
    architecture : Architecture
        `members` backbones of it.
    """

    gain: Tensor
    """(E,) by which each member's channels are multiplied before they are put side by side."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.mixed_precision = False
        self.members = nn.ModuleList(
            one_backbone(architecture) for _ in range(architecture.members)
        )
        self.register_buffer("gain", torch.ones(architecture.members))
        self.guide = Backbone(architecture.guiding) if architecture.guide else None

    @property
    def counted(self) -> HistogramBackbone | None:
        """What reads images once for all members, if they count and nothing else needs the images
        themselves."""
        first = self.members[0]
        return first if isinstance(first, HistogramBackbone) and self.guide is None else None

    @torch.no_grad()
    def join(self, members: Sequence[nn.Module], scales: Sequence[float]) -> float:
        """Take over trained members whose distances are in label units after multiplication by
        `scales`.

        Returns
        -------
        float
            The scale of the whole: label units per unit of its distances.
        """
        for own, trained in zip(self.members, members, strict=True):
            own.load_state_dict(trained.state_dict())
        whole = sum(scales) / len(scales)
        self.gain.copy_(torch.tensor(scales) / (whole * len(scales) ** 0.5))
        return whole

    def forward(self, images: Tensor) -> Tensor:
        """(B, 1, *shape) in [0, 1], or their counts (`HistogramBackbone.front`), to (B, E * C,
        *grid)."""
        first = self.members[0]
        read = first.front(images) if isinstance(first, HistogramBackbone) else images
        parts = [gain * member(read) for gain, member in zip(self.gain, self.members, strict=True)]
        return torch.cat(parts if self.guide is None else [*parts, self.guide(images)], 1)


def patch_mass(content: Tensor, grid: tuple[int, ...], floor: float = 1e-3) -> Tensor:
    """Share of an image's content that lies in each cell of the feature grid.

    Parameters
    ----------
    content : (B, *shape) Tensor
        0 to 1, e.g. the brain mask.
    grid : tuple[int, ...]
        Cells per axis.
    floor : float
        A cell's least content before the shares are taken, so that every cell keeps a defined
        (tiny) mass.

    Returns
    -------
    (B, M) Tensor
        Rows sum to 1.
    """
    pool: nn.Module = nn.AdaptiveAvgPool2d(grid) if len(grid) == 2 else nn.AdaptiveAvgPool3d(grid)
    cells: Tensor = pool(content[:, None]).flatten(1).clamp_min(floor)
    share: Tensor = cells / cells.sum(dim=1, keepdim=True)
    return share
