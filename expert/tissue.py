"""Image to feature grid by what tissue each cell holds: its own grey values, as a histogram, and
nothing else.

A cell of a residual network sees far beyond its box; here a cell's features are those of its box to
the last voxel, and what is shown as evidence is all the evidence there is. It needs grey values
that mean the same in every image (white matter at one value, `expert.imaging.bias_field`), and is
blind to shape: where in its box a tissue lies makes no difference.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from expert.schema import Architecture

OUTSIDE = 1e-6
"""Grey values up to this are outside of the content and are not counted."""
LITTLE = 0.02
"""Added to a cell's content before its histogram is made one of shares: a cell with a few voxels
has none worth trusting."""


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
