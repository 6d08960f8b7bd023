"""Training of the matching network, as a Lightning module.

The matching network decides which patches are matched (`architecture.guide`). It is trained without
labels: features that separate ages are poor at finding anatomical places, and features that find
places need no labels. So one network matches patches and another compares them. This is not part of
the published method.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from expert.backbone import Backbone, matching_architecture, patch_mass
from expert.datasets.prepared_dataset import CohortArrays
from expert.features.grey_values import to_unit
from expert.features.head_frame import MIRRORS, keep_rim
from expert.losses import alignment_loss, equivariance_loss
from expert.training.augmentation import augment, moved, new_places
from expert.training.framework import lightning
from expert.training.processes import Share
from expert.training.recipe import Augmentation, Recipe

SLIGHT = Augmentation(rotation_deg=5.0, scale=0.05, shift=0.02, gamma=0.3, bias=0.15, noise=0.03)
"""Random changes of images that are compared with other subjects; they stay nearly registered."""
STRONG = Augmentation(rotation_deg=15.0, scale=0.1, shift=0.2, gamma=0.4, bias=0.2, noise=0.03)
"""Random changes of the copies in which the patches of an image are to be found again."""


class MatchingModule(lightning.LightningModule):
    """Training of the matching network on two tasks.

    Patches of one registered subject are to be found at the same place in another subject, and
    patches of an image are to be found again in a randomly changed copy.

    Parameters
    ----------
    recipe : Recipe
        `recipe.guide` and its matching architecture are used.
    cohort : CohortArrays
        Registered training subjects; their labels are not used.
    """

    def __init__(self, recipe: Recipe, cohort: CohortArrays) -> None:
        super().__init__()
        self.settings, self.cohort = recipe.guide, cohort
        self.network = Backbone(matching_architecture(recipe.architecture), sized=False)
        self.network.mixed_precision = recipe.schedule.mixed_precision
        self.grid = recipe.grid

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches of rows of the cohort; the training step draws one plane for each batch."""
        rows = np.tile(np.arange(len(self.cohort.labels)), self.settings.views)
        return DataLoader(
            torch.from_numpy(rows),  # type: ignore[arg-type]
            self.settings.batch,
            shuffle=True,
            drop_last=len(rows) > self.settings.batch,
        )

    def training_step(self, rows: Tensor, index: int) -> Tensor:
        """() sum of both losses for a batch of subjects (B,) in one random plane."""
        settings, numbers = self.settings, np.unique(rows.cpu().numpy())
        numbers = numbers[torch.randperm(len(numbers)).numpy()]
        plane = int(torch.randint(self.cohort.images.shape[1], ()))
        images, content = (
            to_unit(array[numbers, plane]).to(self.device)
            for array in (self.cohort.images, self.cohort.content)
        )
        images, share = images[:, None], Share(len(numbers))
        near, inside = augment(images, content, SLIGHT)
        ellipse = self.network.ellipse
        near = keep_rim(near, images) if ellipse else near
        features, mass = self.network(share.own(near)), patch_mass(inside, self.grid)
        loss = share.weight * alignment_loss(
            features,
            share.own(share.gather(features).roll(1, 0)),
            share.own(mass),
            settings.temperature,
            mirrors=MIRRORS if ellipse else ((),),
        )
        if settings.equivariance:
            copies, _, theta = moved(images, content, STRONG)
            copies = keep_rim(copies, images) if ellipse else copies
            found = equivariance_loss(
                self.network(share.own(images)),
                self.network(share.own(copies)),
                new_places(share.own(theta), self.grid),
                patch_mass(share.own(content), self.grid),
                settings.temperature,
            )
            loss = loss + (settings.equivariance * share.weight) * found
        self.log(
            "loss", loss, prog_bar=True, on_step=False, on_epoch=True, batch_size=len(numbers),
            sync_dist=True,
        )  # fmt: skip
        return loss

    def configure_optimizers(self) -> Any:
        """AdamW with cosine decay."""
        settings = self.settings
        optimizer = torch.optim.AdamW(self.parameters(), settings.learning_rate, weight_decay=0.01)
        decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.epochs)
        return [optimizer], [decay]


GuideTask = MatchingModule  # former name
