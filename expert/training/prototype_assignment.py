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
