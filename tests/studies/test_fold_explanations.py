"""Measures of explanations over the folds of a training."""

from __future__ import annotations

from studies.fold_explanations import ROWS, run_study


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
