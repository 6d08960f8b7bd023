"""From an image to a grid of patch features, in two or three dimensions.

`Backbone` is a residual network; `Members` joins several networks. `HistogramBackbone` has its own
module.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from expert.features.anatomy import AnatomicalCoordinates
from expert.features.head_frame import MIRRORS, SIZE_CHANNELS, read_rim
from expert.features.histogram_backbone import LEAST_SPREAD as LEAST_SPREAD
from expert.features.histogram_backbone import HistogramBackbone as HistogramBackbone
from expert.features.histogram_backbone import PlaceMaps as PlaceMaps  # their former place
from expert.features.local_transport import neighbours
from expert.features.residual_stages import residual_stages
from expert.schema import Architecture

SIZE_PART, SIZE_UNITS = 8, 32
"""One of so many channels of a patch depends on the size of a fetal head alone; hidden units."""
IMAGE_GAIN = 0.1
"""Factor of its other channels: without it, how heads look hides how large they are."""
GUIDE_WIDTHS = (32, 64, 128)
"""Channels of the residual stages of a matching network, as many as its grid allows."""


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


def matching_architecture(architecture: Architecture) -> Architecture:
    """The matching network: the same grid, and stages with a receptive field around a patch.

    In three dimensions it uses half the resolution if the grid allows: an eighth of the work. For
    fetal heads it uses the resolution of the network that compares them.

    Parameters
    ----------
    architecture : Architecture
        With `guide` channels.

    Returns
    -------
    Architecture
    """
    shrink = 2 if architecture.dimensions == 3 and architecture.stride >= 8 else 1
    shrink = architecture.shrink if architecture.ellipse else shrink
    left = max(4, architecture.stride // shrink)
    stages = min(3, max(1, int(math.log2(left)) - 1))
    return Architecture(
        dimensions=architecture.dimensions,
        shrink=shrink,
        widths=GUIDE_WIDTHS[:stages],
        pool=max(1, left // (4 * 2 ** (stages - 1))),
        channels=architecture.guide,
        ellipse=architecture.ellipse,
        mirrored=architecture.mirrored,
    )


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

    With four residual stages of 64, 128, 256, 512 channels this is ResNet-18. Fewer stages with
    pooling keep the same grid with a smaller receptive field.

    Parameters
    ----------
    architecture : Architecture
        Dimensions, shrink, widths, pool, channels, ellipse and mirrored are used.
    sized : bool
        Whether a fetal head's size is part of the features; not of those that match patches.

    References
    ----------
    .. [1] Hesse et al., "Prototype Learning for Explainable Brain Age Prediction", WACV 2024,
           arXiv:2306.09858 (ResNet-18 → 1×1 conv → ReLU → 1×1 conv → sigmoid).
    """

    def __init__(self, architecture: Architecture, *, sized: bool = True) -> None:
        super().__init__()
        # Half-width arithmetic of the residual stages while training: twice the speed on recent
        # CPUs; never at inference.
        self.mixed_precision = False
        self.mirrored = [2 + axis for axis in architecture.mirrored]
        self.ellipse = architecture.ellipse
        self.sized = sized and self.ellipse
        widths = architecture.widths
        convolution = nn.Conv2d if architecture.dimensions == 2 else nn.Conv3d
        pooling = nn.AvgPool2d if architecture.dimensions == 2 else nn.AvgPool3d
        self.features = nn.Sequential()
        if architecture.shrink > 1:
            self.features.add_module("shrink", pooling(architecture.shrink))
        for name, layer in residual_stages(architecture.dimensions, widths).named_children():
            self.features.add_module(name, layer)
        if architecture.pool > 1:
            self.features.add_module("pool", pooling(architecture.pool))
        if architecture.dimensions == 2:
            # A quarter faster on the CPU.
            self.features.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        image_layers = nn.Sequential(
            convolution(widths[-1], architecture.channels, 1),
            nn.ReLU(),
            convolution(architecture.channels, architecture.channels, 1),
            nn.Sigmoid(),
        )
        for layer in (image_layers[0], image_layers[2]):
            for name, parameter in layer.named_parameters():
                if name == "weight":
                    nn.init.kaiming_normal_(parameter, mode="fan_out", nonlinearity="relu")
                else:
                    nn.init.zeros_(parameter)
        self.add_on_layers: nn.Module = image_layers
        if self.sized:
            self.add_on_layers = WithSize(image_layers, architecture.channels)

    def trunk(self, images: Tensor) -> Tensor:
        """Features before the 1×1 convolutions, which the regression baseline uses.

        Parameters
        ----------
        images : (B, 1, *shape) Tensor
            0 to 1.

        Returns
        -------
        (B, trunk, *grid) Tensor
        """
        if self.ellipse:  # a mirrored image has exactly the mirrored features
            images, size = read_rim(images)
            copies = torch.cat([images.flip(axes) for axes in MIRRORS])
            parts = self._stages(copies).chunk(len(MIRRORS))
            both = [part.flip(axes) for part, axes in zip(parts, MIRRORS, strict=True)]
            every = torch.stack(both).mean(0)
            if not self.sized:
                return every
            sizes = size[..., None, None].expand(-1, -1, *every.shape[2:])
            return torch.cat([every, sizes], 1)
        if self.mirrored:  # the result is flipped back
            return self._stages(images.flip(self.mirrored)).flip(self.mirrored)
        return self._stages(images)

    def _stages(self, images: Tensor) -> Tensor:
        if self.mixed_precision and self.training:
            with torch.autocast(images.device.type, torch.bfloat16):
                out: Tensor = self.features(images)
            return out.float()
        out = self.features(images)
        return out

    def pooled(self, images: Tensor) -> Tensor:
        """(B, trunk) mean of `trunk` over the patches, for the regression baseline."""
        mean = self.trunk(images).flatten(2).mean(2)
        if self.sized:
            mean = torch.cat([IMAGE_GAIN * mean[:, :-SIZE_CHANNELS], mean[:, -SIZE_CHANNELS:]], 1)
        return mean

    def forward(self, images: Tensor) -> Tensor:
        """Features (B, C, *grid) in (0, 1) of images (B, 1, *shape) in [0, 1]."""
        out: Tensor = self.add_on_layers(self.trunk(images))
        return out


