"""Tests of `studies.cross_validation`."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from expert.errors import InputError, RecipeError
from expert.training.splits import fold_rows
from studies.ablation import BASE
from studies.cross_validation import cross_validate


def test_of_all_variants_those_are_left_out_that_a_recipe_cannot_have(
    squares_recipe, squares, tmp_path
):
    from studies.cross_validation import _jobs

    counted = squares_recipe.model_copy(
        update={
            "architecture": squares_recipe.architecture.model_copy(
                update={"backbone": "histogram", "pool": squares_recipe.architecture.stride}
            ),
            "losses": squares_recipe.losses.model_copy(update={"consistency": 0.0}),
        }
    )
    names = {job.variant for job in _jobs(counted, squares, tmp_path, None, 2, 1.0, 0, 1)}
    assert BASE in names
    assert not {"consistency", "equivariance"} & names
    with pytest.raises(RecipeError, match="'equivariance'"):
        _jobs(counted, squares, tmp_path, ["equivariance"], 2, 1.0, 0, 1)


def test_all_variants_answer_for_the_same_held_out_subjects(benched, squares_recipe, squares):
    target, variants = benched
    document = json.loads((target.parent / "results.json").read_text())["recipes"]["tiny"]
    assert [entry["variant"] for entry in document["variants"]] == [BASE, "plain", *variants]
    labels = np.array(document["labels"])
    _, _, parts = fold_rows(squares_recipe, squares, 2)
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


def test_variants_share_a_warm_up_where_it_is_the_same(benched):
    folder = benched[0].parent
    assert len(list((folder / "shared").glob("warmup-*.safetensors"))) == 2  # one for each fold
    assert len(list((folder / "shared" / "prepared").glob("*.npz"))) == 24


def test_what_cannot_be_run_is_one_sentence(squares_recipe, squares, tmp_path):
    with pytest.raises(InputError, match="same name"):
        cross_validate([squares_recipe, squares_recipe], squares, tmp_path)
    with pytest.raises(InputError, match="2 folds"):
        cross_validate([squares_recipe], squares, tmp_path, folds=1)
    from studies.__main__ import app

    (tmp_path / "r.yaml").write_text("name: [")
    said = CliRunner().invoke(
        app,
        ["ablation", str(tmp_path / "r.yaml"), "--data", str(squares), "-o", str(tmp_path / "b")],
    )
    assert said.exit_code == 1
    assert "not valid YAML" in said.output
