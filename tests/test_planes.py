"""Prototypes that show their subject in every explained plane, matched by a guide that knows no
labels."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from expert.attribution import pull
from expert.comparison import compare_images
from expert.datasets.phantom import write_cohort
from expert.datasets.prepared_dataset import load_cohort
from expert.datasets.table import read_table
from expert.evaluation.accuracy import evaluate
from expert.evaluation.deletion import deletion, predictions
from expert.evaluation.explanation_metrics import measure_explanations
from expert.evaluation.fidelity import exactness
from expert.explanation import Explanation
from expert.inference import explain
from expert.model import PrototypeRegressor, weighted_prediction
from expert.model_file import load_model
from expert.patches import foreground_cells
from expert.report.report import write_report
from expert.schema import Architecture
from expert.training.batches import WholeSubjects, nearest_planes
from expert.training.pipeline import train
from expert.training.prototype_module import PrototypeTask
from expert.training.recipe import Recipe, read_recipe
from expert.training.stages import fit
from napari_expert.side_by_side import Board
from studies.planted_effects import measure_pointing
from studies.untrained_baseline import untrained

RECIPE = """
name: planes
dataset: synthetic
licence: none
start: subjects
calibrate_scale: true
prototype_images: value
input:
  intensity: white matter
  shape: [48, 40]
  spacing_mm: 4.0
  positions_mm: [-10.0, 30.0]
  training_positions_mm: [-10.0, 26.0, 30.0]
architecture: {backbone: histogram, widths: [8], pool: 8, channels: 6, bins: 12, guide: 5, planes: 2, prototypes: 4,
               radius: 20.0, weights: relative, regularization: 0.05, marginals: content}
