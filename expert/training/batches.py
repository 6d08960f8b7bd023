"""Batches of training images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from expert.datasets.prepared_dataset import CohortArrays
from expert.training.augmentation import augment
from expert.training.histogram_cache import CountedCopies, as_input
from expert.training.recipe import Recipe


class Planes(Dataset[tuple[Tensor, Tensor, Tensor, int, int]]):
    """`views` random planes of each subject per epoch, as (image, content, label, row of the
    cohort, plane of the cohort)."""

    def __init__(self, cohort: CohortArrays, views: int) -> None:
        self.cohort = cohort
        self.views = min(views, cohort.images.shape[1])

    def __len__(self) -> int:
        return len(self.cohort.labels) * int(self.views)

    def __getitem__(self, item: int | tuple[int, int]) -> tuple[Tensor, Tensor, Tensor, int, int]:
        # Items of one block of subjects stay together: a shuffled batch rarely holds a subject
        # twice.
        count = self.cohort.images.shape[1]
        subject, plane = (
            item
            if isinstance(item, tuple)
            else (item % len(self.cohort.labels), int(torch.randint(count, ())))
        )
        image = torch.from_numpy(self.cohort.images[subject, plane]).float() / 255
        content = torch.from_numpy(self.cohort.content[subject, plane]).float() / 255
        return (
            image[None],
            content,
            torch.tensor(self.cohort.labels[subject], dtype=torch.float32),
            subject,
            plane,
        )


def nearest_planes(cohort: CohortArrays, recipe: Recipe) -> Tensor:
    """(K,) which explained plane (0-based) each plane of a cohort is nearest to."""
    if cohort.images.shape[1] == 1:
        return torch.zeros(1, dtype=torch.long)
    heights = torch.tensor([float(p) for p in cohort.positions_mm if p is not None])
    return (heights[:, None] - torch.tensor(recipe.input.positions_mm)[None]).abs().argmin(1)


class WholeSubjects(Sampler[list[tuple[int, int]]]):
    """Batches of (row, plane) of a cohort: all explained planes of one subject, then those of the
    next.

    Parameters
    ----------
    near : (K,) of `nearest_planes`; of several planes near an explained one, one is drawn
    subjects : rows of the cohort
    batch : images in a batch; as many subjects as fit
    count : batches per epoch
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
    """Shuffled training batches; a last single image would break batch normalisation and is left
    out.

    With `whole`, every subject of a batch is there in all its explained planes.
    """
    data: Planes | CountedCopies = Planes(cohort, recipe.schedule.views)
    if recipe.architecture.backbone == "histogram":
        data = CountedCopies(cohort, recipe, recipe.schedule.views)
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
    """A batch changed at random; of copies that were changed and counted before, some are
    mirrored."""
    if recipe.architecture.backbone != "histogram":
        return augment(images, content, recipe.augmentation, flip)
    mirrored = torch.rand(len(images), device=images.device) < flip
    one = [-1, *[1] * (content.dim() - 1)]
    content = torch.where(mirrored.view(one), content.flip(-1), content)
    return torch.where(mirrored.view(-1, 1, *one[1:]), images.flip(-1), images), content


@torch.no_grad()
def feature_grids(
    backbone: nn.Module, cohort: CohortArrays, planes: list[int], batch: int = 60
) -> Tensor:
    """(N, K, C, *grid) features of the given planes, un-augmented, in evaluation mode."""
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
