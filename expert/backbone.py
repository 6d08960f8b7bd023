"""From an image to a grid of patch features, in two or three dimensions.

`Backbone` is a residual network; `HistogramBackbone` uses the grey values of each patch alone;
`Members` joins several networks.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from expert.schema import Architecture

OUTSIDE = 1e-6
"""Grey values up to this are outside the content and are not counted."""
LITTLE = 0.02
"""Added to the content of a patch before its histogram is normalised: the grey values of a few
voxels are not reliable."""
LEAST_SPREAD = 0.02
"""Least standard deviation that histograms are divided by: rare grey values stay small."""


def make_backbone(architecture: Architecture) -> Backbone | HistogramBackbone | Members:
    """The network of an architecture that turns images into feature grids.

    Parameters
    ----------
    architecture : Architecture

    Returns
    -------
    Backbone, HistogramBackbone or Members
    """
    return Members(architecture) if architecture.joined else one_backbone(architecture)


def one_backbone(architecture: Architecture) -> Backbone | HistogramBackbone:
    """A single network of an architecture, which may have several.

    Parameters
    ----------
    architecture : Architecture

    Returns
    -------
    Backbone or HistogramBackbone
    """
    return (
        HistogramBackbone(architecture)
        if architecture.backbone == "histogram"
        else Backbone(architecture)
    )


class Backbone(nn.Module):
    """ResNet stages, optional pooling, and the two 1×1 convolutions of ExPeRT.

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
        """Features before the 1×1 convolutions, which the regression baseline uses.

        Parameters
        ----------
        images : (B, 1, *shape) Tensor
            0 to 1.

        Returns
        -------
        (B, widths[-1], *grid) Tensor
        """
        if self.mirrored:  # the result is flipped back
            images = images.flip(self.mirrored)
        if self.mixed_precision and self.training:
            with torch.autocast(images.device.type, torch.bfloat16):
                out: Tensor = self.features(images)
            out = out.float()
        else:
            out = self.features(images)
        return out.flip(self.mirrored) if self.mirrored else out

    def pooled(self, images: Tensor) -> Tensor:
        """(B, widths[-1]) mean of `trunk` over the patches, for the regression baseline."""
        return self.trunk(images).flatten(2).mean(2)

    def forward(self, images: Tensor) -> Tensor:
        """Features (B, C, *grid) in (0, 1) of images (B, 1, *shape) in [0, 1]."""
        out: Tensor = self.add_on_layers(self.trunk(images))
        return out


class HistogramBackbone(nn.Module):
    """Soft histogram of each patch, a small network on it, and the two 1×1 convolutions of ExPeRT.

    Not part of the published method. The patch of a residual network depends on pixels far outside
    its box; here the features depend on the grey values in the box alone, so that the evidence
    shown is all the evidence there is. It requires grey values that mean the same in every image
    (white matter at one value, `expert.imaging.bias_field`), and it does not see shape: where in
    its box a tissue lies makes no difference.

    The grey values are counted in `bins` overlapping (triangular) bins, in boxes of `pool` input
    pixels per axis; `widths` are the hidden units of the network on each histogram. With `places`
    there is no such network: each patch of the grid has a linear map of its own, and a sigmoid.

    Parameters
    ----------
    architecture : Architecture
        Dimensions, widths, pool, bins, places, channels and mirrored are used.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.mixed_precision = False
        self.mirrored = [2 + axis for axis in architecture.mirrored]
        self.cell, self.bins = architecture.pool, architecture.bins
        convolution = nn.Conv2d if architecture.dimensions == 2 else nn.Conv3d
        self.features = nn.Sequential()
        inputs = self.bins + 1
        if architecture.places:
            maps = PlaceMaps(inputs, architecture.channels, architecture.places)
            self.features.add_module("places", maps)
            self.add_on_layers = nn.Sequential(nn.Sigmoid())
            return
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

    def soft_histogram(self, images: Tensor) -> Tensor:
        """Histogram of each patch; without weights, so that it can be computed once.

        Parameters
        ----------
        images : (B, 1, *shape) Tensor
            0 to 1, and 0 outside the content. Histograms that this method returned are returned
            unchanged.

        Returns
        -------
        (B, bins + 1, *grid) Tensor
            Fractions of the grey values in each patch, times the root of `bins`; then the content
            of the patch, 0 to 1.
        """
        if images.shape[1] != 1:
            return images
        if self.mirrored:
            images = images.flip(self.mirrored)
        grid = [n // self.cell for n in images.shape[2:]]
        # Patches before voxels: (B, *grid, *box), then (B * M, voxels).
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
        parts = torch.cat([counts / (content + LITTLE) * self.bins**0.5, content], 1)
        return parts.reshape(len(images), *grid, self.bins + 1).movedim(-1, 1)

    def trunk(self, images: Tensor) -> Tensor:
        """Features before `add_on_layers`, of images (B, 1, *shape) or of their histograms.

        (B, widths[-1], *grid), or (B, channels, *grid) with `places`.
        """
        out: Tensor = self.features(self.soft_histogram(images))
        return out.flip(self.mirrored) if self.mirrored else out

    def pooled(self, images: Tensor) -> Tensor:
        """Mean of `trunk` over the patches by their content, for the regression baseline."""
        histograms = self.soft_histogram(images)
        content = histograms[:, -1:].flatten(2)
        share = content / content.sum(-1, keepdim=True).clamp_min(1e-6)
        out: Tensor = (self.trunk(histograms).flatten(2) * share).sum(-1)
        return out

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, *grid) features in (0, 1) of images (B, 1, *shape) or of their histograms."""
        out: Tensor = self.add_on_layers(self.trunk(images))
        return out


