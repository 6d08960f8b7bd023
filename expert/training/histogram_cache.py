"""Training batches for a backbone whose first step has no weights: it is taken once for some
changed copies of each image."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from expert.backbone import HistogramBackbone, Members
from expert.datasets.prepared_dataset import FORMAT as PREPARED
from expert.datasets.prepared_dataset import CohortArrays
from expert.datasets.table import Entry
from expert.files import replacing
from expert.training.augmentation import moved
from expert.training.recipe import Augmentation, Recipe

FORMAT = 1
"""Raised whenever the same image gives other copies, so that old ones are not used."""
_KNOWN: dict[str, tuple[Tensor, Tensor]] = {}
"""Copies that are counted already: the folds of a cross-validation share most of their subjects."""


_UNCHANGED: dict[tuple[object, ...], Tensor] = {}


def as_input(backbone: nn.Module | None, images: np.ndarray) -> Tensor:
    """What a backbone is given of un-augmented images; of a counting one, the counts, which are
    taken once.

    Parameters
    ----------
    images : (N, *shape) uint8

    Returns
    -------
    (N, 1, *shape) 0 to 1, or (N, bins + 1, *grid)
    """
    if isinstance(backbone, Members):
        backbone = backbone.counted
    if not isinstance(backbone, HistogramBackbone):
        return torch.from_numpy(np.ascontiguousarray(images))[:, None].float() / 255
    fronts = []
    for image in images:
        key = (
            backbone.bins,
            backbone.cell,
            tuple(backbone.mirrored),
            image.shape,
            hashlib.sha256(image.tobytes()).digest(),
        )
        if key not in _UNCHANGED:
            _UNCHANGED[key] = backbone.front(
                torch.from_numpy(image.copy())[None, None].float() / 255
            )
        fronts.append(_UNCHANGED[key])
    return torch.cat(fronts)


class CountedCopies(Dataset[tuple[Tensor, Tensor, Tensor, int, int]]):
    """`views` random copies of each subject per epoch, as (front, content of the cells, label, row
    and plane of the cohort).

    Parameters
    ----------
    cohort : training subjects
    recipe : how to change the copies, and how many to make of each image
    views : copies drawn per subject and epoch
    """

    def __init__(self, cohort: CohortArrays, recipe: Recipe, views: int) -> None:
        self.views, self.labels, self.each = views, cohort.labels, recipe.augmentation.copies + 1
        backbone = HistogramBackbone(recipe.architecture)
        made = [
            _copies(
                backbone,
                cohort.images[row],
                cohort.content[row],
                recipe,
                cohort.entries[row],
                cohort.folder,
            )
            for row in range(len(cohort.labels))
        ]
        self.fronts = torch.stack([fronts for fronts, _ in made])
        self.content = torch.stack([content for _, content in made])

    def __len__(self) -> int:
        return len(self.labels) * self.views

    def __getitem__(self, item: int | tuple[int, int]) -> tuple[Tensor, Tensor, Tensor, int, int]:
        if isinstance(item, tuple):
            subject, copy = item[0], item[1] * self.each + int(torch.randint(self.each, ()))
        else:
            subject, copy = item % len(self.labels), int(torch.randint(self.fronts.shape[1], ()))
        label = torch.tensor(self.labels[subject], dtype=torch.float32)
        return (
            self.fronts[subject, copy].float(),
            self.content[subject, copy],
            label,
            subject,
            copy // self.each,
        )


def _copies(
    backbone: HistogramBackbone,
    images: np.ndarray,
    content: np.ndarray,
    recipe: Recipe,
    entry: Entry,
    folder: Path | None,
) -> tuple[Tensor, Tensor]:
    """(K * (copies + 1), bins + 1, *grid) fronts and (K * (copies + 1), *grid) content of one
    subject's K planes."""
    settings = recipe.augmentation
    text = repr(
        (
            entry.sha256,
            recipe.input.model_dump_json(),
            settings.model_dump_json(),
            backbone.bins,
            backbone.cell,
        )
    )
    if entry.pixel_size_mm is not None:
        text += f" {entry.pixel_size_mm}"
    key = hashlib.sha256(f"{PREPARED} {FORMAT} {text}".encode()).hexdigest()[:24]
    kept = None if folder is None else folder / f"counted-{key}.safetensors"
    if key not in _KNOWN and kept is not None and kept.exists():
        stored = load_file(kept)
        _KNOWN[key] = (stored["fronts"], stored["content"])
    if key not in _KNOWN:
        # A subject's copies are the same in every fold.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(entry.sha256[:12], 16))
            made = [
                pair
                for image, inside in zip(images, content, strict=True)
                for pair in augmented_views(image, inside, settings)
            ]
        fronts = torch.cat([backbone.front(image) for image, _ in made]).half()
        pool = (
            functional.adaptive_avg_pool2d if images.ndim == 3 else functional.adaptive_avg_pool3d
        )
        grid = tuple(fronts.shape[2:])
        shares = torch.cat([pool(inside[:, None], grid)[:, 0] for _, inside in made])  # type: ignore[arg-type]
        _KNOWN[key] = (fronts, shares)
        if kept is not None:
            with replacing(kept) as temporary:
                arrays = {"fronts": fronts.contiguous(), "content": shares.contiguous()}
                save_file(arrays, temporary)
    return _KNOWN[key]


def augmented_views(
    image: np.ndarray, inside: np.ndarray, settings: Augmentation
) -> Iterator[tuple[Tensor, Tensor]]:
    """The image as it is, then changed copies of it, with their content."""
    pixels = torch.from_numpy(np.ascontiguousarray(image))[None, None].float() / 255
    content = torch.from_numpy(np.ascontiguousarray(inside))[None].float() / 255
    yield pixels, content
    mask = (pixels > 0).float()
    for _ in range(settings.copies):
        copy, moved_content, theta = moved(pixels, content, settings)
        grid = functional.affine_grid(theta, list(pixels.shape), align_corners=False)
        covered = functional.grid_sample(mask, grid, align_corners=False)
        # Where inside and outside meet, the mean of the two would be another tissue's grey.
        copy = (copy / covered.clamp_min(0.5)).clamp(1 / 255, 1) * (covered >= 0.5)
        yield copy, moved_content
