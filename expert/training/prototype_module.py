"""Training of the prototypes as a Lightning module: losses, optimiser, projection."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from expert.backbone import Backbone, HistogramBackbone, Members
from expert.datasets.prepared_dataset import CohortArrays
from expert.features.grey_values import to_unit
from expert.features.head_frame import MIRRORS, keep_rim
from expert.losses import (
    alignment_loss,
    consistency_loss,
    equivariance_loss,
    metric_loss,
    prediction_loss,
)
from expert.model import PrototypeRegressor, weighted_prediction
from expert.training.augmentation import moved, new_places
from expert.training.batches import augmented_views, batches, nearest_planes
from expert.training.callbacks import ProjectPrototypes, StopAtBestProjection
from expert.training.framework import lightning
from expert.training.histogram_cache import as_input, standardise, weigh_patches
from expert.training.processes import Share, of_the_first
from expert.training.projection import nearest_images, spread_over_labels
from expert.training.prototype_assignment import (
    assign_prototypes,
    cohort_distances,
    heaviest_patches,
    shared_distances,
)
from expert.training.recipe import Augmentation, Recipe

MOVES = Augmentation(rotation_deg=15.0, scale=0.1, shift=0.1, gamma=0.3, bias=0.2, noise=0.03)
"""Random changes of the copies that the equivariance loss compares."""


class PrototypeModule(lightning.LightningModule):
    """Prototype stage of a training: the losses of a batch and the projection of prototypes.

    Parameters
    ----------
    recipe : Recipe
        Settings of the training.
    cohort : CohortArrays
        Training subjects; the prototypes become images of some of these.
    grid : tuple of int
        Patches per axis of the feature grid.
    validation : CohortArrays, optional
        Subjects held out to choose the best projection; None: the last one is taken.

    References
    ----------
    .. [1] Hesse et al., "Prototype Learning for Explainable Brain Age Prediction", WACV 2024,
           arXiv:2306.09858.
    """

    sources: Tensor
    """(P, 2) int: row of the cohort and plane that each prototype shows; -1 before the first
    projection. The first explained plane where prototypes show all planes of a subject."""

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
        if recipe.projection.every_step:  # images replace the latents
            self.network.prototypes.requires_grad_(False)
        # Prototypes are chosen among the explained planes.
        self.views = cohort.explained_planes(recipe.input)
        self.near = nearest_planes(cohort, recipe)
        self.register_buffer(
            "sources", torch.full((recipe.architecture.prototypes, 2), -1, dtype=torch.long)
        )

    @property
    def trained(self) -> Backbone | HistogramBackbone:
        """The backbone that is trained here; ensemble members are trained one by one."""
        if isinstance(self.network.backbone, Members):
            raise TypeError("ensemble members are trained one by one, then joined")
        return self.network.backbone

    # --- prototypes -------------------------------------------------------------------------------
    def initialise(self) -> None:
        """Set labels and, by recipe, latents and scale from the training subjects."""
        recipe, network, labels = self.recipe, self.network, self.cohort.labels
        several = recipe.architecture.planes_combined
        middle = self.views[len(self.views) // 2]
        standardise(self.trained, self.cohort)
        weigh_patches(self.trained, self.cohort, recipe)
        if recipe.projection.every_step:
            self.unchanged = as_input(self.trained, self.cohort.images[:, 0])
            self.unchanged_mass = network.image_mass(to_unit(self.cohort.content[:, 0]))
        evenly = np.linspace(labels.min(), labels.max(), recipe.architecture.prototypes)
        network.prototype_labels.copy_(torch.from_numpy(evenly).float())
        if recipe.start != "uniform":
            count, quantiles = recipe.architecture.prototypes, recipe.start == "quantiles"
            chosen = torch.from_numpy(spread_over_labels(labels, count, quantiles=quantiles))
            plane = torch.full_like(chosen, self.views[0] if several else middle)
            self.assign_prototypes(torch.stack([chosen, plane], 1), relabel=True)
        if recipe.calibrate_scale:
            planes = self.views if several else [middle]
            distance = self._distances(self.cohort, planes, exact=False).mean(1)
            gap = (torch.from_numpy(labels).float()[:, None] - network.prototype_labels[None]).abs()
            network.scale.data.mul_(gap.median() / distance.median())

    def assign_prototypes(self, sources: Tensor, *, relabel: bool) -> None:
        """Make each prototype the training image at its row of `sources`.

        Parameters
        ----------
        sources : Tensor
            (P, 2) int, row of the cohort and plane.
        relabel : bool
            Whether the prototypes take the labels of these images.
        """
        planes = self.views if self.recipe.architecture.planes_combined else None
        assign_prototypes(self.network, self.cohort, sources, planes)
        self.sources.copy_(sources)
        if relabel:
            labels = self.cohort.labels[sources[:, 0].cpu().numpy()]
            self.network.prototype_labels.copy_(torch.from_numpy(labels).float())

    @torch.no_grad()
    def project(self) -> None:
        """Make each prototype the training image that the recipe's rule selects."""
        settings = self.recipe.projection
        if settings.every_step:  # they were images all along
            self.assign_prototypes(self.sources.cpu(), relabel=True)
            return
        found = self._distances(self.cohort, self.views, exact=False)
        if self.recipe.architecture.planes_combined:  # the mean over a subject's planes decides
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
        sources = np.stack([chosen // planes, np.array(self.views)[chosen % planes]], 1)
        self.assign_prototypes(of_the_first(torch.from_numpy(sources)), relabel=settings.relabel)

    def validation_loss(self) -> Tensor:
        """() metric loss of the validation subjects by converged plans, label units."""
        if self.validation is None:
            raise ValueError("there are no validation subjects")
        distance = self._distances(self.validation, self.views, exact=True).flatten(0, 1)
        labels = torch.from_numpy(self.validation.labels).float().repeat_interleave(len(self.views))
        losses, prototype_labels = self.recipe.losses, self.network.prototype_labels.cpu()
        return metric_loss(distance, labels, prototype_labels, losses.sigma, losses.leak)

    # --- Lightning --------------------------------------------------------------------------------
    def configure_callbacks(self) -> list[lightning.Callback]:
        """Projection by the recipe's epochs; early stopping where there are validation subjects."""
        project = ProjectPrototypes()
        if self.validation is None:
            return [project]
        return [project, StopAtBestProjection(self.recipe.schedule.patience)]

    def train_dataloader(self) -> DataLoader[Any]:
        """Shuffled training batches."""
        return batches(self.cohort, self.recipe, whole=self.recipe.architecture.planes_combined)

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        """() sum of the weighted losses of a batch (image, content, label, row, plane)."""
        images, content, labels, rows, planes = batch
        recipe, losses, network = self.recipe, self.recipe.losses, self.network
        several, near = recipe.architecture.planes, self.near[planes.cpu()]
        share = Share(len(labels), several)
        images, content = augmented_views(images, content, recipe)
        mass = network.image_mass(content)
        features = network.backbone(share.own(images))
        prototype_labels, prototypes, shown = network.prototype_labels, None, self.sources[:, 0]
        if recipe.projection.every_step:
            prototype_labels, prototypes, shown = self._drawn_prototypes()
        distance = network.training_distance(
            features, share.own(mass), recipe.schedule.steps,
            by_position=recipe.schedule.by_position,
            planes=share.own(near),
            prototypes=prototypes,
            heaviest=heaviest_patches(mass, near if several > 1 else None),
        )  # fmt: skip
        distance = share.gather(distance)  # from here on the whole batch
        others = None if losses.own else other_subjects(self.cohort, rows, shown)
        parts = {"metric": losses.metric * metric_loss(
            distance, labels, prototype_labels, losses.sigma, losses.leak, others
        )}  # fmt: skip
        if several > 1:  # from here on the mean distances over the planes, which decide
            distance = distance.reshape(-1, several, distance.shape[1]).mean(1)
            labels = labels[::several]
            others = None if others is None else others[::several]
            parts["together"] = losses.metric * metric_loss(
                distance, labels, prototype_labels, losses.sigma, losses.leak, others
            )
        if losses.prediction:
            parts["prediction"] = losses.prediction * prediction_loss(
                distance,
                labels,
                prototype_labels,
                losses.radius or recipe.architecture.radius,
                others,
            )
        parts |= feature_losses(recipe, network, share, images, content, features, mass)
        with torch.no_grad():
            found = weighted_prediction(
                distance,
                prototype_labels,
                recipe.architecture.radius,
                recipe.architecture.weights,
            )
            logged = {**parts, "mae": (found.prediction - labels).abs().mean()}
        self.log_dict(
            logged, prog_bar=True, on_step=False, on_epoch=True, batch_size=len(labels),
            sync_dist=True,
        )  # fmt: skip
        return torch.stack(list(parts.values())).sum()

    def _drawn_prototypes(self) -> tuple[Tensor, tuple[Tensor, Tensor], Tensor]:
        """Labels (P,), latents and mass, and rows (P,) of random training images."""
        rows = torch.randperm(len(self.cohort.labels))[: self.recipe.architecture.prototypes]
        device = self.network.prototypes.device
        labels = torch.from_numpy(self.cohort.labels).float()[rows].to(device)
        latents = self.trained(self.unchanged[rows].to(device))
        return labels, (latents, self.unchanged_mass[rows].to(device)), rows.to(device)

    def configure_optimizers(self) -> Any:
        """Adam or AdamW, with learning rates for backbone, head and scale; decay by recipe."""
        network, schedule = self.network, self.recipe.schedule
        head = [*self.trained.add_on_layers.parameters(), network.prototypes]
        groups = [
            {"params": self.trained.features.parameters(), "lr": schedule.backbone_rate},
            {"params": head, "lr": schedule.head_rate},
            {"params": [network.scale], "lr": schedule.scale_rate, "weight_decay": 0.0},
        ]
        kind = torch.optim.AdamW if schedule.optimizer == "adamw" else torch.optim.Adam
        optimizer = kind(groups, weight_decay=schedule.weight_decay)
        rates = torch.optim.lr_scheduler
        if schedule.decay == "cosine":
            return [optimizer], [rates.CosineAnnealingLR(optimizer, schedule.epochs)]
        return [optimizer], [rates.StepLR(optimizer, 50, 0.5)]

    # --- after the training -----------------------------------------------------------------------
    def distances(self, cohort: CohortArrays, *, exact: bool = True) -> np.ndarray:
        """Distances of a cohort's explained planes to the prototypes.

        Parameters
        ----------
        cohort : CohortArrays
            N subjects.
        exact : bool
            By converged plans; False: as in training.

        Returns
        -------
        numpy.ndarray
            (N, V, P), label units.
        """
        self.eval()
        schedule, near = None if exact else self.recipe.schedule, self.near[self.views].tolist()
        found = cohort_distances(self.network, cohort, self.views, near, schedule)
        return found.double().numpy()

    def _distances(self, cohort: CohortArrays, planes: list[int], *, exact: bool) -> Tensor:
        """(N, K, P) distances, of which each process computes a share."""
        schedule = None if exact else self.recipe.schedule
        return shared_distances(self.network, cohort, planes, self.near[planes].tolist(), schedule)

    def fitted(self) -> np.ndarray:
        """(N,) predictions of the training subjects by training distances, label units."""
        distance = torch.from_numpy(self.distances(self.cohort, exact=False))
        if self.recipe.architecture.planes_combined:
            distance = distance.mean(1, keepdim=True)
        settings, labels = self.recipe.architecture, self.network.prototype_labels.double().cpu()
        views = [
            weighted_prediction(view, labels, settings.radius, settings.weights).prediction
            for view in distance.unbind(1)
        ]
        return np.asarray(torch.stack(views).mean(0))


def other_subjects(cohort: CohortArrays, rows: Tensor, sources: Tensor) -> Tensor:
    """(B, P) bool: whether prototypes (P,) show another subject than images (B,), by rows."""
    subjects = torch.from_numpy(cohort.subjects).to(rows.device)
    shown = torch.where(sources >= 0, subjects[sources], -1)
    return subjects[rows][:, None] != shown[None]


def feature_losses(
    recipe: Recipe,
    network: PrototypeRegressor,
    share: Share,
    images: Tensor,
    content: Tensor,
    features: Tensor,
    mass: Tensor,
) -> dict[str, Tensor]:
    """Weighted losses that compare features with features.

    Parameters
    ----------
    recipe : Recipe
        Its `losses`.
    network : PrototypeRegressor
    share : Share
        Rows of the batch that this process computes.
    images, content : Tensor
        (B, 1, *shape) and (B, *shape) of the whole batch, 0 to 1.
    features : Tensor
        (B, C, *grid) of the own rows.
    mass : Tensor
        (B, M) of the patches of the whole batch.

    Returns
    -------
    dict of str to Tensor
        Name of each loss that the recipe asks for to its value (); the mean over the processes is
        the loss of the batch.
    """
    losses, parts = recipe.losses, {}
    if losses.consistency:
        mirrored = network.backbone(share.own(images).flip(-1))
        parts["consistency"] = (losses.consistency * share.weight) * consistency_loss(
            features, mirrored, losses.margin
        )
    if losses.equivariance:
        few, part = slice(losses.copies), share.first(losses.copies)
        copies, _, theta = moved(images[few], content[few], MOVES, losses.mirrored)
        if recipe.architecture.ellipse:
            copies = keep_rim(copies, images[few])
        parts["equivariance"] = (losses.equivariance * part.weight) * equivariance_loss(
            features[: len(part.rows)],
            network.backbone(part.own(copies)),
            new_places(part.own(theta), network.grid),
            part.own(mass[few]),
            losses.temperature,
        )
    if losses.alignment:  # with the next subject of the batch, each plane with the same plane
        neighbour = share.own(share.gather(features).roll(recipe.architecture.planes, 0))
        parts["alignment"] = (losses.alignment * share.weight) * alignment_loss(
            features,
            neighbour,
            share.own(mass),
            losses.temperature,
            mirrors=MIRRORS if recipe.architecture.ellipse else ((),),
        )
    return parts


PrototypeTask = PrototypeModule  # former name
