"""How much each patch counts, by how well it predicts the label alone: `patch_weights`."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from expert.features.histogram_backbone import LEAST_SPREAD

LEAST = 0.1
"""Weight of a patch that predicts nothing alone; one that predicts everything has 1 more."""
REPEATS = 3
"""Random halvings of the subjects."""
RIDGE = 0.1
"""Penalty of the regression, per image and squared standard deviation of the inputs."""


def patch_weights(values: Tensor, labels: np.ndarray, subjects: np.ndarray) -> Tensor:
    """Weights of patches by the cross-validated R² of a ridge regression on each patch alone.

    Not part of the published method. Many patches say little about the label, but differ between
    scanners as the others do. Their distances are noise, and a new scanner adds to it.

    Parameters
    ----------
    values : (N, n, C, *grid) Tensor
        Histograms of n copies of each of N images, such as those of simulated scanners. The first
        is the unchanged image.
    labels : (N,) ndarray
    subjects : (N,) ndarray
        Images of one subject have the same number, and are in the same half.

    Returns
    -------
    (*grid) float32 Tensor
        `LEAST`, plus the R² where it is above 0: 1 is a patch that predicts the label without
        error. `LEAST` everywhere if there are fewer than four subjects.
    """
    grid, generator = values.shape[3:], np.random.default_rng(0)
    groups, halves = np.unique(subjects), []
    if len(groups) < 4:
        return torch.full(grid, LEAST)
    first = values[:, 0].float()
    mean, spread = first.mean(0), first.std(0).clamp_min(LEAST_SPREAD)
    known = torch.from_numpy(np.asarray(labels)).float().repeat_interleave(values.shape[1])
    for _ in range(REPEATS):
        one = np.isin(subjects, generator.permutation(groups)[: len(groups) // 2])
        halves += [(one, ~one), (~one, one)]
    found = torch.zeros(int(np.prod(grid)))
    for fitted, tested in halves:
        x, y = _patches(values, mean, spread, fitted), _rows(known, fitted, values.shape[1])
        product = x.transpose(1, 2) @ x + RIDGE * x.shape[1] * torch.eye(x.shape[2])
        maps = torch.linalg.solve(product, x.transpose(1, 2) @ (y - y.mean())[:, None])
        x, truth = _patches(values, mean, spread, tested), _rows(known, tested, values.shape[1])
        error = ((x @ maps)[..., 0] + y.mean() - truth).square().mean(1)
        found += 1 - error / truth.var(unbiased=False).clamp_min(1e-12)
    return LEAST + (found / len(halves)).clamp_min(0).reshape(grid)


def _patches(values: Tensor, mean: Tensor, spread: Tensor, rows: np.ndarray) -> Tensor:
    """(M, N * n, C) standardised inputs of the chosen images."""
    chosen = (values[torch.from_numpy(rows)].float() - mean) / spread
    return chosen.flatten(0, 1).flatten(2).permute(2, 0, 1)


def _rows(known: Tensor, rows: np.ndarray, copies: int) -> Tensor:
    return known[torch.from_numpy(np.repeat(rows, copies))]
