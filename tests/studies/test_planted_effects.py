"""Tests of `studies.planted_effects`."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from expert.errors import InputError
from expert.model import PrototypeRegressor
from expert.schema import InputSettings
from expert.training.recipe import Recipe
from studies.__main__ import app
from studies.planted_data import COHORTS, draw_subjects, prepare_subjects, with_labels
from studies.planted_effects import run_study, study_recipe
from studies.planted_regions import planted_regions
from studies.pointing import measure_pointing

TRAINING, HELD_OUT = 14, 5


VENTRICLES, SHUFFLED = COHORTS[0], dataclasses.replace(COHORTS[0], name="shuffled", label=None)


def tiny() -> Recipe:
    recipe = study_recipe().model_dump()
    recipe["architecture"] |= {"prototypes": 6}
    recipe["warmup"] |= {"epochs": 30}
    recipe["schedule"] |= {"epochs": 10, "batch": 7}
    return Recipe.model_validate(recipe)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The ventricles, with their own labels and with labels dealt out at random: the same heads."""
    folder = tmp_path_factory.mktemp("planted")
    outcomes = run_study(
        folder,
        [tiny()],
        cohorts=[VENTRICLES, SHUFFLED],
        training=TRAINING,
        held_out=HELD_OUT,
        repeats=1,
        seed=3,
    )
    return folder, {(outcome.cohort, outcome.trained): outcome for outcome in outcomes}


def test_the_ventricles_are_found(study):
    found = study[1]["ventricles", True]
    assert found.gain.low > 0
    assert found.mae.value < 0.6 * found.mean_mae.value
    for pointing in (found.answer["ventricles"], found.pair["ventricles"]):
        assert pointing.strongest.low > pointing.strongest.chance
        assert pointing.share.low > pointing.share.chance
    assert found.answer["left cortex"].share.value < found.answer["left cortex"].share.chance


def test_shuffled_labels_are_not_predicted(study):
    assert study[1]["shuffled", True].gain.low <= 0


def test_what_is_written_is_what_was_measured(study):
    folder, outcomes = study
    written = json.loads((folder / "planted.json").read_text())
    assert written["settings"] == {
        "training": TRAINING,
        "held_out": HELD_OUT,
        "repeats": 1,
        "seed": 3,
    }
    first = written["outcomes"][0]
    assert (
        first["answer"]["ventricles"]["share"]["value"]
        == outcomes["ventricles", True].answer["ventricles"].share.value
    )
    text = (folder / "planted.md").read_text()
    assert f"{outcomes['ventricles', True].mae.value:.1f} (" in text
    assert text.count("untrained") == 6


def test_a_pull_is_measured_where_it_lies(study):
    """A network that knows nothing but the cells' content, and two prototypes that differ in one
    cell."""
    folder, _ = study
    recipe, people = tiny(), draw_subjects(HELD_OUT, 3, TRAINING)
    cohort = with_labels(
        prepare_subjects(people, ["ventricles"], [recipe.input], folder / "heads")["ventricles"][0],
        people.ages[:, 0],
    )
    (regions,) = planted_regions(people, [recipe.input], [(4, 5, 4)], folder / "heads")
    settings = recipe.architecture.model_copy(
        update={"prototypes": 2, "matching": "position", "radius": 1e6}
    )
    network = PrototypeRegressor(settings, (4, 5, 4)).eval()
    cell = int(np.flatnonzero(regions["ventricles"].all(axis=0)[0])[0])
    with torch.no_grad():
        network.prototypes.fill_(0.5)
        network.prototypes[1].flatten(1)[:, cell] = 0.0
        network.prototype_labels.copy_(torch.tensor([20.0, 85.0]))
    seen = measure_pointing(network, cohort, [0], regions)
    np.testing.assert_allclose(seen["pair ventricles share"], 1, atol=1e-6)
    np.testing.assert_array_equal(seen["pair ventricles strongest"], 1)
    np.testing.assert_allclose(seen["own place"], 1)
    assert (seen["pair ventricles share chance"] < 0.6).all()


def test_what_cannot_be_studied_is_refused_in_a_sentence(tmp_path):
    recipe = tiny()
    with pytest.raises(InputError, match="same name"):
        run_study(tmp_path, [recipe, recipe])
    with pytest.raises(InputError, match="prototypes"):
        run_study(tmp_path, [recipe], training=4)
    with pytest.raises(InputError, match="at least one"):
        run_study(tmp_path, [recipe], cohorts=[])
    with pytest.raises(InputError, match="mni"):
        prepare_subjects(draw_subjects(2, 3), ["nothing"], [InputSettings(space="image")], tmp_path)
    shown = CliRunner().invoke(app, ["planted", "--out", str(tmp_path), "--heads", "4"])
    assert shown.exit_code == 1
    assert "Error: " in shown.output
    assert not list(tmp_path.iterdir())
