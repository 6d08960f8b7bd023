"""Effects in known places: heads differ there and nowhere else, a model finds them, and nothing
where there is nothing."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from scipy import ndimage
from typer.testing import CliRunner

from expert.cli.app import app
from expert.datasets.phantom import effect_affine, effect_regions, phantom, phantom_with_truth
from expert.errors import InputError
from expert.evaluation.bootstrap import over_both, over_subjects
from expert.imaging.registration import Registration
from expert.imaging.resampling import resample_to_subject
from expert.model import PrototypeRegressor
from expert.schema import InputSettings
from expert.training.recipe import Recipe
from studies.planted_data import (
    COHORTS,
    PLACES,
    draw_people,
    labelled,
    looks,
    planted_change,
    prepare_people,
    region_cells,
    regions_of,
)
from studies.planted_effects import measure_pointing, run_study, study_recipe

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


def test_a_place_that_was_given_no_look_is_as_it_was():
    plain, truth = phantom_with_truth(50, 3)
    same, _ = phantom_with_truth(
        50, 3, ventricle_age=truth.ventricle_age, cortex_age=truth.cortex_age
    )
    np.testing.assert_array_equal(plain.data, same.data)
    np.testing.assert_array_equal(plain.data, phantom(50, 3).data)
    assert truth.left_cortex_age == truth.cortex_age


@pytest.mark.parametrize("place", PLACES)
def test_heads_differ_in_the_planted_place_and_nowhere_else(place):
    argument = {"ventricles": "ventricle_age", "left cortex": "left_cortex_age"}[place]
    young, truth = phantom_with_truth(50, 7, clean=True, **{argument: 20.0})
    old, _ = phantom_with_truth(50, 7, clean=True, **{argument: 85.0})
    region = effect_regions()[place.removeprefix("left ")].copy()
    if place == "left cortex":
        region[effect_affine()[0, 3] + effect_affine()[0, 0] * np.arange(len(region)) >= 0] = False
    # People are deformed by some mm beyond the affine transform that brings the region to them.
    region = ndimage.binary_dilation(region, iterations=4)
    known = Registration.known(truth.template_to_subject)
    there = resample_to_subject(region.astype(np.float32), effect_affine(), known, young)
    changed = young.data != old.data
    assert changed.sum() > 500
    assert (there[changed] > 0).mean() > 0.995
    assert changed[there == 0].mean() < 0.0005


def test_a_region_is_where_the_content_changed():
    volume = study_recipe().input
    planes = InputSettings(shape=(96, 96), spacing_mm=2.0, positions_mm=(3.0, 7.0, 11.0))
    ventricles, sections = planted_change(7, "ventricles", [volume, planes])
    (cortex,) = planted_change(7, "left cortex", [volume])
    assert sections.shape == (3, *planes.shape)
    middle, left = region_cells(ventricles, (4, 5, 4)), region_cells(cortex, (4, 5, 4))
    cells = left.reshape(4, 5, 4)
    assert cells[..., :2].sum() > 8
    assert not cells[..., 2:].any()  # axes S, A, R: the right half is untouched
    assert 2 <= middle.sum() <= 16
    assert not middle.reshape(4, 5, 4)[..., [0, 3]].any()
    with pytest.raises(InputError, match="ventricles"):
        planted_change(7, "nose", [volume])


def test_a_region_is_the_fewest_cells_that_hold_most():
    change = np.zeros((2, 4, 4))
    change[0, 0, 0], change[0, 0, 3], change[0, 3, 3] = 70, 22, 8
    np.testing.assert_array_equal(
        region_cells(change, (2, 2)), [[True, True, False, False], [False] * 4]
    )
    np.testing.assert_array_equal(region_cells(change, (2, 2), 0.5)[0], [True, False, False, False])
    np.testing.assert_array_equal(region_cells(change, (2, 2), 1.0)[0], [True, True, False, True])


def test_labels_say_what_was_planted_and_others_do_not():
    people, others = draw_people(40, 3), draw_people(40, 3, 40)
    assert not {*people.seeds} & {*others.seeds}
    assert np.abs(np.corrcoef(people.ages.T)[np.triu_indices(3, 1)]).max() < 0.5
    assert looks("mixed", people.ages[4])["left_cortex_age"] == people.labels("left cortex")[4]
    assert looks("ageing", people.ages[4]) == {"age": people.labels("age")[4]}
    assert looks("ventricles", people.ages[4]) == {
        "age": 50.0,
        "ventricle_age": people.labels("ventricles")[4],
    }
    dealt = people.labels(None, 0)
    assert sorted(dealt) == sorted(people.ages[:, 0])
    assert not np.array_equal(dealt, people.labels(None, 1))
    with pytest.raises(InputError, match="2 heads"):
        draw_people(1, 3)


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
    recipe, people = tiny(), draw_people(HELD_OUT, 3, TRAINING)
    cohort = labelled(
        prepare_people(people, ["ventricles"], [recipe.input], folder / "heads")["ventricles"][0],
        people.ages[:, 0],
    )
    (regions,) = regions_of(people, [recipe.input], [(4, 5, 4)], folder / "heads")
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


def test_trainings_that_disagree_are_a_wide_interval():
    values = np.random.default_rng(0).normal(0.5, 0.1, (1, 40))
    one, same = over_both(values), over_subjects(values[0])
    assert one.value == pytest.approx(same.value)
    assert (one.low, one.high) == pytest.approx((same.low, same.high), abs=0.01)
    apart = over_both(np.repeat([[0.0], [1.0], [0.0], [1.0]], 40, axis=1), np.full((4, 40), 0.25))
    assert (apart.low, apart.value, apart.high) == (0.0, 0.5, 1.0)
    assert (apart.subjects, apart.chance) == (40, 0.25)
    assert over_both(np.full((2, 3), np.nan)) is None
    assert over_both(np.array([[np.nan, 1.0], [np.nan, 3.0]])).subjects == 1


def test_what_cannot_be_studied_is_refused_in_a_sentence(tmp_path):
    recipe = tiny()
    with pytest.raises(InputError, match="same name"):
        run_study(tmp_path, [recipe, recipe])
    with pytest.raises(InputError, match="prototypes"):
        run_study(tmp_path, [recipe], training=4)
    with pytest.raises(InputError, match="at least one"):
        run_study(tmp_path, [recipe], cohorts=[])
    with pytest.raises(InputError, match="mni"):
        prepare_people(draw_people(2, 3), ["nothing"], [InputSettings(space="image")], tmp_path)
    shown = CliRunner().invoke(app, ["planted", "--out", str(tmp_path), "--heads", "4"])
    assert shown.exit_code == 1
    assert "Error: " in shown.output
    assert not list(tmp_path.iterdir())
