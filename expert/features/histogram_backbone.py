"""From the grey values of each patch alone to its features: `HistogramBackbone`."""

from __future__ import annotations

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
    With `weighted_patches`, its features are multiplied by the weight of the patch
    (`expert.features.patch_weights`), and so are all its distances.

    Parameters
    ----------
    architecture : Architecture
        Dimensions, widths, pool, bins, places, weighted_patches, channels and mirrored are used.
    """

    patch_weights: Tensor | None
    """(*grid), or None: all 1."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.mixed_precision = False
        self.mirrored = [2 + axis for axis in architecture.mirrored]
        self.cell, self.bins = architecture.pool, architecture.bins
        convolution = nn.Conv2d if architecture.dimensions == 2 else nn.Conv3d
        self.features = nn.Sequential()
        weights = torch.ones(architecture.places) if architecture.weighted_patches else None
        self.register_buffer("patch_weights", weights)
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
        """(B, C, *grid) features of images (B, 1, *shape) or of their histograms.

        In (0, 1), times the weights of the patches.
        """
        out: Tensor = self.add_on_layers(self.trunk(images))
        return out if self.patch_weights is None else out * self.patch_weights


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
