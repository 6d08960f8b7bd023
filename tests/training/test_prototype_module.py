"""Tests of `expert.training.prototype_module`."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from expert.datasets.prepared_dataset import load_cohort
from expert.datasets.table import read_table
from expert.training.prototype_module import PrototypeModule
from expert.training.recipe import Recipe


def test_a_training_image_s_own_prototypes_are_known(members_recipe, volume_table, tmp_path):
    cohort = load_cohort(read_table(volume_table), members_recipe.input, tmp_path)
    task = PrototypeModule(members_recipe.member, cohort, (4, 5, 4))
    rows = torch.arange(len(cohort.labels))
    assert task._others(rows).all()  # no prototype is an image yet
    task.initialise()
    assert torch.equal(~task._others(rows), rows[:, None] == task.sources[:, 0][None])


def test_cells_are_aligned_with_those_of_another_subject(planes_recipe, planes_cohort, monkeypatch):
    document = planes_recipe.model_dump()
    document["losses"]["alignment"] = 1.0
    task = PrototypeModule(
        Recipe.model_validate(document).member, planes_cohort, planes_recipe.grid
    )
    task.initialise()
    pairs = []
    monkeypatch.setattr(
        "expert.training.prototype_module.alignment_loss",
        lambda one, other, *rest: pairs.append((one, other)) or one.sum() * 0,
    )
    monkeypatch.setattr(task, "log_dict", lambda *args, **kwargs: None)
    batch = next(iter(task.train_dataloader()))
    task.training_step(batch, 0)
    (one, other), rows, planes = pairs[0], batch[3], batch[4]
    for n in range(len(one)):
        (partner,) = [m for m in range(len(one)) if torch.equal(other[n], one[m])]
        assert rows[partner] != rows[n]
        assert planes[partner] == planes[n] or abs(int(planes[partner]) - int(planes[n])) == 1


def test_prototypes_start_as_subjects_with_distances_in_label_units(squares_recipe, squares_cohort):
    torch.manual_seed(0)
    module = PrototypeModule(squares_recipe, squares_cohort, squares_recipe.grid).eval()
    assert (module.sources == -1).all()
    module.initialise()
    rows = module.sources[:, 0].numpy()
    assert len(set(rows)) == 6
    np.testing.assert_allclose(module.network.prototype_labels, squares_cohort.labels[rows])
    gaps = np.abs(squares_cohort.labels[:, None] - squares_cohort.labels[rows][None])
    assert np.median(module.distances(squares_cohort)) == pytest.approx(np.median(gaps), rel=0.3)


def test_a_training_step_has_a_gradient_for_every_trained_part(squares_recipe, squares_cohort):
    torch.manual_seed(0)
    module = PrototypeModule(squares_recipe, squares_cohort, squares_recipe.grid)
    module.initialise()
    module.training_step(next(iter(module.train_dataloader())), 0).backward()
    for name, parameter in module.network.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name


def test_without_validation_subjects_there_is_no_validation_loss(squares_recipe, squares_cohort):
    module = PrototypeModule(squares_recipe, squares_cohort, squares_recipe.grid)
    with pytest.raises(ValueError, match="no validation subjects"):
        module.validation_loss()
