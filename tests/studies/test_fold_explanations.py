"""Measures of explanations over the folds of a training."""

from __future__ import annotations

import numpy as np

from studies.fold_explanations import ROWS, SHIFT_MM, TURN_DEG, moved, run_study


def test_held_out_subjects_of_every_fold_are_measured(
    tiny_recipe, tiny_model_file, squares, tmp_path
):
    run = tiny_model_file.with_suffix(".run")
    out = run_study(tiny_recipe, squares, run, tmp_path / "out.md", subjects=2, folds=3)
    rows = [line.strip("| ").split(" | ") for line in out.read_text().splitlines()[2:]]
    titles = [title for title, _, _ in rows]
    assert titles == [title for title in ROWS if title in titles]
    assert {"top five (Jaccard): noise", "deletion: area between the two"} <= {*titles}
    for title, figures, count in rows:
        if title.startswith("top five"):
            assert 0 <= float(figures.split(" (")[0]) <= 1
            assert count == "6"


def test_a_moved_head_has_the_same_voxels_elsewhere(head):
    other = moved(head, 1)
    assert other.data is head.data
    change = other.affine @ np.linalg.inv(head.affine)
    np.testing.assert_allclose(np.linalg.norm(change[:3, 3]), SHIFT_MM)
    turned = np.rad2deg(np.arccos((np.trace(change[:3, :3]) - 1) / 2))
    np.testing.assert_allclose(turned, TURN_DEG)
    assert not np.allclose(moved(head, 2).affine, other.affine)


def test_moved_heads_are_registered_again(head_file, model):
    from types import SimpleNamespace

    from studies.fold_explanations import moved_heads

    cohort = SimpleNamespace(entries=(SimpleNamespace(file=head_file),))
    measured = moved_heads(model.network, model.info.input, cohort, 2)
    assert measured["prototypes"]["subjects"] == 1
    assert 0 <= measured["prediction"]["value"] < 5
