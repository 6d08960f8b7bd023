"""The two stages of a training as Lightning modules: a plain regression head, then prototypes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from expert.backbone import Backbone, Members
from expert.datasets.prepared_dataset import CohortArrays
from expert.losses import (
    alignment_loss,
    consistency_loss,
    equivariance_loss,
    metric_loss,
    prediction_loss,
)
from expert.model import PrototypeRegressor, weighted_prediction
from expert.projection import nearest_images, spread_over_labels
from expert.tissue import HistogramBackbone
from expert.training.augmentation import moved, new_places
from expert.training.batches import augmented_views, batches, feature_grids, nearest_planes
from expert.training.histogram_cache import as_input
from expert.training.recipe import Augmentation, Recipe

MOVES = Augmentation(rotation_deg=15.0, scale=0.1, shift=0.1, gamma=0.3, bias=0.2, noise=0.03)
"""How the copies of the equivariance loss are made."""


FLOOR_RATE = 0.002
"""Learning rate of the costs' floor, whose unit is theirs."""


class PrototypeTask(lightning.LightningModule):
    """ExPeRT's own stage: metric, consistency and alignment losses, projection of prototypes onto
    training images.

    Parameters
    ----------
    recipe : the training's settings
    cohort : training subjects (prototypes become some of these)
    grid : cells per axis of the feature grid
    validation : subjects kept aside, or None
    """

    def __init__(
        self,
        recipe: Recipe,
        cohort: CohortArrays,
        grid: tuple[int, ...],
        validation: CohortArrays | None = None,
    ) -> None:
        super().__init__()
        self.recipe, self.cohort, self.validation = recipe, cohort, validation
        self.network = PrototypeRegressor(recipe.architecture, grid)
        self.network.backbone.mixed_precision = recipe.schedule.mixed_precision
        # Prototypes are chosen among the planes that are explained later, not among all that are
        # trained on.
        self.views = cohort.planes(recipe.input.positions_mm) if cohort.images.shape[1] > 1 else [0]
        self.near = nearest_planes(cohort, recipe)
        # Which image each prototype is: (subject, plane); -1 while it is none, the first plane
        # where it shows all of them.
        self.register_buffer(
            "sources", torch.full((recipe.architecture.prototypes, 2), -1, dtype=torch.long)
        )
        self.stale = 0
        self.best = float("inf")
        self.kept: dict[str, Tensor] | None = None

    @property
    def trained(self) -> Backbone | HistogramBackbone:
        """The backbone that is trained here; members are trained by tasks of their own and
        `join`."""
        if isinstance(self.network.backbone, Members):
            raise TypeError("members are trained one by one, then joined")
        return self.network.backbone

    # --- start ------------------------------------------------------------------------------------
    def initialise(self) -> None:
        """Labels and, by recipe, latents and scale from the training subjects."""
        recipe, network = self.recipe, self.network
        labels = self.cohort.labels
        evenly = np.linspace(labels.min(), labels.max(), recipe.architecture.prototypes)
        network.prototype_labels.copy_(torch.from_numpy(evenly).float())
        if recipe.start == "subjects":
            chosen = spread_over_labels(labels, recipe.architecture.prototypes)
            plane = self.views[0 if self.network.architecture.planes > 1 else len(self.views) // 2]
            self._show(
                torch.stack([torch.from_numpy(chosen), torch.full((len(chosen),), plane)], 1),
                relabel=True,
            )
        if recipe.calibrate_scale:
            some = (
                self.views
                if network.architecture.planes > 1
                else [self.views[len(self.views) // 2]]
            )
            distance = self._distances(
                feature_grids(network.backbone, self.cohort, some), some, exact=False
            ).mean(1)
            gap = (torch.from_numpy(labels).float()[:, None] - network.prototype_labels[None]).abs()
            if recipe.architecture.floor:
                # What images of (nearly) one label are apart, in the unit of the costs.
                floor = distance[gap <= gap.median() / 8].median()
                network.floor.data.copy_(floor / network.scale.detach())
                distance = (distance - floor).abs()
            network.scale.data.mul_(gap.median() / distance.median())

    @torch.no_grad()
    def join(self, members: Sequence[PrototypeTask], guide: nn.Module | None = None) -> None:
        """Put trained members and guide together; prototypes become the training images that all
        members together choose."""
        network = self.network
        if not isinstance(network.backbone, Members):
            raise TypeError("only an architecture of several parts can be joined")
        if network.backbone.guide is not None and guide is not None:
            network.backbone.guide.load_state_dict(guide.state_dict())
        scales = [float(member.network.scale) for member in members]
        network.scale.fill_(
            network.backbone.join([member.network.backbone for member in members], scales)
        )
        network.prototype_labels.copy_(members[0].network.prototype_labels)
        self._show(members[0].sources, relabel=False)
        self.project()

    @torch.no_grad()
    def _distances(
        self,
        features: Tensor,
        planes: list[int],
        cohort: CohortArrays | None = None,
        *,
        exact: bool = True,
    ) -> Tensor:
        """(N, K, P) distances of feature grids (N, K, C, *grid), in blocks that fit into memory."""
        cohort = self.cohort if cohort is None else cohort
        content = torch.from_numpy(cohort.content[:, planes])
        network, schedule, columns = self.network, self.recipe.schedule, []
        for number, plane in enumerate(planes):
            view, out = int(self.near[plane]), []
            for n in range(0, len(content), 30):
                mass = network.image_mass(content[n : n + 30, number].to(self.device).float() / 255)
                grids = features[n : n + 30, number].to(self.device)
                if exact:
                    out.append(network.compare(grids, mass, view).distance.cpu())
                    continue
                which = torch.full((len(grids),), view)
                found = network.rough_distance(
                    grids, mass, schedule.steps, by_position=schedule.by_position, planes=which
                )
                out.append(found.cpu())
            columns.append(torch.cat(out))
        return torch.stack(columns, 1)

    # --- projection -------------------------------------------------------------------------------
    @torch.no_grad()
    def project(self) -> None:
        """Every prototype's latent becomes that of a training image, chosen as the recipe says."""
        settings = self.recipe.projection
        features = feature_grids(self.network.backbone, self.cohort, self.views)
        found = self._distances(features, self.views, exact=False)
        if self.network.architecture.planes > 1:  # a subject as a whole is chosen
            found = found.mean(1, keepdim=True)
        distance, planes = found.flatten(0, 1).numpy(), found.shape[1]
        chosen = nearest_images(
            distance,
            np.repeat(self.cohort.labels, planes),
            np.repeat(self.cohort.subjects, planes),
            self.network.prototype_labels.double().cpu().numpy(),
            window=settings.window,
            distinct=settings.distinct,
        )
        sources = torch.from_numpy(
            np.stack([chosen // planes, np.array(self.views)[chosen % planes]], 1)
        )
        self._show(sources, relabel=settings.relabel)

    @torch.no_grad()
    def _show(self, sources: Tensor, relabel: bool) -> None:
        """Let each prototype be the image (subject, plane) at its row of `sources`, or all
        explained planes of the subject."""
        network = self.network
        rows, planes = sources.T.cpu().numpy()
        shown = self.cohort.select(rows)
        if network.architecture.planes > 1:
            pixels, inside = (
                np.concatenate([of[:, view] for view in self.views])
                for of in (shown.images, shown.content)
            )
        else:
            pixels, inside = (
                of[np.arange(len(rows)), planes] for of in (shown.images, shown.content)
            )
        images = as_input(network.backbone, pixels).to(self.device)
        content = torch.from_numpy(inside).to(self.device).float() / 255
        was_training = network.training
        network.eval()
        network.prototypes.data.copy_(network.backbone(images))
        network.train(was_training)
        network.prototype_mass.copy_(network.image_mass(content))
        self.sources.copy_(sources)
        if relabel:
            network.prototype_labels.copy_(torch.from_numpy(shown.labels).float())

    def _projects_before(self, epoch: int) -> bool:
        settings = self.recipe.projection
        last = max(settings.epochs, default=0)
        return epoch in settings.epochs or (epoch > last and (epoch - last) % settings.every == 0)

    # --- Lightning --------------------------------------------------------------------------------
    def on_train_epoch_start(self) -> None:
        if self._projects_before(self.current_epoch):
            self.project()
            self.judge()

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        images, content, labels, rows, planes = batch
        recipe, losses, network = self.recipe, self.recipe.losses, self.network
        images, content = augmented_views(images, content, recipe)
        mass = network.image_mass(content)
        features = network.backbone(images)
        distance = network.rough_distance(
            features,
            mass,
            recipe.schedule.steps,
            by_position=recipe.schedule.by_position,
            planes=self.near[planes.cpu()],
        )
        others = None if losses.own else self._others(rows)
        parts = {"metric": losses.metric * metric_loss(
            distance, labels, network.prototype_labels, losses.sigma, losses.leak, others
        )}  # fmt: skip
        several = recipe.architecture.planes
        if several > 1:  # from here on the planes' mean distances, which decide
            distance, labels = (
                distance.reshape(-1, several, distance.shape[1]).mean(1),
                labels[::several],
            )
            others = None if others is None else others[::several]
            parts["together"] = losses.metric * metric_loss(
                distance, labels, network.prototype_labels, losses.sigma, losses.leak, others
            )
        if losses.prediction:
            parts["prediction"] = losses.prediction * prediction_loss(
                distance, labels, network.prototype_labels, recipe.architecture.radius, others
            )
        if losses.consistency:
            parts["consistency"] = losses.consistency * consistency_loss(
                features, network.backbone(images.flip(-1)), losses.margin
            )
        if losses.equivariance:
            few = slice(losses.copies)
            copies, _, theta = moved(images[few], content[few], MOVES, losses.mirrored)
            parts["equivariance"] = losses.equivariance * equivariance_loss(
                features[few],
                network.backbone(copies),
                new_places(theta, network.grid),
                mass[few],
                losses.temperature,
            )
        if losses.alignment:  # with the next subject of the batch, plane by plane where a subject's planes go together  # noqa: E501
            parts["alignment"] = losses.alignment * alignment_loss(
                features, features.roll(several, 0), mass, losses.temperature
            )
        with torch.no_grad():
            settings = recipe.architecture
            found = weighted_prediction(
                distance, network.prototype_labels, settings.radius, settings.weights
            )
            parts_for_log = {**parts, "mae": (found.prediction - labels).abs().mean()}
        self.log_dict(
            parts_for_log, prog_bar=True, on_step=False, on_epoch=True, batch_size=len(labels)
        )
        return torch.stack(list(parts.values())).sum()

    def _others(self, rows: Tensor) -> Tensor:
        """(B, P) bool: prototypes that do not show the subject of an image at row (B,) of the
        cohort."""
        subjects = torch.from_numpy(self.cohort.subjects).to(rows.device)
        shown = torch.where(self.sources[:, 0] >= 0, subjects[self.sources[:, 0]], -1)
        return subjects[rows][:, None] != shown[None]

    def configure_optimizers(self) -> Any:
        recipe, network = self.recipe, self.network
        schedule = recipe.schedule
        head = [*self.trained.add_on_layers.parameters(), network.prototypes]
        groups = [
            {"params": self.trained.features.parameters(), "lr": schedule.backbone_rate},
            {"params": head, "lr": schedule.head_rate},
            {"params": [network.scale], "lr": schedule.scale_rate, "weight_decay": 0.0},
        ]
        if recipe.architecture.floor:
            groups.append({"params": [network.floor], "lr": FLOOR_RATE, "weight_decay": 0.0})
        kind = torch.optim.AdamW if schedule.optimizer == "adamw" else torch.optim.Adam
        optimizer = kind(groups, weight_decay=schedule.weight_decay)
        if schedule.decay == "cosine":
            return [optimizer], [
                torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, schedule.epochs)
            ]
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 50, 0.5)]

    def on_train_end(self) -> None:
        self.project()
        self.judge()
        if self.kept is not None:
            self.load_state_dict(self.kept)

    def judge(self) -> None:
        """After a projection: keep the state with the lowest validation metric loss; stop when it
        no longer falls."""
        if self.validation is None:
            return
        features = feature_grids(self.network.backbone, self.validation, self.views)
        distance = self._distances(features, self.views, self.validation).flatten(0, 1)
        labels = torch.from_numpy(self.validation.labels).float().repeat_interleave(len(self.views))
        losses = self.recipe.losses
        value = float(
            metric_loss(
                distance, labels, self.network.prototype_labels.cpu(), losses.sigma, losses.leak
            )
        )
        self.stale += 1
        if value < self.best:
            self.best, self.stale = value, 0
            self.kept = {
                name: tensor.detach().clone() for name, tensor in self.state_dict().items()
            }
        elif self.stale >= self.recipe.schedule.patience and self._trainer is not None:
            self.trainer.should_stop = True

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["expert"] = {"best": self.best, "stale": self.stale, "kept": self.kept}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        state = checkpoint["expert"]
        self.best, self.stale, self.kept = state["best"], state["stale"], state["kept"]

    def train_dataloader(self) -> DataLoader[Any]:
        return batches(self.cohort, self.recipe, whole=self.recipe.architecture.planes > 1)

    @torch.no_grad()
    def distances(self, cohort: CohortArrays, *, exact: bool = True) -> np.ndarray:
        """(N, V, P) distances of a cohort's explained planes, label units; as in training where not
        `exact`."""
        self.eval()
        features = feature_grids(self.network.backbone, cohort, self.views)
        return self._distances(features, self.views, cohort, exact=exact).double().numpy()

    def fitted(self) -> np.ndarray:
        """(N,) what the training subjects are predicted to be by the distances of the training,
        label units."""
        distance = torch.from_numpy(self.distances(self.cohort, exact=False))
        if self.network.architecture.planes > 1:
            distance = distance.mean(1, keepdim=True)
        settings, labels = self.recipe.architecture, self.network.prototype_labels.double().cpu()
        views = [
            weighted_prediction(view, labels, settings.radius, settings.weights).prediction
            for view in distance.unbind(1)
        ]
        return np.asarray(torch.stack(views).mean(0))