class PlaceMaps(nn.Module):
    """A linear map for each patch of the grid: the same tissue means another thing elsewhere.

    Histograms are first standardised by the mean and standard deviation of their patch in the
    training images.

    Parameters
    ----------
    inputs : int
        Channels of the histograms.
    channels : int
        Of the features.
    grid : tuple[int, ...]
        Patches per axis.
    """

    mean: Tensor
    """(inputs, *grid)."""
    spread: Tensor
    """(inputs, *grid) standard deviation, at least `LEAST_SPREAD`."""

    def __init__(self, inputs: int, channels: int, grid: tuple[int, ...]) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.1 / inputs**0.5 * torch.randn(channels, inputs, *grid))
        self.register_buffer("mean", torch.zeros(inputs, *grid))
        self.register_buffer("spread", torch.ones(inputs, *grid))

    @torch.no_grad()
    def standardise(self, histograms: Tensor) -> None:
        """Take mean and standard deviation from the training images' (N, inputs, *grid)."""
        self.mean.copy_(histograms.mean(0))
        self.spread.copy_(histograms.std(0).clamp_min(LEAST_SPREAD))

    def forward(self, histograms: Tensor) -> Tensor:
        """(B, channels, *grid) features of histograms (B, inputs, *grid)."""
        standard = (histograms - self.mean) / self.spread
        return torch.einsum("bi...,ci...->bc...", standard, self.weight)


class Members(nn.Module):
    """Networks that were trained separately: each patch has the channels of all of them.

    Not part of the published method. The distance of two patches becomes the root of the members'
    mean squared distances, in label units: it varies less with the chance of one training, and
    everything computed from distances (plans, weights, contributions) stays as it is.

    The last channels are those of the matching network (`guide`), if the architecture has one
    (`expert.training.guide_module`): patches are matched by these channels alone, and compared by
    the others alone.

    Parameters
    ----------
    architecture : Architecture
        Its `members` networks, and its matching network.
    """

    gain: Tensor
    """(E,) factor of each member's channels."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.mixed_precision = False
        self.members = nn.ModuleList(
            one_backbone(architecture) for _ in range(architecture.members)
        )
        self.register_buffer("gain", torch.ones(architecture.members))
        self.guide = Backbone(architecture.guiding) if architecture.guide else None

    @property
    def shared_histogram(self) -> HistogramBackbone | None:
        """The network whose histograms all members share; None where a part needs the images."""
        first = self.members[0]
        return first if isinstance(first, HistogramBackbone) and self.guide is None else None

    @torch.no_grad()
    def join(self, members: Sequence[nn.Module], scales: Sequence[float]) -> float:
        """Copy the weights of trained members.

        Parameters
        ----------
        members : Sequence[nn.Module]
            The trained networks.
        scales : Sequence[float]
            Factor of each that turns its distances into label units.

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
        """(B, E * C, *grid) features of images (B, 1, *shape) or of their histograms."""
        first = self.members[0]
        read = first.soft_histogram(images) if isinstance(first, HistogramBackbone) else images
        parts = [gain * member(read) for gain, member in zip(self.gain, self.members, strict=True)]
        return torch.cat(parts if self.guide is None else [*parts, self.guide(images)], 1)


def patch_mass(content: Tensor, grid: tuple[int, ...], floor: float = 1e-3) -> Tensor:
    """Fraction of an image's content in each patch.

    Parameters
    ----------
    content : (B, *shape) Tensor
        0 to 1, such as the brain mask.
    grid : tuple[int, ...]
        Patches per axis.
    floor : float
        Least content of a patch, so that every patch has a (tiny) mass.

    Returns
    -------
    (B, M) Tensor
        Rows sum to 1.
    """
    pool: nn.Module = nn.AdaptiveAvgPool2d(grid) if len(grid) == 2 else nn.AdaptiveAvgPool3d(grid)
    patches: Tensor = pool(content[:, None]).flatten(1).clamp_min(floor)
    mass: Tensor = patches / patches.sum(dim=1, keepdim=True)
    return mass
