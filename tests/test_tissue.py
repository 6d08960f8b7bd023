"""A backbone that knows of each cell what grey values are in it, and of nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from expert.backbone import HistogramBackbone
from expert.datasets.prepared_dataset import load_cohort
from expert.datasets.table import read_table
from expert.evaluation.deletion import receptive_field
from expert.evaluation.matching_quality import self_match
from expert.inference import explain
from expert.model_file import load_model
from expert.schema import Architecture
from expert.training.histogram_cache import CountedCopies
from expert.training.pipeline import train
from expert.training.recipe import Guide, Recipe, read_recipe

RECIPE = """
name: tissue
label_unit: years
dataset: synthetic ageing brains (expert.phantom)
licence: none needed
prototype_images: value
start: subjects
calibrate_scale: true
input: {space: mni, shape: [32, 40, 32], spacing_mm: 5.0, center_mm: [6.0, -18.0, 0.0], intensity: white matter}
architecture:
  {dimensions: 3, backbone: histogram, bins: 12, widths: [16], pool: 8, channels: 8, prototypes: 4, radius: 30.0,
   marginals: content}
augmentation: {rotation_deg: 3.0, bias: 0.02, copies: 2}
warmup: {epochs: 60, learning_rate: 0.01}
schedule: {epochs: 3, batch: 7, views: 3, optimizer: adamw, decay: cosine, seed: 3}
losses: {metric: 1.0, sigma: 10.0, consistency: 0.0, prediction: 1.0, alignment: 1.0}
projection: {epochs: [0], every: 2, window: 40.0, distinct: true, relabel: true}
"""  # noqa: E501


def backbone(dimensions: int = 3, **changes: object) -> HistogramBackbone:
    torch.manual_seed(0)
    settings = {
        "backbone": "histogram",
        "dimensions": dimensions,
        "widths": (8,),
        "pool": 4,
        "channels": 6,
        "bins": 5,
    }
    return HistogramBackbone(Architecture(**(settings | changes))).eval()


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Recipe:
    path = tmp_path_factory.mktemp("tissue") / "tissue.yaml"
    path.write_text(RECIPE)
    return read_recipe(path)


@pytest.fixture(scope="module")
def heads(volume_model_file):
    """The table of the synthetic heads that the other 3D model is trained on."""
    return next((volume_model_file.parent / "heads").glob("*.csv"))


def test_a_cell_counts_its_own_grey_values():
    image = torch.zeros(1, 1, 8, 4)
    image[0, 0, :4] = 0.25  # the first cell is one value, on a bin's middle
    image[0, 0, 4:, :2] = 0.625  # the second is half empty, its value between two bins
    front = backbone(2).front(image)[0]
    assert front.shape == (6, 2, 1)
    shares = front[:5] * (front[5:] + 0.02) / 5**0.5
    torch.testing.assert_close(shares[:, 0, 0], torch.tensor([0, 1.0, 0, 0, 0]))
    torch.testing.assert_close(shares[:, 1, 0], torch.tensor([0, 0, 0.25, 0.25, 0]))
    torch.testing.assert_close(front[5, :, 0], torch.tensor([1.0, 0.5]))


@pytest.mark.parametrize("dimensions", [2, 3])
def test_nothing_outside_a_box_matters_to_its_cell(dimensions):
    network = backbone(dimensions)
    image = torch.rand(1, 1, *[8] * dimensions)
    other = torch.rand(1, 1, *[8] * dimensions)
    inside = (0, 0, *[slice(4, 8)] * dimensions)
    other[inside] = (
        image[inside].flatten()[torch.randperm(4**dimensions)].reshape(image[inside].shape)
    )
    with torch.inference_mode():
        here, there = network(image), network(other)
    last = (0, slice(None), *[1] * dimensions)
    torch.testing.assert_close(here[last], there[last])
    assert not torch.allclose(here, there)
    assert receptive_field(Architecture(backbone="histogram", pool=4)) == 4


def test_counting_once_is_counting_anew():
    network = backbone()
    image = torch.rand(2, 1, 8, 8, 12)
    with torch.inference_mode():
        front = network.front(image)
        torch.testing.assert_close(network(front), network(image))
        torch.testing.assert_close(network.pooled(front), network.pooled(image))
        torch.testing.assert_close(network.front(image.flip(-1)), front.flip(-1))


def test_copies_are_changed_the_same_way_every_time(recipe, heads, tmp_path):
    from expert.training import histogram_cache as counted

    cohort = load_cohort(read_table(heads), recipe.input, tmp_path)
    made = CountedCopies(cohort, recipe, 3)
    assert len(made) == 3 * len(cohort.labels)
    assert made.fronts.shape == (len(cohort.labels), 3, 13, 4, 5, 4)
    own = HistogramBackbone(recipe.architecture).front(
        torch.from_numpy(cohort.images[2])[:, None].float() / 255
    )
    torch.testing.assert_close(made.fronts[2, 0].float(), own[0], atol=2e-3, rtol=2e-3)
    assert not torch.allclose(made.fronts[2, 0], made.fronts[2, 1])
    counted._KNOWN.clear()
    few = CountedCopies(cohort.select(np.array([4, 2])), recipe, 3)
    torch.testing.assert_close(few.fronts[1], made.fronts[2])
    front, content, label, row, plane = few[1]
    assert (row, plane) == (1, 0)
    assert label == pytest.approx(cohort.labels[2])
    assert front[-1].sum() == pytest.approx(content.sum().item(), rel=0.2)


def test_a_model_of_tissue_explains_a_head(recipe, heads, head, tmp_path):
    path = train(recipe, heads, tmp_path / "tissue.safetensors", jobs=2)
    model = load_model(path)
    result = explain(model, head, top=2)
    assert result.grid == (4, 5, 4)
    assert result.shares.sum() == pytest.approx(1)
    for match in result.prototypes:
        view = match.views[0]
        assert view.contributions.sum() == pytest.approx(view.distance, rel=1e-6)
        assert view.marginal_error <= 1e-4


def test_losses_that_need_images_are_refused(recipe):
    for name in ("equivariance", "consistency"):
        document = recipe.model_dump()
        document["losses"][name] = 1.0
        with pytest.raises(ValueError, match="histogram"):
            Recipe.model_validate(document)


def test_in_three_dimensions_a_guide_finds_what_was_moved(recipe, heads, tmp_path):
    settings = recipe.architecture.model_copy(update={"guide": 8, "regularization": 0.03})
    losses = recipe.losses.model_copy(update={"alignment": 0.0})
    guided = Recipe.model_validate(
        recipe.model_copy(
            update={
                "architecture": settings,
                "guide": Guide(epochs=10, batch=7, views=1),
                "losses": losses,
            }
        ).model_dump()
    )
    model = load_model(train(guided, heads, tmp_path / "guided.safetensors", jobs=2))
    network = model.network
    assert settings.guiding.shrink == 2  # half the resolution
    assert network.backbone.guide(torch.rand(1, 1, *guided.input.shape)).shape == (
        1,
        8,
        *guided.grid,
    )
    cohort = load_cohort(read_table(heads), guided.input, tmp_path / "guided.run" / "prepared")
    found, chance = self_match(network, cohort.images[0, 0], cohort.content[0, 0])
    assert found["shift"] > 0.25 > 5 * chance["shift"]
    # What grey values tell apart is compared, not matched by.
    network.backbone.members[0].features.conv0.weight.data.mul_(-1)
    assert self_match(network, cohort.images[0, 0], cohort.content[0, 0])[0] == found
