"""Tests of `expert.training.stages`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.squares import changed

from expert.datasets.prepared_dataset import load_cohort
from expert.datasets.table import read_table
from expert.inference import explain
from expert.model_file import load_model
from expert.training.ensemble import member_folders
from expert.training.pipeline import train
from expert.training.recipe import read_recipe
from expert.training.stages import fit


def test_early_stop_keeps_the_best(tiny_recipe, squares, tmp_path):
    recipe = changed(
        read_recipe(tiny_recipe), schedule={"validation": 0.25, "patience": 1, "epochs": 6}
    )
    assert (
        load_model(
            train(recipe, squares, tmp_path / "m.safetensors", jobs=1)
        ).info.training.subjects
        < 24
    )


def test_members_are_trained_apart_and_make_one_model(members_recipe, volume_table, head, tmp_path):
    path = train(
        members_recipe,
        volume_table,
        tmp_path / "both.safetensors",
        folds=2,
        plain=True,
        prepared=tmp_path / "prepared",
        jobs=2,
    )
    model = load_model(path)
    assert model.info.architecture.members == 2
    result = explain(model, head, top=2)
    assert result.shares.sum() == pytest.approx(1)
    for match in result.prototypes:
        assert match.views[0].contributions.sum() == pytest.approx(
            match.views[0].distance, rel=1e-6
        )

    cohort = load_cohort(read_table(volume_table), members_recipe.input, tmp_path / "prepared")
    run = path.with_suffix(".run")
    task = fit(members_recipe, cohort, run / "final")
    shown = task.network.prototypes.detach()
    with torch.inference_mode():
        pixels = torch.from_numpy(cohort.images[task.sources[:, 0].numpy()]).float() / 255
        torch.testing.assert_close(shown, task.network.backbone(pixels), atol=1e-5, rtol=1e-5)
    assert shown.shape[1] == 16
    assert not torch.allclose(
        shown[:, :8] / task.network.backbone.gain[0], shown[:, 8:] / task.network.backbone.gain[1]
    )
    places = member_folders(members_recipe, run / "final", members_recipe.schedule.seed)
    assert [place.name for place, _ in places] == ["member0", "member1"]
    alone = [fit(members_recipe.member, cohort, place, seed=seed) for place, seed in places]
    whole = task.distances(cohort)
    assert np.isfinite(whole).all()
    # A single member's distances to the same images, by its own scale.
    squares = []
    for number, one in enumerate(alone):
        own = one.network
        own.prototypes.data.copy_(
            shown[:, 8 * number : 8 * number + 8] / task.network.backbone.gain[number]
        )
        own.prototype_mass.copy_(task.network.prototype_mass)
        squares.append(one.distances(cohort))
    others = whole > 1  # an image is its own prototype but for rounding
    root = np.sqrt(np.mean(np.square(squares), axis=0))
    assert others.sum() > len(cohort.labels)
    assert (whole >= root * (1 - 1e-3))[
        others
    ].all()  # the mean over cells of roots, against the root of means over cells
    assert (whole <= 2**0.5 * np.mean(squares, axis=0) * (1 + 1e-3))[others].all()
