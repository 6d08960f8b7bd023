"""Training, for real on drawn squares: it learns, goes on after a kill, and a collapsed model does
not pass."""

from __future__ import annotations

import csv
import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest
from helpers.squares import changed, draw_squares

from expert.datasets.average_images import STEP, average_image
from expert.errors import ExpertError, InputError
from expert.evaluation.accuracy import evaluate
from expert.evidence.patch_evidence import Evidence
from expert.evidence.tissue_norms import TissueNorms
from expert.inference import explain
from expert.model_file import AVERAGES, load_model
from expert.training.pipeline import CollapseWarning, train
from expert.training.prototype_module import PrototypeModule
from expert.training.recipe import Recipe, read_recipe
from expert.training.regression_module import RegressionModule


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


def test_the_same_seed_gives_the_same_model(tiny_recipe, squares, tmp_path):
    recipe = read_recipe(tiny_recipe)
    first, second = (
        load_model(train(recipe, squares, tmp_path / f"{n}.safetensors", jobs=1)) for n in "ab"
    )
    assert all(np.array_equal(first.tensors[name], second.tensors[name]) for name in first.tensors)


@pytest.mark.parametrize("stage", [RegressionModule, PrototypeModule])
def test_a_killed_run_goes_on_as_if_it_had_not_been_killed(
    tiny_recipe, squares, tmp_path, monkeypatch, stage
):
    recipe = changed(read_recipe(tiny_recipe), augmentation={"noise": 0.05, "rotation_deg": 9.0})
    whole = train(recipe, squares, tmp_path / "whole.safetensors", jobs=1)
    real, epochs = stage.training_step, []

    def killed(self, batch, index):
        if self.current_epoch == 2 and index == 1:
            raise SystemExit
        return real(self, batch, index)

    def watched(self, batch, index):
        epochs.append(self.current_epoch)
        return real(self, batch, index)

    monkeypatch.setattr(stage, "training_step", killed)
    with pytest.raises(SystemExit):
        train(recipe, squares, tmp_path / "m.safetensors", jobs=1)
    assert not (tmp_path / "m.safetensors").exists()
    monkeypatch.setattr(stage, "training_step", watched)
    path = train(recipe, squares, tmp_path / "m.safetensors", jobs=1)
    assert min(epochs) == 2
    assert max(epochs) == 3
    assert path.read_bytes() == whole.read_bytes()
    with pytest.raises(ExpertError, match="another recipe"):
        train(changed(recipe, schedule={"seed": 9}), squares, tmp_path / "m.safetensors", jobs=1)


def test_a_run_that_is_killed_after_its_last_epoch_still_projects_its_prototypes(
    tiny_recipe, squares, tmp_path, monkeypatch
):
    recipe, real = read_recipe(tiny_recipe), PrototypeModule.project
    whole = train(recipe, squares, tmp_path / "whole.safetensors", jobs=1)

    def killed(self):
        if self.current_epoch == recipe.schedule.epochs:
            raise SystemExit
        real(self)

    monkeypatch.setattr(PrototypeModule, "project", killed)
    with pytest.raises(SystemExit):
        train(recipe, squares, tmp_path / "m.safetensors", jobs=1)
    monkeypatch.setattr(PrototypeModule, "project", real)
    path = train(recipe, squares, tmp_path / "m.safetensors", jobs=1)
    assert path.read_bytes() == whole.read_bytes()


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


def test_no_subject_enters_a_model_unless_asked(tiny_recipe, squares, tmp_path):
    recipe = changed(read_recipe(tiny_recipe), prototype_images="none")
    path = train(recipe, squares, tmp_path / "m.safetensors", jobs=1)
    model = load_model(path)
    assert model.prototype_images is None
    assert all(p.reference is None for p in model.info.prototypes)
    assert b"square-" not in path.read_bytes()
    assert Recipe.model_fields["prototype_images"].default == "none"


def test_too_few_subjects(tiny_recipe, tmp_path):
    table = draw_squares(tmp_path / "few", 5, 0)
    with pytest.raises(InputError, match="5 subjects"):
        train(read_recipe(tiny_recipe), table, tmp_path / "m.safetensors", jobs=1)


