"""Ensembles: several networks, and a matching network, trained one by one and joined."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from expert.backbone import Members
from expert.imaging.average_brain import average_brain
from expert.training.prototype_module import PrototypeModule
from expert.training.recipe import Recipe

MEMBER_SEED = 10_000
"""Added to a training's seed for each further ensemble member (times its number)."""


def member_folders(recipe: Recipe, folder: Path, seed: int) -> list[tuple[Path, int]]:
    """Where each network of a training lies, and by which seed it is trained.

    Parameters
    ----------
    recipe : Recipe
        Its `architecture.members` are counted.
    folder : pathlib.Path
        Folder of the training.
    seed : int
        Seed of the training.

    Returns
    -------
    list of (pathlib.Path, int)
        One folder and seed per ensemble member; those of the training itself for a single network.
    """
    if not recipe.architecture.joined:
        return [(folder, seed)]
    count = recipe.architecture.members
    return [(folder / f"member{n}", seed + MEMBER_SEED * n) for n in range(count)]


@torch.no_grad()
def join_members(
    whole: PrototypeModule,
    members: Sequence[PrototypeModule],
    matching_network: nn.Module | None = None,
) -> None:
    """Put trained networks together and project the prototypes by their common distances.

    Parameters
    ----------
    whole : PrototypeModule
        Module of the ensemble's architecture; changed in place.
    members : sequence of PrototypeModule
        Trained ensemble members.
    matching_network : torch.nn.Module, optional
        Trained network that decides which patches are matched.

    Raises
    ------
    TypeError
        The architecture of `whole` has a single network only.
    """
    network = whole.network
    if not isinstance(network.backbone, Members):
        raise TypeError("only an architecture of several networks can be joined")
    if network.backbone.guide is not None and matching_network is not None:
        network.backbone.guide.load_state_dict(matching_network.state_dict())
    if network.backbone.coordinates is not None:
        average = torch.from_numpy(average_brain(whole.recipe.input))
        network.backbone.coordinates.average.copy_(average)
    scales = [float(member.network.scale) for member in members]
    backbones = [member.network.backbone for member in members]
    network.scale.fill_(network.backbone.join(backbones, scales))
    network.prototype_labels.copy_(members[0].network.prototype_labels)
    whole.assign_prototypes(members[0].sources, relabel=False)
    whole.project()
