"""The guide: a network that knows no labels and says which patches belong together.

What tells two patches apart by age (grey values, in few words) does not tell where they are, and
what tells where a patch is need not know any label. Matching and comparing ask different questions;
with a guide two networks answer them. It is not part of the published method.
"""

from __future__ import annotations

from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from expert.backbone import Backbone, cell_mass
from expert.datasets.prepared_dataset import CohortArrays
from expert.losses import alignment_loss, equivariance_loss
from expert.training.augmentation import augment, moved, new_places
from expert.training.recipe import Augmentation, Recipe

SLIGHT = Augmentation(rotation_deg=5.0, scale=0.05, shift=0.02, gamma=0.3, bias=0.15, noise=0.03)
"""Changes of images that are held against other subjects': they stay (nearly) registered."""
FAR = Augmentation(rotation_deg=15.0, scale=0.1, shift=0.2, gamma=0.4, bias=0.2, noise=0.03)
"""Changes of the copies in which an image's own cells are to be found."""


class GuideTask(lightning.LightningModule):
    """Cells of registered subjects find each other, and those of an image find themselves in its
    changed copy.

    Parameters
    ----------
    recipe : `recipe.guide` and `recipe.architecture.guiding` are its settings
    cohort : registered training subjects; their labels are not looked at
    """

    def __init__(self, recipe: Recipe, cohort: CohortArrays) -> None:
        super().__init__()
        self.settings, self.cohort = recipe.guide, cohort
        self.network = Backbone(recipe.architecture.guiding)
        self.network.mixed_precision = recipe.schedule.mixed_precision
        self.grid = recipe.grid

    def train_dataloader(self) -> DataLoader[Any]:
        """Rows of the cohort; each batch is of one plane, which the step draws."""
        rows = np.tile(np.arange(len(self.cohort.labels)), self.settings.views)
        return DataLoader(
            torch.from_numpy(rows),
            self.settings.batch,
            shuffle=True,
            drop_last=len(rows) > self.settings.batch,
        )  # type: ignore[arg-type]

    def training_step(self, rows: Tensor, index: int) -> Tensor:
        """Both losses of one batch of subjects in one random plane."""
        settings, numbers = self.settings, np.unique(rows.cpu().numpy())
        numbers = numbers[torch.randperm(len(numbers)).numpy()]
        plane = int(torch.randint(self.cohort.images.shape[1], ()))
        images = (
            torch.from_numpy(self.cohort.images[numbers, plane]).to(self.device)[:, None].float()
            / 255
        )
        content = (
            torch.from_numpy(self.cohort.content[numbers, plane]).to(self.device).float() / 255
        )
        near, inside = augment(images, content, SLIGHT)
        features, mass = self.network(near), cell_mass(inside, self.grid)
        loss = alignment_loss(features, features.roll(1, 0), mass, settings.temperature)
        if settings.equivariance:
            copies, _, theta = moved(images, content, FAR)
            own = self.network(images)
            places = new_places(theta, self.grid)
            found = equivariance_loss(
                own,
                self.network(copies),
                places,
                cell_mass(content, self.grid),
                settings.temperature,
            )
            loss = loss + settings.equivariance * found
        self.log("loss", loss, prog_bar=True, on_step=False, on_epoch=True, batch_size=len(numbers))
        return loss

    def configure_optimizers(self) -> Any:
        """AdamW with a cosine to nothing."""
        optimizer = torch.optim.AdamW(
            self.parameters(), self.settings.learning_rate, weight_decay=0.01
        )
        return [optimizer], [
            torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.settings.epochs)
        ]