def test_a_model_of_tissue_explains_a_head(tissue_recipe, volume_table, head, tmp_path):
    settings = tissue_recipe.input.model_copy(update={"intensity": "tissue"})
    recipe = tissue_recipe.model_copy(update={"input": settings})
    path = train(recipe, volume_table, tmp_path / "tissue.safetensors", jobs=2)
    model = load_model(path)
    result = explain(model, head, top=2)
    # The file has the tissues of the training heads by label, and the explanation says them.
    norms = TissueNorms.of_explanation(result)
    assert norms.mean.shape == (13, 1, 80, 3)
    assert np.nanmax(norms.mean) > 0.5
    assert result.confined
    assert Evidence.of(result).strongest(1)
    assert result.grid == (4, 5, 4)
    assert result.shares.sum() == pytest.approx(1)
    for match in result.prototypes:
        view = match.views[0]
        assert view.contributions.sum() == pytest.approx(view.distance, rel=1e-6)
        assert view.marginal_error <= 1e-4


def test_models_of_heads_by_reference_contain_averages(
    planes_recipe, planes_table, planes_cohort, tmp_path
):
    """Every head twice, as two people, so that they are enough; in files that differ."""
    rows = list(csv.DictReader(planes_table.read_text().splitlines()))
    for row in rows[:]:
        content = (planes_table.parent / row["file"]).read_bytes()
        again = gzip.compress(gzip.decompress(content), mtime=1)
        (planes_table.parent / f"other-{row['file']}").write_bytes(again)
        other = {"sha256": hashlib.sha256(again).hexdigest(), "file": f"other-{row['file']}"}
        rows.append({**row, "subject": f"other-{row['subject']}", **other})
    table = planes_table.with_name("twice.csv")
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    for images, stored in (("none", False), ("average", True), ("reference", True)):
        recipe = changed(planes_recipe, prototype_images=images)
        path = train(
            recipe, table, tmp_path / f"{images}.safetensors", prepared=planes_cohort.folder, jobs=1
        )
        model = load_model(path)
        assert (AVERAGES in model.tensors) == stored
        assert (model.info.prototypes[0].reference is not None) == (images == "reference")
        found = average_image(model, 0)
        assert (found is not None) == stored
    image, about = average_image(load_model(tmp_path / "reference.safetensors"), 0)
    assert about.people == 16
    planes = planes_cohort.explained_planes(planes_recipe.input)
    exact = planes_cohort.images[:, planes].mean(axis=0)
    assert np.abs(image - exact).max() <= STEP / 2 + 1e-3


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::expert.training.pipeline.CollapseWarning")
def test_a_model_of_fetal_heads_is_trained(tmp_path):
    from helpers.drawn_heads import PIXEL_MM, drawn_head
    from PIL import Image

    rows = ["file,label,pixel_size_mm"]
    for number, semi_major in enumerate(np.linspace(70, 125, 12)):
        head = drawn_head(15.0 * number, float(semi_major), seed=number)
        Image.fromarray(head.data).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,{semi_major:.1f},{PIXEL_MM}")
    (tmp_path / "table.csv").write_text("\n".join(rows))
    recipe = read_recipe(Path(__file__).parents[2] / "recipes" / "fetal-head.yaml")
    small = changed(
        recipe,
        label_column="label",
        architecture={"widths": (8, 16), "channels": 16, "guide": 8, "prototypes": 5},
        warmup={"epochs": 2},
        schedule={"epochs": 4, "batch": 6, "mixed_precision": False},
        guide={"epochs": 1, "batch": 4},
        projection={"every": 2, "window": None},
    )
    made = train(small, tmp_path / "table.csv", tmp_path / "model.safetensors", jobs=1)
    model = load_model(made)
    assert all(one.reference.pixels_sha256 for one in model.info.prototypes)
    one, other = (explain(model, drawn_head(angle), top=1) for angle in (10.0, 100.0))
    assert abs(one.prediction - other.prediction) < 0.1 * np.ptp(one.labels)
    assert one.guide
