"""Training, for real on drawn squares: it learns, goes on after a kill, and a collapsed model does
not pass."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import draw_squares

from expert.datasets.prepared_dataset import load_cohort
from expert.datasets.prototype_images import prototype_image
from expert.datasets.table import read_table
from expert.errors import ExpertError, InputError, RecipeError
from expert.evaluation.accuracy import evaluate
from expert.imaging.preprocessing import prepare
from expert.model_file import load_model, shipped_models
from expert.training.pipeline import CollapseWarning, train
from expert.training.prototype_module import PrototypeTask
from expert.training.recipe import Recipe, read_recipe
from expert.training.splits import split


def changed(recipe: Recipe, **changes) -> Recipe:
    document = recipe.model_dump()
    for name, value in changes.items():
        document[name] = {**document[name], **value} if isinstance(value, dict) else value
    return Recipe.model_validate(document)


def test_it_learns_and_says_how_well(tiny_model_file, tmp_path):
    model = load_model(tiny_model_file)
    assert model.info.validation["mae"] < 0.5 * model.info.validation["mean_predictor_mae"]
    assert {"plain_mae", "minus_plain_low"} <= set(model.info.validation)
    assert model.info.calibration.images == 24
    assert not model.info.collapsed
    assert model.prototype_images.shape == (6, 32, 32)
    fresh = draw_squares(tmp_path / "fresh", 9, 77)
    result = evaluate(model, fresh, jobs=1)
    assert not result.failed
    assert result.errors.mae < 0.5 * result.errors.mean_predictor_mae


def test_distinct_relabelled_prototypes(tiny_model_file):
    model = load_model(tiny_model_file)
    assert len({p.source_label for p in model.info.prototypes}) == 6
    assert all(abs(p.label - p.source_label) < 1e-3 for p in model.info.prototypes)


def test_folds_share_no_subject(squares, tiny_recipe, tmp_path):
    from expert.datasets.prepared_dataset import load_cohort
    from expert.datasets.table import read_table

    cohort = load_cohort(read_table(squares), read_recipe(tiny_recipe).input, tmp_path, jobs=1)
    parts = split(cohort, 4, 1)
    assert sorted(np.concatenate(parts).tolist()) == list(range(24))
    means = [cohort.labels[part].mean() for part in parts]
    assert np.ptp(means) < 15


def test_the_same_seed_gives_the_same_model(tiny_recipe, squares, tmp_path):
    recipe = read_recipe(tiny_recipe)
    first, second = (
        load_model(train(recipe, squares, tmp_path / f"{n}.safetensors", jobs=1)) for n in "ab"
    )
    assert all(np.array_equal(first.tensors[name], second.tensors[name]) for name in first.tensors)


def test_a_killed_run_goes_on(tiny_recipe, squares, tmp_path, monkeypatch):
    recipe = read_recipe(tiny_recipe)
    real, epochs = PrototypeTask.training_step, []

    def killed(self, batch, index):
        if self.current_epoch == 2:
            raise SystemExit
        return real(self, batch, index)

    def watched(self, batch, index):
        epochs.append(self.current_epoch)
        return real(self, batch, index)

    monkeypatch.setattr(PrototypeTask, "training_step", killed)
    with pytest.raises(SystemExit):
        train(recipe, squares, tmp_path / "m.safetensors", jobs=1)
    assert not (tmp_path / "m.safetensors").exists()
    monkeypatch.setattr(PrototypeTask, "training_step", watched)
    path = train(recipe, squares, tmp_path / "m.safetensors", jobs=1)
    assert min(epochs) == 2
    assert max(epochs) == 3
    assert load_model(path).info.name == "tiny"
    with pytest.raises(ExpertError, match="another recipe"):
        train(changed(recipe, schedule={"seed": 9}), squares, tmp_path / "m.safetensors", jobs=1)


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


def test_a_collapsed_model_is_warned_of_and_fails_its_evaluation(tiny_recipe, squares, tmp_path):
    table = tmp_path / "shuffled.csv"
    with squares.open() as file:
        rows = list(csv.DictReader(file))
    labels = np.random.default_rng(4).permutation([row["label"] for row in rows])
    lines = [
        f"{squares.parent / row['file']},{label},1.0"
        for row, label in zip(rows, labels, strict=True)
    ]
    table.write_text("file,label,pixel_size_mm\n" + "\n".join(lines) + "\n")
    with pytest.warns(CollapseWarning, match="collapsed"):
        path = train(read_recipe(tiny_recipe), table, tmp_path / "m.safetensors", folds=3, jobs=1)
    model = load_model(path)
    assert model.info.collapsed
    assert evaluate(model, squares, jobs=1).failed


def test_calibration_from_images_kept_out(tiny_recipe, squares, tmp_path):
    kept = draw_squares(tmp_path / "kept", 12, 5)
    model = load_model(
        train(
            read_recipe(tiny_recipe), squares, tmp_path / "m.safetensors", calibration=kept, jobs=1
        )
    )
    assert model.info.calibration.images == 12
    with pytest.raises(InputError, match="training images too"):
        train(
            read_recipe(tiny_recipe),
            squares,
            tmp_path / "n.safetensors",
            calibration=squares,
            jobs=1,
        )
    # Other images of the same people are refused as well.
    mine, theirs = (tmp_path / name for name in ("mine.csv", "theirs.csv"))
    for target, source in ((mine, squares), (theirs, kept)):
        with source.open() as file:
            rows = list(csv.DictReader(file))
        told = [
            f"{n},{source.parent / row['file']},{row['label']},1.0" for n, row in enumerate(rows)
        ]
        target.write_text("subject,file,label,pixel_size_mm\n" + "\n".join(told))
    with pytest.raises(
        InputError, match="12 subjects of the calibration table are training subjects too"
    ):
        train(
            read_recipe(tiny_recipe), mine, tmp_path / "n.safetensors", calibration=theirs, jobs=1
        )


def test_the_folder_of_a_run_is_of_one_split(tiny_recipe, squares, tmp_path):
    recipe, folder = (
        changed(read_recipe(tiny_recipe), schedule={"epochs": 1}, warmup={"epochs": 1}),
        tmp_path / "run",
    )

    def fold(table, folds, **words):
        one = recipe.model_copy(update=words)
        return train(
            one, table, tmp_path / "m.safetensors", folds=folds, only_fold=0, run=folder, jobs=1
        )

    fold(squares, 3)
    fold(squares, 3, version="2", card="Other words.")
    with pytest.raises(ExpertError, match="number of folds"):
        fold(squares, 4)
    with squares.open() as file:
        rows = list(csv.DictReader(file))
    lines = [
        f"{n // 2},{squares.parent / row['file']},{row['label']},1.0" for n, row in enumerate(rows)
    ]
    (tmp_path / "pairs.csv").write_text("subject,file,label,pixel_size_mm\n" + "\n".join(lines))
    with pytest.raises(ExpertError, match="another recipe, table"):
        fold(tmp_path / "pairs.csv", 3)


def test_no_subject_enters_a_model_unless_asked(tiny_recipe, squares, tmp_path):
    recipe = changed(read_recipe(tiny_recipe), prototype_images="none")
    path = train(recipe, squares, tmp_path / "m.safetensors", jobs=1)
    model = load_model(path)
    assert model.prototype_images is None
    assert all(p.reference is None for p in model.info.prototypes)
    assert b"square-" not in path.read_bytes()
    assert Recipe.model_fields["prototype_images"].default == "none"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": None}, "name"),
        ({"architecture": {"prototypes": 1}}, "prototypes"),
        ({"typo": 1}, "typo"),
        ({"input": {"space": "image", "shape": [33, 32]}}, "stride"),
    ],
)
def test_bad_recipes_name_the_field(tiny_recipe, change, message, tmp_path):
    document = yaml.safe_load(tiny_recipe.read_text())
    document.update(change)
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(RecipeError, match=message) as caught:
        read_recipe(path)
    assert "\n" not in str(caught.value)


def test_too_few_subjects(tiny_recipe, tmp_path):
    table = draw_squares(tmp_path / "few", 5, 0)
    with pytest.raises(InputError, match="5 subjects"):
        train(read_recipe(tiny_recipe), table, tmp_path / "m.safetensors", jobs=1)


def test_shipped_recipes_are_valid_and_made_the_shipped_models():

    recipes = {
        path.stem: read_recipe(path)
        for path in (Path(__file__).parents[1] / "recipes").glob("*.yaml")
    }
    assert all(recipe.name == name for name, recipe in recipes.items())
    for name in shipped_models():
        recipe, model = recipes[name], load_model(name)
        made = json.loads(json.dumps(model.info.training.recipe))
        assert made == recipe.model_dump(mode="json", exclude={"card"}), name


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("T1/a.nii.gz", "T1/a.nii.gz"),
        ("a.png", "a.png"),
        ("../../home/someone/a.png", "a.png"),
        ("/home/someone/a.png", "a.png"),
        (r"C:\Users\someone\a.png", "a.png"),
        (r"T1\a.nii.gz", "T1/a.nii.gz"),
    ],
)
def test_a_model_tells_no_way_to_a_file_outside_its_data_set(name, told):
    from expert.datasets.table import Entry

    entry = Entry(
        subject="s", name=name, file=Path(name), label=1.0, pixel_size_mm=None, sha256="0" * 64
    )
    assert entry.public_name == told


def test_a_prototype_by_reference_is_shown_at_its_own_pixel_size(tiny_recipe, squares, tmp_path):
    table = tmp_path / "table.csv"
    rows = squares.read_text().replace(",1.0", ",1.7").splitlines()
    table.write_text("\n".join(rows))
    for image in squares.parent.glob("*.png"):
        (tmp_path / image.name).write_bytes(image.read_bytes())
    recipe = changed(read_recipe(tiny_recipe), prototype_images="reference")
    model = load_model(
        train(recipe, table, tmp_path / "m.safetensors", prepared=tmp_path / "prepared", jobs=1)
    )
    cohort = load_cohort(read_table(table), recipe.input, tmp_path / "prepared")
    own = {entry.name: image[0] for entry, image in zip(cohort.entries, cohort.images, strict=True)}
    for number, prototype in enumerate(model.info.prototypes):
        image, message = prototype_image(model, number, tmp_path)
        assert not message
        np.testing.assert_array_equal(image, own[prototype.reference.file])


def test_a_model_that_measures_sizes_refuses_an_image_without_one(tiny_recipe, squares):
    from expert.imaging.volume import read_volume

    recipe = read_recipe(tiny_recipe).input
    sized = type(recipe).model_validate(recipe.model_dump() | {"sized": True})
    image = squares.parent / "square-03.png"
    with pytest.raises(InputError, match="--pixel-size-mm"):
        prepare(read_volume(image), sized)
    assert prepare(read_volume(image, pixel_size_mm=1.0), sized).images.any()
    assert prepare(read_volume(image), recipe).images.any()
    with pytest.raises(ValueError, match="plain images"):
        type(recipe)(sized=True)
    assert "sized" not in recipe.model_dump()
