"""Tests of `expert.training.callbacks`."""

from __future__ import annotations

import torch
from helpers.squares import changed

from expert.training.callbacks import StopAtBestProjection
from expert.training.prototype_module import PrototypeModule
from expert.training.stages import fit_prototypes


def watch(monkeypatch, projections: list[int], losses: list[float]) -> None:
    """Note the epoch of every projection and every validation loss."""
    project, loss = PrototypeModule.project, PrototypeModule.validation_loss

    def projecting(self):
        projections.append(self.current_epoch)
        project(self)

    def measuring(self):
        found = loss(self)
        losses.append(found.item())
        return found

    monkeypatch.setattr(PrototypeModule, "project", projecting)
    monkeypatch.setattr(PrototypeModule, "validation_loss", measuring)


def test_prototypes_are_projected_before_the_recipe_s_epochs_and_at_the_end(
    squares_recipe, squares_cohort, tmp_path, monkeypatch
):
    projections, losses = [], []
    watch(monkeypatch, projections, losses)
    recipe = changed(squares_recipe, schedule={"epochs": 5})
    module = fit_prototypes(recipe, squares_cohort, tmp_path, 1)
    assert projections == [0, 2, 4, 5]
    assert losses == []
    # The prototypes are the images they show.
    images = torch.from_numpy(squares_cohort.images[module.sources[:, 0].numpy()]).float() / 255
    with torch.no_grad():
        latents = module.network.eval().backbone(images)
    torch.testing.assert_close(module.network.prototypes.detach(), latents, atol=1e-5, rtol=1e-4)


def test_training_stops_without_a_better_projection_and_keeps_the_best(
    squares_recipe, squares_cohort, tmp_path, monkeypatch
):
    projections, losses = [], []
    watch(monkeypatch, projections, losses)
    # Steps far too large: it cannot stay as good as at the start.
    recipe = changed(
        squares_recipe,
        schedule={
            "validation": 0.25,
            "patience": 2,
            "epochs": 30,
            "backbone_rate": 0.5,
            "head_rate": 0.5,
        },
        projection={"every": 1},
    )
    module = fit_prototypes(recipe, squares_cohort, tmp_path, 1)
    assert len(projections) < 30
    assert len(losses) >= 3
    assert module.validation_loss().item() == losses[-1] == min(losses)


def test_the_best_weights_are_part_of_its_state():
    stop = StopAtBestProjection(3)
    stop.best_weights = {"a": torch.ones(2)}
    stop.wait_count = 2
    again = StopAtBestProjection(3)
    again.load_state_dict(stop.state_dict())
    assert again.wait_count == 2
    assert torch.equal(again.best_weights["a"], torch.ones(2))


def test_a_checkpoint_of_earlier_versions_is_read():
    stop = StopAtBestProjection(3)
    former = {"best": 1.5, "stale": 2, "kept": {"a": torch.ones(2)}}
    stop.on_load_checkpoint(None, None, {"expert": former})
    assert stop.best_score.item() == 1.5
    assert stop.wait_count == 2
    assert stop.best_weights is former["kept"]
