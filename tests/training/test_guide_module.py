"""Tests of `expert.training.guide_module`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from expert.backbone import matching_architecture
from expert.datasets.prepared_dataset import load_cohort
from expert.datasets.table import read_table
from expert.evaluation.matching_quality import self_match
from expert.model_file import load_model
from expert.training.guide_module import MatchingModule
from expert.training.pipeline import train
from expert.training.recipe import Guide, Recipe


def test_in_three_dimensions_a_guide_finds_what_was_moved(tissue_recipe, volume_table, tmp_path):
    settings = tissue_recipe.architecture.model_copy(update={"guide": 8, "regularization": 0.03})
    losses = tissue_recipe.losses.model_copy(update={"alignment": 0.0})
    guided = Recipe.model_validate(
        tissue_recipe.model_copy(
            update={
                "architecture": settings,
                "guide": Guide(epochs=10, batch=7, views=1),
                "losses": losses,
            }
        ).model_dump()
    )
    model = load_model(train(guided, volume_table, tmp_path / "guided.safetensors", jobs=2))
    network = model.network
    assert matching_architecture(settings).shrink == 2  # half the resolution
    assert network.backbone.guide(torch.rand(1, 1, *guided.input.shape)).shape == (
        1,
        8,
        *guided.grid,
    )
    cohort = load_cohort(
        read_table(volume_table), guided.input, tmp_path / "guided.run" / "prepared"
    )
    found, chance = self_match(network, cohort.images[0, 0], cohort.content[0, 0])
    assert found["shift"] > 0.25 > 5 * chance["shift"]
    # What grey values tell apart is compared, not matched by.
    network.backbone.members[0].features.conv0.weight.data.mul_(-1)
    assert self_match(network, cohort.images[0, 0], cohort.content[0, 0])[0] == found


def test_patches_of_moved_copies_are_found_better_after_training(
    registered_recipe, registered_cohort
):
    torch.manual_seed(0)
    module = MatchingModule(registered_recipe, registered_cohort)
    rows = torch.arange(8)
    assert module.network(torch.rand(1, 1, 48, 40)).shape == (1, 4, *registered_recipe.grid)
    optimizer = torch.optim.AdamW(module.parameters(), 3e-3)
    losses = []
    for _ in range(25):
        optimizer.zero_grad()
        loss = module.training_step(rows, 0)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:3])


def test_labels_have_no_influence_on_the_matching_network(registered_recipe, registered_cohort):
    losses = []
    for labels in (registered_cohort.labels, registered_cohort.labels[::-1] * 7):
        torch.manual_seed(0)
        module = MatchingModule(registered_recipe, replace(registered_cohort, labels=labels))
        losses.append(module.training_step(torch.arange(8), 0).item())
    assert losses[0] == losses[1]
