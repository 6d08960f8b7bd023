"""Networks with chosen weights, for which the right explanation is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from expert.datasets.prepared_dataset import CohortArrays
from expert.datasets.table import Entry
from expert.evaluation.explanation_metrics import measure_explanations
from expert.model import PrototypeRegressor
from expert.schema import Architecture, InputSettings

# Cells of 8 pixels and 32 mm, in two and three dimensions.
FLAT = InputSettings(
    shape=(48, 40),
    spacing_mm=4.0,
    center_mm=(-17.0, 0.0),
    positions_mm=(3.0,),
    training_positions_mm=(3.0,),
)
SOLID = InputSettings(shape=(24, 32, 40), spacing_mm=4.0, center_mm=(6.0, -17.0, 0.0))


GAIN = 0.2
"""Of the pixels: small enough that plans converge soon."""


def grid_of(recipe: InputSettings) -> tuple[int, ...]:
    return tuple(n // 8 for n in recipe.shape)


def cells_of(images: Tensor, grid: tuple[int, ...]) -> Tensor:
    """(B, 1, *shape) to (B, pixels of a cell, *grid), times `GAIN`."""
    split = [
        n
        for size, cells in zip(images.shape[2:], grid, strict=True)
        for n in (cells, size // cells)
    ]
    axes = len(grid)
    parts = images.reshape(len(images), *split)
    order = [0, *range(2, 2 * axes + 1, 2), *range(1, 2 * axes + 1, 2)]
    return GAIN * parts.permute(order).reshape(len(images), -1, *grid)


class Pixels(nn.Module):
    """A cell's feature is what is in its box."""

    def __init__(self, grid: tuple[int, ...]) -> None:
        super().__init__()
        self.grid = grid

    def forward(self, images: Tensor) -> Tensor:
        return cells_of(images, self.grid)


class Position(Pixels):
    """A cell's feature is its own number, whatever the image."""

    def forward(self, images: Tensor) -> Tensor:
        count = int(np.prod(self.grid))
        return (
            torch.eye(count, device=images.device)
            .reshape(1, count, *self.grid)
            .repeat(len(images), *[1] * (len(self.grid) + 1))
        )


class Nothing(Pixels):
    """Every cell has the same feature."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.ones(len(images), 4, *self.grid)


class OneCell(Pixels):
    """Only one cell's content is seen."""

    def __init__(self, grid: tuple[int, ...], cell: int) -> None:
        super().__init__(grid)
        self.cell = cell

    def forward(self, images: Tensor) -> Tensor:
        seen = torch.zeros(int(np.prod(self.grid)))
        seen[self.cell] = 1
        return cells_of(images, self.grid) * seen.reshape(self.grid)


class Neighbour(Pixels):
    """A cell's feature is what is in the box beside it."""

    def forward(self, images: Tensor) -> Tensor:
        return cells_of(images, self.grid).roll(1, -1)


class Restless(Pixels):
    """The slightest change of a pixel makes another feature."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.sin(3e4 * cells_of(images, self.grid))


def network(
    recipe: InputSettings, backbone: nn.Module, images: np.ndarray, labels: np.ndarray, **settings
) -> PrototypeRegressor:
    """A network with that backbone, whose prototypes are the given images (P, *shape), 0 to 255."""
    settings = {"marginals": "uniform", "radius": 30.0} | settings
    with torch.no_grad():
        latents = backbone(torch.from_numpy(images).float()[:, None] / 255)
        architecture = Architecture(
            dimensions=len(recipe.shape),
            widths=(4,),
            channels=latents.shape[1],
            prototypes=len(images),
            **settings,
        )
        out = PrototypeRegressor(architecture, grid_of(recipe))
        out.backbone = backbone
        out.prototypes.data = latents.clone()
        out.prototype_labels.copy_(torch.from_numpy(labels).float())
        out.scale.data.fill_(1.0)
    return out.eval().requires_grad_(False)


def pictures(recipe: InputSettings, number: int, seed: int) -> np.ndarray:
    """(number, *shape) uint8, noise."""
    return np.random.default_rng(seed).integers(20, 255, (number, *recipe.shape)).astype(np.uint8)


def cohort(
    recipe: InputSettings, images: np.ndarray, content: np.ndarray | None = None
) -> CohortArrays:
    """Images (N, *shape) as a cohort of one plane or volume each."""
    count = len(images)
    content = np.full_like(images, 255) if content is None else content
    return CohortArrays(
        images=images[:, None],
        content=content[:, None],
        labels=np.arange(count, dtype=float),
        transforms=np.full((count, 4, 4), np.nan),
        quality=np.full(count, np.nan),
        positions_mm=(3.0,) if len(recipe.shape) == 2 else (None,),
        entries=tuple(
            Entry(f"s{n}", f"s{n}.nii", Path(f"s{n}.nii"), float(n), None, "") for n in range(count)
        ),
    )


def random_grids(seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(3, 16, 4, 3, generator=generator), torch.rand(
        5, 16, 4, 3, generator=generator
    )


both = pytest.mark.parametrize("recipe", [FLAT, SOLID], ids=["2D", "3D"])


def measured(recipe, backbone, **settings):
    images = pictures(recipe, 6, 1)
    net = network(recipe, backbone, images[:3], np.array([20.0, 50.0, 80.0]), **settings)
    return measure_explanations(net, recipe, cohort(recipe, images), subjects=4)


def prototypes(recipe):
    return pictures(recipe, 3, 2), np.array([20.0, 50.0, 80.0])


def picture(recipe):
    image = pictures(recipe, 1, 7)[0]
    return image, np.full_like(image, 255)
