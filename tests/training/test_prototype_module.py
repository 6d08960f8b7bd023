"""Tests of `expert.training.prototype_module`."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from expert.datasets.prepared_dataset import load_cohort
from expert.datasets.table import read_table
from expert.features.patch_weights import patch_weights
from expert.training.histogram_cache import HistogramCopies, as_input
from expert.training.projection import spread_over_labels
from expert.training.prototype_module import PrototypeModule, other_subjects
from expert.training.recipe import Recipe
from expert.training.stages import fit


def test_a_training_image_s_own_prototypes_are_known(members_recipe, volume_table, tmp_path):
    cohort = load_cohort(read_table(volume_table), members_recipe.input, tmp_path)
    task = PrototypeModule(members_recipe.member, cohort, (4, 5, 4))
    rows = torch.arange(len(cohort.labels))
    assert other_subjects(cohort, rows, task.sources[:, 0]).all()  # no prototype is an image yet
    task.initialise()
    sources = task.sources[:, 0]
    assert torch.equal(~other_subjects(cohort, rows, sources), rows[:, None] == sources[None])


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
        lambda one, other, *rest, **more: pairs.append((one, other)) or one.sum() * 0,
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


@pytest.fixture
def maps_recipe(squares_recipe):
    """Training images are the prototypes in every step; each patch has a linear map."""
    document = squares_recipe.model_dump()
    grid = tuple(n // 8 for n in document["input"]["shape"])
    document["start"] = "quantiles"
    document["architecture"] |= {
        "backbone": "histogram", "bins": 8, "pool": 8, "widths": (), "places": grid,
        "channels": 4, "weights": "relative", "marginals": "content", "prior": 0.2,
    }  # fmt: skip
    document["losses"] |= {"own": False, "consistency": 0.0, "prediction": 1.0, "sigma": 10.0}
    document["schedule"] |= {"epochs": 30, "backbone_rate": 0.01, "by_position": True}
    document["projection"] |= {"every_step": True, "epochs": (), "relabel": True}
    return Recipe.model_validate(document)


def test_in_every_step_training_images_are_the_prototypes(maps_recipe, squares_cohort, tmp_path):
    torch.manual_seed(0)
    module = PrototypeModule(maps_recipe, squares_cohort, maps_recipe.grid)
    module.initialise()
    labels, (latents, mass), rows = module._drawn_prototypes()
    assert len(set(rows.tolist())) == 6
    np.testing.assert_allclose(labels, squares_cohort.labels[rows])
    assert latents.requires_grad
    torch.testing.assert_close(mass.sum(1), torch.ones(6))
    module.log_dict = lambda *args, **kwargs: None
    module.training_step(next(iter(module.train_dataloader())), 0).backward()
    assert module.network.prototypes.grad is None
    assert module.trained.features.places.weight.grad.abs().sum() > 0

    module = fit(maps_recipe, squares_cohort, tmp_path)
    rows = module.sources[:, 0].numpy()
    chosen = spread_over_labels(squares_cohort.labels, 6, quantiles=True)
    assert rows.tolist() == chosen.tolist()
    np.testing.assert_allclose(module.network.prototype_labels, squares_cohort.labels[rows])
    with torch.no_grad():
        expected = module.trained.eval()(as_input(module.trained, squares_cohort.images[rows, 0]))
    torch.testing.assert_close(module.network.prototypes.data, expected)
    error = np.abs(module.fitted() - squares_cohort.labels).mean()
    assert error < 0.7 * np.abs(squares_cohort.labels - squares_cohort.labels.mean()).mean()


def test_patch_weights_are_measured_before_the_training(maps_recipe, squares_cohort):
    document = maps_recipe.model_dump()
    document["architecture"]["weighted_patches"] = True
    recipe = Recipe.model_validate(document)
    module = PrototypeModule(recipe, squares_cohort, recipe.grid)
    module.initialise()
    weights = module.trained.patch_weights
    copies = HistogramCopies(squares_cohort, recipe, 1)
    chosen = copies.histograms[:, :: recipe.augmentation.copies + 1]
    expected = patch_weights(chosen, squares_cohort.labels, squares_cohort.subjects)
    torch.testing.assert_close(weights, expected)
    with torch.no_grad():
        latents = module.trained(as_input(module.trained, squares_cohort.images[:2, 0]))
    assert (latents <= weights).all()


def test_the_prediction_loss_may_have_another_radius(maps_recipe, squares_cohort):
    wider, narrow = maps_recipe.model_dump(), maps_recipe.model_dump()
    radius = maps_recipe.architecture.radius
    wider["architecture"]["radius"] = 3 * radius
    narrow["losses"]["radius"] = 3 * radius
    losses = []
    for document in (maps_recipe.model_dump(), wider, narrow):
        torch.manual_seed(0)
        recipe = Recipe.model_validate(document)
        module = PrototypeModule(recipe, squares_cohort, recipe.grid)
        module.initialise()
        module.log_dict = lambda *args, **kwargs: None
        torch.manual_seed(0)
        batch = next(iter(module.train_dataloader()))
        losses.append(module.training_step(batch, 0).item())
    assert losses[1] == pytest.approx(losses[2])
    assert losses[0] != pytest.approx(losses[2])


def test_what_prototypes_of_every_step_need(squares_recipe, maps_recipe):
    wrong = [squares_recipe.model_dump(), maps_recipe.model_dump(), maps_recipe.model_dump()]
    wrong[0]["projection"]["every_step"] = True  # with a residual network
    wrong[1]["start"] = "uniform"
    wrong[2]["schedule"]["validation"] = 0.2
    for document in wrong:
        with pytest.raises(ValueError, match=r"every_step needs a histogram backbone"):
            Recipe.model_validate(document)