class WithSize(nn.Module):
    """Features of the patches of a fetal head: some of the image, some of its size alone.

    Parameters
    ----------
    image_layers : nn.Module
        From the trunk's channels to those of a patch, of which the last are replaced.
    channels : int
        Of a patch.
    """

    def __init__(self, image_layers: nn.Module, channels: int) -> None:
        super().__init__()
        self.image_layers = image_layers
        self.count = max(1, channels // SIZE_PART)
        self.size_layers = nn.Sequential(
            nn.Linear(SIZE_CHANNELS, SIZE_UNITS),
            nn.ReLU(),
            nn.Linear(SIZE_UNITS, self.count),
            nn.Sigmoid(),
        )

    def forward(self, trunk: Tensor) -> Tensor:
        """Features (B, C, *grid) of `Backbone.trunk`."""
        image = IMAGE_GAIN * self.image_layers(trunk[:, :-SIZE_CHANNELS])[:, : -self.count]
        size = self.size_layers(trunk[:, -SIZE_CHANNELS:, 0, 0])[..., None, None]
        return torch.cat([image, size.expand(-1, -1, *image.shape[2:])], 1)


class Members(nn.Module):
    """Networks that were trained separately: each patch has the channels of all of them.

    Not part of the published method. The distance of two patches becomes the root of the members'
    mean squared distances, in label units: it varies less with the chance of one training, and
    everything computed from distances (plans, weights, contributions) stays as it is.

    The last channels are those of the matching network (`guide`), if the architecture has one
    (`expert.training.guide_module`), or the anatomical coordinates of the patch (`coordinates`):
    patches are matched by these channels alone, and compared by the others alone.

    With `reach`, the histograms follow as further channels. A patch of an image is compared with a
    patch of a prototype by the linear map of the *prototype's* patch (`with_maps_of`), and
    histograms are what these maps need.

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
        self.guide = None
        if architecture.guide:
            self.guide = Backbone(matching_architecture(architecture), sized=False)
        self.coordinates = (
            AnatomicalCoordinates(tuple(n * architecture.pool for n in architecture.places))
            if architecture.coordinates
            else None
        )
        self.local, self.latent = architecture.reach > 0, architecture.latent

    @property
    def shared_histogram(self) -> HistogramBackbone | None:
        """The network whose histograms all members share; None where a part needs the images."""
        first = self.members[0]
        alone = self.guide is None and self.coordinates is None
        return first if isinstance(first, HistogramBackbone) and alone else None

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

    def forward(self, images: Tensor, coordinates: Tensor | None = None) -> Tensor:
        """Features of images.

        Parameters
        ----------
        images : (B, 1, *shape) Tensor
            Or their histograms, where nothing else is needed.
        coordinates : (3, *grid) Tensor, optional
            Known anatomical coordinates of all images, which are then not computed.

        Returns
        -------
        (B, E * C + …, *grid) Tensor
        """
        first = self.members[0]
        read = first.soft_histogram(images) if isinstance(first, HistogramBackbone) else images
        parts = [self.compared(read)]
        if self.guide is not None:
            parts.append(self.guide(images))
        if self.coordinates is not None:
            if coordinates is None:
                parts.append(self.coordinates(images, tuple(read.shape[2:])))
            else:
                parts.append(coordinates.expand(len(images), *coordinates.shape))
        if self.local:
            parts.append(read)
        return torch.cat(parts, 1)

    def compared(self, read: Tensor) -> Tensor:
        """(B, E * C, *grid) channels that patches are compared by, of images or histograms."""
        return torch.cat(
            [gain * member(read) for gain, member in zip(self.gain, self.members, strict=True)], 1
        )

    def with_maps_of(self, features: Tensor, partners: Tensor) -> Tensor:
        """Features of an image's patches by the linear maps of other patches.

        Parameters
        ----------
        features : (C, *grid) Tensor
            Of one image, with its histograms.
        partners : (M, K) long Tensor
            Patch of the image for each patch j whose map is used; M for none.

        Returns
        -------
        (K, E * C, M) Tensor
            ``[k, :, j]``: patch ``partners[j, k]`` by the map of patch j.
        """
        histograms = features[self.latent :]
        grid = histograms.shape[1:]
        moved = neighbours(histograms.flatten(1), partners).permute(2, 0, 1)
        read = self.compared(moved.reshape(len(moved), -1, *grid).to(self.gain))
        return read.flatten(2).to(features)


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
