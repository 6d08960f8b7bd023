"""Several trainings in one model: their patch distances are joined."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_tissue import RECIPE, heads  # noqa: F401

from expert.backbone import Members, make_backbone
from expert.datasets.prepared_dataset import load_cohort
from expert.datasets.table import read_table
from expert.inference import explain
from expert.model import PrototypeRegressor
from expert.model_file import load_model
from expert.schema import Architecture
from expert.training.pipeline import train
from expert.training.prototype_module import PrototypeTask
from expert.training.recipe import Recipe, read_recipe
from expert.training.stages import fit, members


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Recipe:
    path = tmp_path_factory.mktemp("members") / "members.yaml"
    path.write_text(
        RECIPE.replace("prototypes: 4", "prototypes: 4, members: 2, matching: position").replace(
            "prototypes: 4", "prototypes: 3"
        )
    )
    return read_recipe(path)


@pytest.mark.parametrize("backbone", ["residual", "histogram"])
def test_joined_distances_are_the_root_of_the_mean_square(backbone):
    torch.manual_seed(0)
    settings = {
        "backbone": backbone,
        "widths": (8,),
        "pool": 4,
        "channels": 6,
        "prototypes": 2,
        "matching": "position",
    }
    single = [make_backbone(Architecture(**settings)).eval() for _ in range(3)]
    scales = [2.0, 5.0, 11.0]
    images = torch.rand(3, 1, 16, 32)
    grid = tuple(single[0](images).shape[2:])
    whole = PrototypeRegressor(Architecture(**settings, members=3), grid).eval()
    assert isinstance(whole.backbone, Members)
    with torch.inference_mode():
        whole.scale.fill_(whole.backbone.join(single, scales))
        whole.prototypes.copy_(whole.backbone(images[1:]))
        joined = whole.compare(
            whole.backbone(images[:1]).double(), whole.image_mass(torch.ones(1, 16, 32))
        )
        costs = []
        for network, scale in zip(single, scales, strict=True):
            grids = network(images).flatten(2)
            costs.append(scale * (grids[:1] - grids[1:]).norm(dim=1))
    assert whole.prototypes.shape == (2, 18, *grid)
    expected = torch.stack(costs).square().mean(0).sqrt()
    diagonal = whole.scale.detach() * joined.cost[0].diagonal(dim1=1, dim2=2)
    torch.testing.assert_close(diagonal.float(), expected, atol=1e-4, rtol=1e-4)


def test_members_are_trained_apart_and_make_one_model(recipe, heads, head, tmp_path):  # noqa: F811
    path = train(
        recipe,
        heads,
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

    cohort = load_cohort(read_table(heads), recipe.input, tmp_path / "prepared")
    run = path.with_suffix(".run")
    task = fit(recipe, cohort, run / "final")
    shown = task.network.prototypes.detach()
    with torch.inference_mode():
        pixels = torch.from_numpy(cohort.images[task.sources[:, 0].numpy()]).float() / 255
        torch.testing.assert_close(shown, task.network.backbone(pixels), atol=1e-5, rtol=1e-5)
    assert shown.shape[1] == 16
    assert not torch.allclose(
        shown[:, :8] / task.network.backbone.gain[0], shown[:, 8:] / task.network.backbone.gain[1]
    )
    places = members(recipe, run / "final", recipe.schedule.seed)
    assert [place.name for place, _ in places] == ["member0", "member1"]
    alone = [fit(recipe.member, cohort, place, seed=seed) for place, seed in places]
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


def test_a_training_image_s_own_prototypes_are_known(recipe, heads, tmp_path):  # noqa: F811
    cohort = load_cohort(read_table(heads), recipe.input, tmp_path)
    task = PrototypeTask(recipe.member, cohort, (4, 5, 4))
    rows = torch.arange(len(cohort.labels))
    assert task._others(rows).all()  # no prototype is an image yet
    task.initialise()
    assert torch.equal(~task._others(rows), rows[:, None] == task.sources[:, 0][None])


def test_what_members_cannot_do_is_told(recipe):
    document = recipe.model_dump()
    document["schedule"] |= {"validation": 0.2}
    with pytest.raises(ValueError, match=r"architecture\.members and architecture\.guide need"):
        Recipe.model_validate(document)
