"""Regression warm-up and baseline: a linear head on the backbone, as a Lightning module."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from expert.backbone import one_backbone
from expert.datasets.prepared_dataset import CohortArrays
from expert.training.batches import augmented_views, nearest_planes
from expert.training.framework import lightning
from expert.training.histogram_cache import as_input, standardise
from expert.training.processes import Share
from expert.training.recipe import Recipe

BLOCK = 60
"""Images predicted at once."""


class RegressionModule(lightning.LightningModule):
    """Regression: mean of the backbone's features over the patches, one linear layer.

    Trained with the mean absolute error.

    Parameters
    ----------
    recipe : Recipe
        Settings of the training.
    cohort : CohortArrays
        Training subjects.
    epochs : int
        Number of epochs, over which the learning rate decays.
    """

    def __init__(self, recipe: Recipe, cohort: CohortArrays, epochs: int) -> None:
        super().__init__()
        self.recipe, self.epochs = recipe, epochs
        self.backbone = one_backbone(recipe.architecture)
        self.backbone.mixed_precision = recipe.schedule.mixed_precision
        # Several processes wait for the gradient of every weight that has one.
        self.backbone.add_on_layers.requires_grad_(False)
        # Where prototypes show every plane, each plane has its own output.
        settings = recipe.architecture
        standardise(self.backbone, cohort)
        self.head = nn.Linear(settings.trunk, settings.planes)
        self.register_buffer("center", torch.tensor(float(cohort.labels.mean())))
        self.register_buffer("spread", torch.tensor(float(cohort.labels.std()) or 1.0))
        near = nearest_planes(cohort, recipe)
        self.near = near if settings.planes_combined else torch.zeros_like(near)

    def forward(self, images: Tensor, planes: Tensor) -> Tensor:
        """Predict (B,) label units from images (B, 1, *shape) of the explained planes (B,)."""
        outputs = self.head(self.backbone.pooled(images))
        chosen = outputs.gather(1, planes.to(images.device)[:, None])[:, 0]
        prediction: Tensor = chosen * self.spread + self.center
        return prediction

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        """() mean absolute error of a batch, in standard deviations of the labels.

        The mean over the processes is that of the batch.
        """
        images, content, labels, _, planes = batch
        share = Share(len(labels))
        images, content = augmented_views(images, content, self.recipe, self.recipe.warmup.flip)
        found = self(share.own(images), self.near[share.own(planes).cpu()])
        loss: Tensor = share.weight * (found - share.own(labels)).abs().mean()
        self.log(
            "mae", loss, prog_bar=True, on_step=False, on_epoch=True, batch_size=len(labels),
            sync_dist=True,
        )  # fmt: skip
        scaled: Tensor = loss / self.spread
        return scaled

    def configure_optimizers(self) -> Any:
        """AdamW with cosine decay; the 1×1 convolutions of the prototypes are not trained here."""
        parameters = [*self.backbone.features.parameters(), *self.head.parameters()]
        settings = self.recipe.warmup
        optimizer = torch.optim.AdamW(
            parameters, settings.learning_rate, weight_decay=settings.weight_decay
        )
        decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(self.epochs, 1))
        return [optimizer], [decay]

    @torch.no_grad()
    def predict_cohort(self, cohort: CohortArrays, planes: list[int]) -> np.ndarray:
        """(N,) mean prediction over the given planes of each subject, label units."""
        self.eval()
        images = cohort.images[:, planes].reshape(-1, *cohort.images.shape[2:])
        which = self.near[planes].repeat(len(cohort.images))
        blocks = [
            self(as_input(self.backbone, images[n : n + BLOCK]), which[n : n + BLOCK])
            for n in range(0, len(images), BLOCK)
        ]
        return np.asarray(torch.cat(blocks).reshape(-1, len(planes)).mean(1).double())


RegressionTask = RegressionModule  # former name
