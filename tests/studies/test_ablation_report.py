"""Tests of `studies.ablation_report`."""

from __future__ import annotations

import shutil
import xml.etree.ElementTree as ElementTree

import pytest

from expert.errors import InputError
from expert.schema import RESEARCH_USE
from studies.cross_validation import cross_validate


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
        assert len(list(root.iter())) > 20
        assert f"tiny-{plot}.svg" in text


def test_a_finished_run_is_told_again_and_trains_nothing(
    benched, squares_recipe, squares, monkeypatch
):

    target, variants = benched
    before = target.read_text()
    monkeypatch.setattr(
        "expert.training.stages._run_stage", lambda *arguments: pytest.fail("trained again")
    )
    target.unlink()
    again = cross_validate(
        [squares_recipe], squares, target.parent, variants=variants, folds=2, budget=0.5, subjects=3
    )
    assert again.read_text() == before


def test_what_is_finished_is_told_before_the_rest_is(
    benched, squares_recipe, squares, tmp_path, monkeypatch
):
    path, variants = benched
    folder = tmp_path / "half"
    shutil.copytree(path.parent, folder)
    shutil.rmtree(folder / squares_recipe.name / "average" / "fold1")
    monkeypatch.setattr(
        "expert.training.pipeline.train", lambda *args, **kwargs: pytest.fail("nothing is trained")
    )
    told = cross_validate(
        [squares_recipe],
        squares,
        folder,
        variants=variants,
        folds=2,
        budget=0.5,
        subjects=3,
        run=False,
    ).read_text()
    assert "Not all folds are finished" in told
    assert "| average (1 of 2 folds) |" in told
    assert "| as given |" in told
    with pytest.raises(InputError, match="No fold of tiny is finished"):
        cross_validate([squares_recipe], squares, tmp_path / "none", folds=2, run=False)