augmentation: {copies: 2}
warmup: {epochs: 3, learning_rate: 0.01}
guide: {epochs: 2, batch: 4, views: 1}
schedule: {epochs: 3, batch: 6, views: 2, by_position: true, seed: 3}
losses: {own: false, consistency: 0.0, prediction: 1.0}
projection: {epochs: [0], every: 2, distinct: true, relabel: true}
"""  # noqa: E501


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Recipe:
    path = tmp_path_factory.mktemp("planes") / "planes.yaml"
    path.write_text(RECIPE)
    return read_recipe(path)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_cohort(tmp_path_factory.mktemp("heads"), 8, 41)


@pytest.fixture(scope="module")
def cohort(recipe, table, tmp_path_factory):
    return load_cohort(
        read_table(table, label_column=None),
        recipe.input,
        tmp_path_factory.mktemp("prepared"),
        jobs=2,
    )


@pytest.fixture(scope="module")
def path(recipe, table, cohort, tmp_path_factory):
    return train(
        recipe,
        table,
        tmp_path_factory.mktemp("model") / "planes.safetensors",
        folds=2,
        plain=True,
        prepared=cohort.folder,
        jobs=2,
    )


def test_a_plane_is_held_against_the_same_plane_of_the_prototypes():
    torch.manual_seed(0)
    settings = {
        "backbone": "histogram",
        "widths": (4,),
        "pool": 4,
        "channels": 3,
        "prototypes": 2,
        "regularization": 0.05,
    }
    both = PrototypeRegressor(Architecture(**settings, planes=3), (4, 4))
    features, mass = torch.rand(5, 3, 4, 4), torch.full((5, 16), 1 / 16)
    with torch.inference_mode():
        for plane in range(3):
            alone = PrototypeRegressor(Architecture(**settings), (4, 4))
            alone.prototypes.copy_(both.prototypes[2 * plane : 2 * plane + 2])
            held, wanted = both.compare(features, mass, plane), alone.compare(features, mass)
            torch.testing.assert_close(held.distance, wanted.distance)
            torch.testing.assert_close(held.flow, wanted.flow)
        planes = torch.tensor([2, 0, 1, 2, 0])
        mixed = both.training_distance(features, mass, by_position=True, planes=planes)
        for row, plane in enumerate(planes.tolist()):
            one = both.training_distance(
                features[row : row + 1], mass[:1], by_position=True, planes=torch.tensor([plane])
            )
            torch.testing.assert_close(mixed[row], one[0])


def test_patches_are_matched_by_the_guide_and_compared_by_the_rest():
    torch.manual_seed(1)
    settings = Architecture(
        backbone="histogram",
        widths=(4,),
        pool=4,
        channels=3,
        guide=2,
        prototypes=2,
        regularization=0.01,
    )
    network = PrototypeRegressor(settings, (2, 2))
    place = 5 * torch.tensor([[0.0, 0, 1, 1], [0, 1, 0, 1]]).reshape(
        1, 2, 2, 2
    )  # another one in every cell
    told = torch.rand(3, 3, 2, 2)
    with torch.inference_mode():
        # The prototypes hold the image's cells in another order: the guide finds them whatever they
        # hold.
        order = torch.tensor([2, 0, 3, 1])
        moved = place.flatten(2)[:, :, order].reshape(1, 2, 2, 2)
        network.prototypes.copy_(torch.cat([told[1:], moved.expand(2, -1, -1, -1)], 1))
        held = network.compare(torch.cat([told[:1], place], 1).double(), torch.full((1, 4), 0.25))
    found = held.flow[0, 0].argmax(1)
    assert torch.equal(order[found], torch.arange(4))
    cost = (told[0].flatten(1)[:, :, None] - told[1].flatten(1)[:, None, :]).norm(dim=0)
    torch.testing.assert_close(held.cost[0, 0].float(), cost, atol=1e-5, rtol=1e-5)


def test_whole_subjects_are_drawn_in_all_their_planes():
    torch.manual_seed(2)
    near = torch.tensor([0, 1, 1, 2])
    batches = list(WholeSubjects(near, subjects=5, batch=7, count=9))
    assert len(batches) == 9
    seen = set()
    for batch in batches:
        assert len(batch) == 6
        for first in range(0, 6, 3):
            rows, planes = zip(*batch[first : first + 3], strict=True)
            assert len(set(rows)) == 1
            assert near[list(planes)].tolist() == [0, 1, 2]
            seen |= {*planes}
    assert seen == {0, 1, 2, 3}


def test_planes_near_an_explained_one_are_trained_as_it(cohort, recipe):
    assert cohort.positions_mm == (-10.0, 26.0, 30.0)
    assert nearest_planes(cohort, recipe).tolist() == [0, 1, 1]


def test_the_mean_distance_over_the_planes_decides(path, head, tmp_path):
    model = load_model(path)
    assert model.prototype_images.shape == (4, 2, 48, 40)
    result = explain(model, head, top=3)
    assert result.together
    distances = np.mean([view.distances for view in result.views], axis=0)
    np.testing.assert_allclose(result.distances, distances)
    weighted = weighted_prediction(
        torch.from_numpy(distances)[None], torch.tensor(result.labels), 20.0, "relative"
    )
    assert result.prediction == pytest.approx(float(weighted.prediction))
    assert result.shares @ result.labels == pytest.approx(result.prediction)
    for match in result.prototypes:
        assert match.distance == pytest.approx(np.mean([view.distance for view in match.views]))
        for number, view in enumerate(match.views):
            assert view.contributions.sum() == pytest.approx(view.distance, rel=1e-6)
            np.testing.assert_allclose(
                result.views[number].contributions[match.index].sum(), view.distance, rtol=1e-6
            )
    again = Explanation.load(result.save(tmp_path / "it.json"))
    assert again.together
    assert again.prediction == result.prediction


def test_pictures_beside_a_plane_are_of_the_same_plane(path, head, tmp_path):
    model = load_model(path)
    result = explain(model, head, top=2)
    board = Board(result, top=2)
    for plane in board.planes:
        for number in (0, 1):
            shown = board.image(board.subjects + number, plane)
            np.testing.assert_array_equal(
                shown, model.prototype_images[result.prototypes[number].index, plane.view]
            )
    assert not np.array_equal(board.image(1, board.planes[0]), board.image(1, board.planes[1]))
    page = write_report(result, tmp_path / "report.html").read_text()
    assert "mean distance" in page


def test_folds_of_planes_calibrate_and_measure(path, recipe, table, cohort):
    figures = json.loads((path.with_suffix(".run") / "cross_validation.json").read_text())[
        "figures"
    ]
    assert {"mae", "plain_mae", "minus_plain_mae"} <= set(figures)
    model = load_model(path)
    assert model.info.calibration.familiarity is not None
    found = evaluate(model, table, jobs=2)
    assert found.prototypes == 4
    assert found.distinct_prototypes == 4


def test_a_table_predicts_as_one_image_does(path, recipe, cohort):
    task = fit(recipe, cohort, path.with_suffix(".run") / "final")
    network, views = task.network.eval(), task.views
    result = compare_images(network, cohort.images[0, views], cohort.content[0, views])
    np.testing.assert_allclose(
        task.distances(cohort)[0], result.distances, rtol=0.1
    )  # single precision
    adds = exactness(network, cohort.images[0, views], cohort.content[0, views], result)
    assert max(adds.prediction, adds.distance, adds.shares) < 1e-9
    assert adds.forward < 0.05
    assert len(set(task.sources[:, 0].tolist())) == 4


def test_deleting_a_patch_moves_the_common_answer(path, recipe, cohort):
    network, views = load_model(path).network, cohort.planes(recipe.input.positions_mm)
    images, content = cohort.images[0, views].astype(np.float32), cohort.content[0, views]
    result = compare_images(network, images, content)
    others = np.delete(result.distances, 1, axis=0)
    answers = predictions(network, np.stack([images[1], images[1] / 2]), content[1], 1, others)
    assert answers[0] == pytest.approx(result.prediction)
    darker = compare_images(network, np.stack([images[0], images[1] / 2]), content)
    assert answers[1] == pytest.approx(darker.prediction)
    assert answers[1] != pytest.approx(answers[0], abs=1e-6)
    gone = deletion(network, images[1], content[1], images[1] / 2, result, 1, seed=0)
    assert gone is not None
    assert gone.ordered > 0


def test_explanations_of_planes_are_measured(path, recipe, cohort):
    network = load_model(path).network
    found = measure_explanations(network, recipe.input, cohort, subjects=1, unit="years")
    assert 0 <= found.self_match["shift"].value <= 1
    assert found.prototypes["best_share"].value > found.prototypes["best_share"].chance
    random, sources = untrained(network, recipe.input, cohort)
    assert random.prototypes.shape == network.prototypes.shape
    assert len(sources) == 4


def test_planted_effects_are_sought_in_the_common_answer(path, recipe, cohort):
    network, views = load_model(path).network, cohort.planes(recipe.input.positions_mm)
    cells = int(np.prod(network.grid))
    regions = {"ventricles": np.zeros((1, 2, cells), dtype=bool)}
    regions["ventricles"][:, :, : cells // 2] = True
    seen = measure_pointing(network, cohort.select(np.array([0])), views, regions)
    found = compare_images(network, cohort.images[0, views], cohort.content[0, views])
    assert seen["error"][0] == pytest.approx(abs(found.prediction - cohort.labels[0]))
    shares, labels = [], network.prototype_labels.double().numpy()
    for v, inside in enumerate(foreground_cells(cohort.content[0, views], network.grid)):
        parts = found.scale * (found.flow[v] * found.cost[v]).sum(-1) / 2
        pulls = np.abs(pull(found.mean_distances, found.shares, parts, labels, found.radius))
        shares.append(pulls[inside & regions["ventricles"][0, v]].sum() / pulls[inside].sum())
    assert seen["answer ventricles share"][0] == pytest.approx(np.mean(shares))


def test_cells_are_aligned_with_those_of_another_subject(recipe, cohort, monkeypatch):
    document = recipe.model_dump()
    document["losses"]["alignment"] = 1.0
    task = PrototypeTask(Recipe.model_validate(document).member, cohort, recipe.grid)
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


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"floor": True}, "floor is no longer supported"),
        ({"planes": 3}, "prototypes of 3 planes need as many explained ones, not 2"),
        ({"matching": "average"}, "guide is for matching by transport"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(recipe, change, said):
    document = recipe.model_dump()
    document["architecture"] |= change
    with pytest.raises(ValueError, match=said):
        Recipe.model_validate(document)
