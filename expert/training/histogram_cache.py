"""Histograms of augmented images, computed once and kept.

The first step of the histogram backbone has no weights. So a training draws from a few augmented
copies of each image whose histograms are computed before, once for all epochs and folds.
"""

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

from expert.backbone import HistogramBackbone, Members, PlaceMaps
from expert.datasets.prepared_dataset import FORMAT as PREPARED
from expert.datasets.prepared_dataset import CohortArrays
from expert.datasets.table import Entry
from expert.features.grey_values import to_unit
from expert.features.patch_weights import patch_weights
from expert.files import replacing
from expert.training.augmentation import moved
from expert.training.processes import first_one_first
from expert.training.recipe import Augmentation, Recipe
from expert.training.scanner_copies import STRENGTH, scanner_copies

FORMAT = 1
"""Increased when the same image gives other copies, so that old ones are not used."""
_KNOWN: dict[str, tuple[Tensor, Tensor]] = {}
"""Histograms of copies in memory: the folds of a cross-validation share most of their subjects."""
_UNCHANGED: dict[tuple[object, ...], Tensor] = {}
"""Histograms of un-augmented images in memory."""


def as_input(backbone: nn.Module | None, images: np.ndarray) -> Tensor:
    """Network input of un-augmented images: the images, or their histograms.

    Parameters
    ----------
    backbone : torch.nn.Module or None
        A histogram backbone gets histograms, which are computed once; any other one gets images.
    images : numpy.ndarray
        (N, *shape) uint8.

    Returns
    -------
    Tensor
        (N, 1, *shape), 0 to 1, or (N, bins + 1, *grid).
    """
    if isinstance(backbone, Members):
        backbone = backbone.shared_histogram
    if not isinstance(backbone, HistogramBackbone):
        return to_unit(images)[:, None]
    histograms = []
    for image in images:
        key = (
            backbone.bins,
            backbone.cell,
            tuple(backbone.mirrored),
            image.shape,
            hashlib.sha256(image.tobytes()).digest(),
        )
        if key not in _UNCHANGED:
            _UNCHANGED[key] = backbone.soft_histogram(to_unit(image)[None, None])
        histograms.append(_UNCHANGED[key])
    return torch.cat(histograms)


def standardise(backbone: nn.Module, cohort: CohortArrays) -> None:
    """Prepare the linear maps of a histogram backbone, if it has any, for the training images.

    Parameters
    ----------
    backbone : torch.nn.Module
        Changed in place.
    cohort : CohortArrays
        Training subjects, of one plane.
    """
    for module in backbone.modules():
        if isinstance(module, PlaceMaps):
            module.standardise(as_input(backbone, cohort.images[:, 0]))


def weigh_patches(backbone: nn.Module, cohort: CohortArrays, recipe: Recipe) -> None:
    """Weigh the patches of a histogram backbone by their value for the label, if it has weights.

    Parameters
    ----------
    backbone : torch.nn.Module
        Changed in place.
    cohort : CohortArrays
        Training subjects, of one plane.
    recipe : Recipe
        Of the training; its copies by simulated scanners take part.
    """
    if isinstance(backbone, HistogramBackbone) and backbone.patch_weights is not None:
        copies = HistogramCopies(cohort, recipe, 1)
        # Of each scanner the copy that was not moved.
        chosen = copies.histograms[:, :: recipe.augmentation.copies + 1]
        backbone.patch_weights.copy_(patch_weights(chosen, cohort.labels, cohort.subjects))


