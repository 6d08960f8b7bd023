"""The experiment runner: every variant on the same folds, resumed where it stopped, and told as it
was measured."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from expert.datasets.table import read_table
from expert.errors import InputError, RecipeError
from expert.evaluation.metrics import bias_corrected, bias_line
from expert.model import PrototypeRegressor
from expert.schema import RESEARCH_USE
from expert.training.recipe import read_recipe
from expert.training.run_folder import identity
from expert.training.splits import fold_rows
from expert.transport import average_match, image_distance, patch_cost, position_plan
from studies.ablation import BASE, VARIANTS, Variant, chosen, shortened
from studies.cross_validation import run_benchmark
from studies.outcome import pooled_measures


@pytest.fixture(scope="module")
def recipe(tiny_recipe):
    return read_recipe(tiny_recipe)


@pytest.fixture(scope="module")
def benched(recipe, squares, tmp_path_factory):
    folder = tmp_path_factory.mktemp("benchmark")
    variants = ["average", "position", "published projection"]
    return run_benchmark(
        [recipe], squares, folder, variants=variants, folds=2, budget=0.5, subjects=3
    ), variants


# --- variants -------------------------------------------------------------------------------------
def test_every_variant_changes_what_it_says_or_nothing(recipe):
    for variant in VARIANTS:
        if "architecture.stride" in variant.changes:  # below
            continue
        if variant.name == "alignment":
            with pytest.raises(RecipeError, match="registered images"):
                variant.of(recipe)
            continue
        changed = variant.of(recipe).model_dump()
        for field, value in variant.changes.items():
            if value == "published":
                value = (0, recipe.schedule.epochs // 4, recipe.schedule.epochs // 3)
                changed["projection"]["every"] = recipe.projection.every
            part, _, name = field.rpartition(".")
            one, other = (getattr(of, part) if part else of for of in (variant.of(recipe), recipe))
            now, before = getattr(one, name), getattr(other, name)
            assert now == (
                pytest.approx(before * float(value[1:]))
                if isinstance(value, str) and value[0] == "×"
                else value
            )
            (changed[part] if part else changed)[name] = before
        assert type(recipe).model_validate(changed) == recipe
    with pytest.raises(RecipeError, match="which no recipe has"):
        Variant("odd", "", {"architecture.colour": 1}).of(recipe)
    with pytest.raises(RecipeError, match="stride"):
        Variant("odd", "", {"architecture.pool": 3}).of(recipe)
    with pytest.raises(RecipeError, match="There is no variant 'none'"):
        chosen(["none"])
    assert [variant.name for variant in chosen(["position"])] == [BASE, "position"]


def test_the_stride_is_halved_by_the_pooling_or_else_by_the_last_stage(recipe):
    finer, coarser = (Variant("", "", {"architecture.stride": factor}) for factor in ("÷2", "×2"))
    stride, settings = recipe.architecture.stride, recipe.architecture
    for pool, widths in ((1, settings.widths), (2, settings.widths[:-1])):
        same = recipe.model_copy(
            update={"architecture": settings.model_copy(update={"pool": pool, "widths": widths})}
        )
        assert same.architecture.stride == stride
        half = finer.of(same).architecture
        assert (half.stride, half.pool) == (stride // 2, 1)
    wide = recipe.model_copy(
        update={"input": recipe.input.model_copy(update={"shape": (4 * stride, 6 * stride)})}
    )
    assert coarser.of(wide).architecture.stride == 2 * stride
    one = recipe.model_copy(
        update={"architecture": settings.model_copy(update={"pool": 1, "widths": (8,)})}
    )
    assert finer.of(one) == one


def test_of_all_variants_those_are_left_out_that_a_recipe_cannot_have(recipe, squares, tmp_path):
    from studies.cross_validation import _jobs

    counted = recipe.model_copy(
        update={
            "architecture": recipe.architecture.model_copy(
                update={"backbone": "histogram", "pool": recipe.architecture.stride}
            ),
            "losses": recipe.losses.model_copy(update={"consistency": 0.0}),
        }
    )
    names = {job.variant for job in _jobs(counted, squares, tmp_path, None, 2, 1.0, 0, 1)}
    assert BASE in names
    assert not {"consistency", "equivariance"} & names
    with pytest.raises(RecipeError, match="'equivariance'"):
        _jobs(counted, squares, tmp_path, ["equivariance"], 2, 1.0, 0, 1)


def test_averages_are_trained_as_averages():
    recipe = read_recipe(Path(__file__).parents[1] / "recipes" / "ixi-axial.yaml")
    (average,) = (variant.of(recipe) for variant in VARIANTS if variant.name == "average")
    assert recipe.schedule.by_position
    assert not average.schedule.by_position
    network = PrototypeRegressor(average.architecture, average.grid)
    features = torch.rand(
        2, average.architecture.latent, *average.grid, generator=torch.Generator().manual_seed(1)
    )
    mass = torch.full((2, int(np.prod(average.grid))), 1 / np.prod(average.grid))
    trained = network.training_distance(features, mass, by_position=average.schedule.by_position)
    torch.testing.assert_close(trained, network.compare(features, mass).distance)


def test_a_smaller_budget_moves_the_projections_with_the_epochs(recipe):
    short = shortened(recipe, 0.5)
    assert (short.warmup.epochs, short.schedule.epochs, short.projection.every) == (2, 2, 1)
    assert shortened(recipe, 1.0) is recipe


# --- what transport is measured against -----------------------------------------------------------
def test_the_distance_of_averages_splits_over_the_patches():
    generator = torch.Generator().manual_seed(1)
    features, prototypes = (
        torch.rand(3, 8, 4, 3, generator=generator),
        torch.rand(5, 8, 4, 3, generator=generator),
    )
    source = torch.rand(3, 12, generator=generator).softmax(-1)
    target = torch.rand(5, 12, generator=generator).softmax(-1)
    plan, cost = average_match(features, prototypes, source, target)
    distance = image_distance(plan.flow, cost, 1.0)
    means = [
        (grid.flatten(2) * mass[:, None]).sum(-1)
        for grid, mass in ((features, source), (prototypes, target))
    ]
    torch.testing.assert_close(distance, torch.cdist(*means))
    torch.testing.assert_close(plan.flow.sum(-1), source[:, None].expand(-1, 5, -1))


def test_the_distance_by_position_looks_at_the_same_place_only():
    generator = torch.Generator().manual_seed(1)
    features, prototypes = (
        torch.rand(3, 8, 4, 3, generator=generator),
        torch.rand(5, 8, 4, 3, generator=generator),
    )
    source = torch.rand(3, 12, generator=generator).softmax(-1)
    distance = image_distance(position_plan(source, 5).flow, patch_cost(features, prototypes), 1.0)
    same = (features[:, None] - prototypes[None]).norm(dim=2).flatten(2)
    torch.testing.assert_close(distance, (same * source[:, None]).sum(-1))


# --- the runner -----------------------------------------------------------------------------------
def test_all_variants_answer_for_the_same_held_out_subjects(benched, recipe, squares):
    target, variants = benched
    document = json.loads((target.parent / "results.json").read_text())["recipes"]["tiny"]
    assert [entry["variant"] for entry in document["variants"]] == [BASE, "plain", *variants]
    labels = np.array(document["labels"])
    _, _, parts = fold_rows(recipe, squares, 2)
    for entry in document["variants"]:
        prediction = np.array(entry["prediction"])
        assert np.isfinite(prediction).all()
        assert entry["figures"]["mae"] == pytest.approx(np.abs(prediction - labels).mean())
        if entry["variant"] != "plain":
            place = target.parent / "tiny" / entry["variant"].replace(" ", "-")
            for number, rows in enumerate(parts):
                assert (
                    json.loads((place / f"fold{number}" / "result.json").read_text())["prediction"]
                    == prediction[rows].tolist()
                )
    base, plain = (np.array(entry["prediction"]) for entry in document["variants"][:2])
    difference = np.abs(plain - labels) - np.abs(base - labels)
    assert document["variants"][1]["minus_base"]["value"] == pytest.approx(difference.mean())


def test_the_results_tell_errors_matches_and_trust(benched):
    target, variants = benched
    text = target.read_text()
    assert RESEARCH_USE in text
    for words in (
        "MAE (95 %)",
        "self-match",
        "on background",
        "deletion gain",
        "24 images of drawn squares, 2 folds",
        *variants,
    ):
        assert words in text
    for plot in ("predicted-against-true", "error-by-label", "learning-curves"):
        root = ElementTree.fromstring((target.parent / f"tiny-{plot}.svg").read_text())
        assert len(root) > 20
        assert f"tiny-{plot}.svg" in text


def test_a_finished_run_is_told_again_and_trains_nothing(benched, recipe, squares, monkeypatch):
    import expert.training

    target, variants = benched
    before = target.read_text()
    monkeypatch.setattr(expert.training, "_fit", lambda *arguments: pytest.fail("trained again"))
    target.unlink()
    again = run_benchmark(
        [recipe], squares, target.parent, variants=variants, folds=2, budget=0.5, subjects=3
    )
    assert again.read_text() == before


def test_what_is_finished_is_told_before_the_rest_is(
    benched, recipe, squares, tmp_path, monkeypatch
):
    path, variants = benched
    folder = tmp_path / "half"
    shutil.copytree(path.parent, folder)
    shutil.rmtree(folder / recipe.name / "average" / "fold1")
    monkeypatch.setattr(
        "expert.training.pipeline.train", lambda *args, **kwargs: pytest.fail("nothing is trained")
    )
    told = run_benchmark(
        [recipe], squares, folder, variants=variants, folds=2, budget=0.5, subjects=3, run=False
    ).read_text()
    assert "Not all folds are done" in told
    assert "| average (1 of 2 folds) |" in told
    assert "| as given |" in told
    with pytest.raises(InputError, match="No fold of tiny is finished"):
        run_benchmark([recipe], squares, tmp_path / "none", folds=2, run=False)


def test_folds_of_another_budget_table_or_recipe_are_not_told_as_these(benched, recipe, squares):
    path, variants = benched
    same = {"variants": variants, "folds": 2, "budget": 0.5, "subjects": 3, "run": False}
    wider = recipe.model_copy(
        update={"architecture": recipe.architecture.model_copy(update={"radius": 9.0})}
    )
    renamed = recipe.model_copy(update={"version": "2", "card": "Other words."})
    for other, changes in ((recipe, {"budget": 1.0}), (recipe, {"folds": 3}), (wider, {})):
        with pytest.raises(InputError, match="another recipe, budget, table or number of folds"):
            run_benchmark([other], squares, path.parent, **same | changes)
    # Another image, another pixel size.
    entries = read_table(squares)
    known, swapped = (
        identity(recipe, of, 2) for of in (entries, (entries[1], entries[0], *entries[2:]))
    )
    assert known != swapped
    assert known != identity(recipe, (replace(entries[0], pixel_size_mm=2.0), *entries[1:]), 2)
    assert run_benchmark([renamed], squares, path.parent, **same).read_text() == path.read_text()


def test_folds_are_models_and_intervals_are_over_them():
    def figure(value, half, subjects):
        return {
            "x": {
                "value": value,
                "low": value - half,
                "high": value + half,
                "subjects": subjects,
                "chance": None,
            }
        }

    single = pooled_measures([figure(value, 0.0, 1) for value in (1.0, 2.0, 6.0)])["x"]
    assert (single.value, single.subjects) == (3.0, 3)
    assert single.high - single.value == pytest.approx(
        4.3027 * np.sqrt(7) / np.sqrt(3), rel=1e-4
    )  # t of 2 degrees
    several = pooled_measures([figure(1.0, 0.1, 4), figure(2.0, 0.1, 4)])["x"]
    assert several.low < 0 < 3 < several.high  # models that disagree, though each is sure
    alone = pooled_measures([figure(1.0, 0.5, 4)])["x"]
    assert (alone.low, alone.high) == (0.5, 1.5)


def test_variants_share_a_warm_up_where_it_is_the_same(benched):
    folder = benched[0].parent
    assert len(list((folder / "shared").glob("warmup-*.safetensors"))) == 2  # one for each fold
    assert len(list((folder / "shared" / "prepared").glob("*.npz"))) == 24


def test_what_cannot_be_run_is_one_sentence(recipe, squares, tmp_path):
    with pytest.raises(InputError, match="same name"):
        run_benchmark([recipe, recipe], squares, tmp_path)
    with pytest.raises(InputError, match="2 folds"):
        run_benchmark([recipe], squares, tmp_path, folds=1)
    from expert.cli.app import app

    (tmp_path / "r.yaml").write_text("name: [")
    said = CliRunner().invoke(
        app,
        ["benchmark", str(tmp_path / "r.yaml"), "--data", str(squares), "-o", str(tmp_path / "b")],
    )
    assert said.exit_code == 1
    assert "not valid YAML" in said.output


def test_a_bias_is_taken_out_on_average_and_told_to_be():
    generator = np.random.default_rng(0)
    labels = generator.uniform(20, 80, 400)
    prediction = 25 + 0.5 * labels + generator.normal(0, 2, 400)
    line = bias_line(prediction, labels)
    assert line == (pytest.approx(25, abs=1), pytest.approx(0.5, abs=0.02))
    corrected = bias_corrected(prediction, line)
    assert np.polyfit(labels, corrected - labels, 1)[0] == pytest.approx(0, abs=0.02)
    assert np.polyfit(labels, prediction - labels, 1)[0] == pytest.approx(-0.5, abs=0.02)
    assert bias_line(np.full(400, 50.0) + generator.normal(0, 1, 400), labels) is None
    np.testing.assert_array_equal(bias_corrected(prediction, None), prediction)


def test_a_bias_corrected_column_stands_beside_the_prediction(tiny_model_file, squares, tmp_path):
    from expert.cli.batch_prediction import items, predict
    from expert.model_file import load_model

    model = load_model(tiny_model_file)
    assert model.info.calibration.bias is not None
    target, failed = predict(model, items([], squares)[:3], tmp_path / "p.csv", corrected=True)
    rows = [line.split(",") for line in target.read_text().splitlines()]
    assert failed == 0
    assert rows[0][1:3] == ["prediction", "bias_corrected"]
    start, slope = model.info.calibration.bias
    for row in rows[1:]:
        assert float(row[2]) == pytest.approx((float(row[1]) - start) / slope, abs=1e-3)
    plain, _ = predict(model, items([], squares)[:1], tmp_path / "q.csv")
    assert "bias_corrected" not in plain.read_text()
    info = model.info.model_copy(
        update={"calibration": model.info.calibration.model_copy(update={"bias": None})}
    )
    with pytest.raises(InputError, match="no bias correction"):
        predict(replace(model, info=info), [], tmp_path / "r.csv", corrected=True)
