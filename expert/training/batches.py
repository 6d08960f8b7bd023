"""Batches of training images, and features of un-augmented images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from expert.datasets.prepared_dataset import CohortArrays
from expert.features.grey_values import to_unit
from expert.features.head_frame import keep_rim
from expert.training.augmentation import augment
from expert.training.histogram_cache import HistogramCopies, as_input
from expert.training.recipe import Recipe


class Planes(Dataset[tuple[Tensor, Tensor, Tensor, int, int]]):
    """Random planes of each subject, as (image, content, label, row, plane) of the cohort.

    Parameters
    ----------
    cohort : CohortArrays
        N training subjects.
    views : int
        Planes drawn per subject and epoch.
    """

    def __init__(self, cohort: CohortArrays, views: int) -> None:
        self.cohort = cohort
        self.views = min(views, cohort.images.shape[1])

    def __len__(self) -> int:
        return len(self.cohort.labels) * int(self.views)

    def __getitem__(self, item: int | tuple[int, int]) -> tuple[Tensor, Tensor, Tensor, int, int]:
        count = self.cohort.images.shape[1]
        subject, plane = (
            item
            if isinstance(item, tuple)
            else (item % len(self.cohort.labels), int(torch.randint(count, ())))
        )
        image = to_unit(self.cohort.images[subject, plane])
        content = to_unit(self.cohort.content[subject, plane])
        return (
            image[None],
            content,
            torch.tensor(self.cohort.labels[subject], dtype=torch.float32),
            subject,
            plane,
        )


def nearest_planes(cohort: CohortArrays, recipe: Recipe) -> Tensor:
    """Nearest explained plane of each plane of a cohort.

    Parameters
    ----------
    cohort : CohortArrays
        With K planes.
    recipe : Recipe
        Its `input.positions_mm` are the explained planes.

    Returns
    -------
    Tensor
        (K,) int, 0-based.
    """
    if cohort.images.shape[1] == 1:
        return torch.zeros(1, dtype=torch.long)
    heights = torch.tensor([float(p) for p in cohort.positions_mm if p is not None])
    return (heights[:, None] - torch.tensor(recipe.input.positions_mm)[None]).abs().argmin(1)


class WholeSubjects(Sampler[list[tuple[int, int]]]):
    """Batches of (row, plane) of a cohort, each subject in all explained planes.

    Parameters
    ----------
    near : Tensor
        (K,) from `nearest_planes`; of several planes near an explained one, one is drawn.
    subjects : int
        Rows of the cohort.
    batch : int
        Images in a batch; as many subjects as fit.
    count : int
        Batches per epoch.
    """

    def __init__(self, near: Tensor, subjects: int, batch: int, count: int) -> None:
        self.candidates = [torch.nonzero(near == view)[:, 0] for view in range(int(near.max()) + 1)]
        self.subjects, self.count = subjects, max(1, count)
        self.each = min(subjects, max(1, batch // len(self.candidates)))

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order: list[int] = []
        for _ in range(self.count):
            if len(order) < self.each:
                order = torch.randperm(self.subjects).tolist()
            drawn, order = order[: self.each], order[self.each :]
            yield [
                (row, int(planes[torch.randint(len(planes), ())]))
                for row in drawn
                for planes in self.candidates
            ]


def batches(cohort: CohortArrays, recipe: Recipe, *, whole: bool = False) -> DataLoader[Any]:
    """Shuffled training batches.

    Parameters
    ----------
    cohort : CohortArrays
        Training subjects.
    recipe : Recipe
        Batch size, planes per subject and augmentation.
    whole : bool
        Whether each subject of a batch is there in all explained planes.

    Returns
    -------
    torch.utils.data.DataLoader
        Of (image, content, label, row, plane). An incomplete last batch is left out: batch
        normalisation fails on a single image.
    """
    data: Planes | HistogramCopies = Planes(cohort, recipe.schedule.views)
    if recipe.architecture.backbone == "histogram":
        data = HistogramCopies(cohort, recipe, recipe.schedule.views)
    if whole:
        batch = recipe.schedule.batch
        sampler = WholeSubjects(
            nearest_planes(cohort, recipe), len(cohort.labels), batch, len(data) // batch
        )
        return DataLoader(data, batch_sampler=sampler)
    return DataLoader(
        data, recipe.schedule.batch, shuffle=True, drop_last=len(data) > recipe.schedule.batch
    )


def augmented_views(
    images: Tensor, content: Tensor, recipe: Recipe, flip: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Change a batch at random.

    Histograms were taken of copies that were changed before (`histogram_cache`); these are only
    mirrored here.

    Parameters
    ----------
    images : Tensor
        (B, 1, *shape) images, 0 to 1, or (B, bins + 1, *grid) histograms.
    content : Tensor
        (B, *shape) or (B, *grid), 0 to 1.
    recipe : Recipe
        Backbone and augmentation.
    flip : float
        Probability of mirroring along the last axis (left-right).

    Returns
    -------
    images, content : Tensor
        Of the same shapes.
    """
    if recipe.architecture.backbone != "histogram":
        changed, content = augment(images, content, recipe.augmentation, flip)
        return keep_rim(changed, images) if recipe.architecture.ellipse else changed, content
    mirrored = torch.rand(len(images), device=images.device) < flip
    one = [-1, *[1] * (content.dim() - 1)]
    content = torch.where(mirrored.view(one), content.flip(-1), content)
    return torch.where(mirrored.view(-1, 1, *one[1:]), images.flip(-1), images), content


@torch.no_grad()
def feature_grids(
    backbone: nn.Module, cohort: CohortArrays, planes: list[int], batch: int = 60
) -> Tensor:
    """Features of un-augmented images, in evaluation mode.

    Parameters
    ----------
    backbone : torch.nn.Module
        From image to feature grid.
    cohort : CohortArrays
        N subjects.
    planes : list of int
        K planes of the cohort.
    batch : int
        Images at once.

    Returns
    -------
    Tensor
        (N, K, C, *grid), on the CPU.
    """
    images = cohort.images[:, planes].reshape(-1, *cohort.images.shape[2:])
    device = next(backbone.parameters()).device
    was_training = backbone.training
    backbone.eval()
    grids = [
        backbone(as_input(backbone, images[n : n + batch]).to(device)).cpu()
        for n in range(0, len(images), batch)
    ]
    backbone.train(was_training)
    stacked = torch.cat(grids)
    return stacked.reshape(len(cohort.labels), len(planes), *stacked.shape[1:])