class HistogramCopies(Dataset[tuple[Tensor, Tensor, Tensor, int, int]]):
    """Random copies of each subject, as (histogram, patch content, label, row, plane).

    Parameters
    ----------
    cohort : CohortArrays
        Training subjects.
    recipe : Recipe
        How to change the copies, and how many to make of each image.
    views : int
        Copies drawn per subject and epoch.
    """

    def __init__(self, cohort: CohortArrays, recipe: Recipe, views: int) -> None:
        self.views, self.labels = views, cohort.labels
        self.each = (recipe.augmentation.copies + 1) * (recipe.augmentation.scanners + 1)
        backbone = HistogramBackbone(recipe.architecture)
        with first_one_first():  # which writes the copies
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
        self.histograms = torch.stack([histograms for histograms, _ in made])
        self.content = torch.stack([content for _, content in made])

    def __len__(self) -> int:
        return len(self.labels) * self.views

    def __getitem__(self, item: int | tuple[int, int]) -> tuple[Tensor, Tensor, Tensor, int, int]:
        if isinstance(item, tuple):
            subject, copy = item[0], item[1] * self.each + int(torch.randint(self.each, ()))
        else:
            subject, copy = (
                item % len(self.labels),
                int(torch.randint(self.histograms.shape[1], ())),
            )
        label = torch.tensor(self.labels[subject], dtype=torch.float32)
        return (
            self.histograms[subject, copy].float(),
            self.content[subject, copy],
            label,
            subject,
            copy // self.each,
        )


CountedCopies = HistogramCopies  # former name


def _copies(
    backbone: HistogramBackbone,
    images: np.ndarray,
    content: np.ndarray,
    recipe: Recipe,
    entry: Entry,
    folder: Path | None,
) -> tuple[Tensor, Tensor]:
    """Histograms and content of the copies of one subject's K planes.

    Returns (K * n, bins + 1, *grid) and (K * n, *grid); n = (scanners + 1) * (copies + 1).
    """
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
    if settings.scanners:
        text += f" {STRENGTH}"
    key = hashlib.sha256(f"{PREPARED} {FORMAT} {text}".encode()).hexdigest()[:24]
    file = None if folder is None else folder / f"counted-{key}.safetensors"
    if key not in _KNOWN and file is not None and file.exists():
        stored = load_file(file)
        _KNOWN[key] = (stored["fronts"], stored["content"])
    if key not in _KNOWN:
        sources = [(images, content)]
        if settings.scanners:
            assert folder is not None  # checked when they were prepared
            scanned = scanner_copies(entry, recipe.input, settings.scanners, folder)
            sources += list(zip(*scanned, strict=True))
        # Seeded by the image: a subject's copies are the same in every fold.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(entry.sha256[:12], 16))
            made = [
                pair
                for plane in range(len(images))
                for source, inside in sources
                for pair in augmented_copies(source[plane], inside[plane], settings)
            ]
        histograms = torch.cat([backbone.soft_histogram(image) for image, _ in made]).half()
        pool = (
            functional.adaptive_avg_pool2d if images.ndim == 3 else functional.adaptive_avg_pool3d
        )
        grid = tuple(histograms.shape[2:])
        shares = torch.cat([pool(inside[:, None], grid)[:, 0] for _, inside in made])  # type: ignore[arg-type]
        _KNOWN[key] = (histograms, shares)
        if file is not None:
            with replacing(file) as temporary:
                arrays = {"fronts": histograms.contiguous(), "content": shares.contiguous()}
                save_file(arrays, temporary)
    return _KNOWN[key]


def augmented_copies(
    image: np.ndarray, inside: np.ndarray, settings: Augmentation
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield an image as it is, then augmented copies of it, each with its content.

    Parameters
    ----------
    image : numpy.ndarray
        (*shape) uint8.
    inside : numpy.ndarray
        (*shape) uint8, its content.
    settings : Augmentation
        Amounts and number of copies.

    Yields
    ------
    image, content : Tensor
        (1, 1, *shape) and (1, *shape), 0 to 1.
    """
    pixels = to_unit(image)[None, None]
    content = to_unit(inside)[None]
    yield pixels, content
    mask = (pixels > 0).float()
    for _ in range(settings.copies):
        copy, moved_content, theta = moved(pixels, content, settings)
        grid = functional.affine_grid(theta, list(pixels.shape), align_corners=False)
        covered = functional.grid_sample(mask, grid, align_corners=False)
        # A mean of inside and outside at the edge would have the grey value of another tissue.
        copy = (copy / covered.clamp_min(0.5)).clamp(1 / 255, 1) * (covered >= 0.5)
        yield copy, moved_content
