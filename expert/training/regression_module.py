"""The warm-up as a Lightning module: a regression head on the backbone."""

from __future__ import annotations

from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor, nn

from expert.backbone import one_backbone
from expert.datasets.prepared_dataset import CohortArrays
from expert.training.batches import augmented_views, nearest_planes
from expert.training.histogram_cache import as_input
from expert.training.recipe import Recipe


class RegressionTask(lightning.LightningModule):
    """Plain regression: global average of the trunk's features, one linear layer, mean absolute
    error."""

    def __init__(self, recipe: Recipe, cohort: CohortArrays, epochs: int) -> None:
        super().__init__()
        self.recipe, self.epochs = recipe, epochs
        self.backbone = one_backbone(recipe.architecture)
        self.backbone.mixed_precision = recipe.schedule.mixed_precision
        # Where prototypes show every plane, each plane has a head of its own.
        self.head = nn.Linear(recipe.architecture.widths[-1], recipe.architecture.planes)
        self.register_buffer("center", torch.tensor(float(cohort.labels.mean())))
        self.register_buffer("spread", torch.tensor(float(cohort.labels.std()) or 1.0))
        near = nearest_planes(cohort, recipe)
        self.near = near if recipe.architecture.planes > 1 else torch.zeros_like(near)

    def forward(self, images: Tensor, planes: Tensor) -> Tensor:
        """(B, 1, *shape) of so many explained planes (B,), to (B,) label units."""
        told = self.head(self.backbone.pooled(images)).gather(1, planes.to(images.device)[:, None])
        out: Tensor = told[:, 0] * self.spread + self.center
        return out

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        images, content, labels, _, planes = batch
        images, content = augmented_views(images, content, self.recipe, self.recipe.warmup.flip)
        loss: Tensor = (self(images, self.near[planes.cpu()]) - labels).abs().mean()
        self.log("mae", loss, prog_bar=True, on_step=False, on_epoch=True, batch_size=len(labels))
        scaled: Tensor = loss / self.spread
        return scaled

    def configure_optimizers(self) -> Any:
        parameters = [*self.backbone.features.parameters(), *self.head.parameters()]
        optimizer = torch.optim.AdamW(
            parameters,
            self.recipe.warmup.learning_rate,
            weight_decay=self.recipe.warmup.weight_decay,
        )
        return [optimizer], [
            torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(self.epochs, 1))
        ]

    @torch.no_grad()
    def predict_cohort(self, cohort: CohortArrays, planes: list[int]) -> np.ndarray:
        """(N,) mean prediction over the planes, label units."""
        self.eval()
        images = cohort.images[:, planes].reshape(-1, *cohort.images.shape[2:])
        which = self.near[planes].repeat(len(cohort.images))
        out = torch.cat(
            [
                self(as_input(self.backbone, images[n : n + 60]), which[n : n + 60])
                for n in range(0, len(images), 60)
            ]
        )
        return np.asarray(out.reshape(-1, len(planes)).mean(1).double())
