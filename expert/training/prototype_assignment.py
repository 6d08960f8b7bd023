"""Prototypes as training images: their latents, and the distances of a cohort to them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from expert.datasets.prepared_dataset import CohortArrays
from expert.features.grey_values import to_unit
from expert.model import PrototypeRegressor
from expert.training.batches import feature_grids
from expert.training.histogram_cache import as_input
from expert.training.processes import count, rank, summed
from expert.training.recipe import Schedule

BLOCK = 30
"""Images compared with all prototypes at once."""


@torch.no_grad()
def assign_prototypes(
    network: PrototypeRegressor,
    cohort: CohortArrays,
    sources: Tensor,
    planes: Sequence[int] | None = None,
) -> None:
    """Set the prototypes' latents and mass to those of training images.

    Parameters
    ----------
    network : PrototypeRegressor
        Changed in place.
    cohort : CohortArrays
        Training subjects.
    sources : Tensor
        (P, 2) int, row of the cohort and plane of each prototype.
    planes : sequence of int, optional
        Planes of a subject that each prototype shows; None: only the plane in `sources`.
    """
    rows, plane = sources.T.cpu().numpy()
    if planes is None:
        pixels, inside = cohort.images[rows, plane], cohort.content[rows, plane]
    else:
        pixels, inside = (
            np.concatenate([array[rows, view] for view in planes])
            for array in (cohort.images, cohort.content)
        )
    device = network.prototypes.device
    images = as_input(network.backbone, pixels).to(device)
    content = to_unit(inside).to(device)
    was_training = network.training
    network.eval()
    network.prototypes.data.copy_(network.backbone(images)[:, : network.architecture.latent])
    network.train(was_training)
    network.prototype_mass.copy_(network.image_mass(content))


@torch.no_grad()
def cohort_distances(
    network: PrototypeRegressor,
    cohort: CohortArrays,
    planes: list[int],
    views: Sequence[int],
    training: Schedule | None = None,
) -> Tensor:
    """Distances of un-augmented images to the prototypes, in blocks that fit into memory.

    Parameters
    ----------
    network : PrototypeRegressor
        Its backbone is evaluated in evaluation mode.
    cohort : CohortArrays
        N subjects.
    planes : list of int
        K planes of the cohort.
    views : sequence of int
        K explained planes (0-based) that these are compared as.
    training : Schedule, optional
        As in a training with these settings; None: by converged plans.

    Returns
    -------
    Tensor
        (N, K, P) on the CPU, label units.
    """
    features = feature_grids(network.backbone, cohort, planes)
    content = torch.from_numpy(cohort.content[:, planes])
    device, columns = network.prototypes.device, []
    for number, view in enumerate(views):
        blocks = []
        for n in range(0, len(content), BLOCK):
            inside = content[n : n + BLOCK, number].to(device).float() / 255
            mass = network.image_mass(inside)
            grids = features[n : n + BLOCK, number].to(device)
            if training is None:
                distance = network.compare(grids, mass, view).distance
            else:
                distance = network.training_distance(
                    grids,
                    mass,
                    training.steps,
                    by_position=training.by_position,
                    planes=torch.full((len(grids),), view),
                )
            blocks.append(distance.cpu())
        columns.append(torch.cat(blocks))
    return torch.stack(columns, 1)


@torch.no_grad()
def shared_distances(
    network: PrototypeRegressor,
    cohort: CohortArrays,
    planes: list[int],
    views: Sequence[int],
    training: Schedule | None = None,
) -> Tensor:
    """Distances as by `cohort_distances`, of which each process of a training computes a share.

    All processes must call it, with the same arguments.

    Parameters
    ----------
    network : PrototypeRegressor
    cohort : CohortArrays
        N subjects, divided into blocks that are the same for any number of processes.
    planes : list of int
        K planes of the cohort.
    views : sequence of int
        K explained planes that these are compared as.
    training : Schedule, optional
        As in a training; None: by converged plans.

    Returns
    -------
    Tensor
        (N, K, P) on the CPU, label units; the same in all processes.
    """
    if count() == 1:
        return cohort_distances(network, cohort, planes, views, training)
    rows = np.arange(len(cohort.labels))
    own = rows[rows // BLOCK % count() == rank()]
    found = torch.zeros(len(rows), len(planes), network.architecture.prototypes)
    if len(own):
        found[own] = cohort_distances(network, cohort.select(own), planes, views, training)
    return summed(found)


def heaviest_patches(mass: Tensor, planes: Tensor | None = None) -> Tensor:
    """Largest mass of each patch in a batch, for `PrototypeRegressor.training_distance`.

    Parameters
    ----------
    mass : Tensor
        (B, M) of the patches of each image.
    planes : Tensor, optional
        (B,) explained plane of each image, where prototypes show several; every plane is there.

    Returns
    -------
    Tensor
        (planes, M); one row without `planes`.
    """
    if planes is None:
        return mass.amax(0, keepdim=True)
    planes = planes.to(mass.device)
    return torch.stack([mass[planes == plane].amax(0) for plane in planes.unique()])
