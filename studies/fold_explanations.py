"""Measures of the explanations of a cross-validation's held-out subjects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from expert.evaluation.bootstrap import Estimate
from studies.outcome import pooled_measures

ROWS = {
    "displacement to prototypes, mm": ("prototypes: displacement_mm", 1),
    "best match (fraction)": ("prototypes: best_share", 2),
    "mass on background (fraction)": ("prototypes: background_mass", 3),
    "left–right confusion (fraction)": ("prototypes: side_confusion", 3),
    "effective prototypes": ("effective_prototypes", 1),
    "top five (Jaccard): noise": ("stability: noise: prototypes", 2),
    "top five: shift of 1 pixel": ("stability: shift of 1: prototypes", 2),
    "top five: shift of 2 pixels": ("stability: shift of 2: prototypes", 2),
    "same best match: noise (fraction)": ("stability: noise: matches", 2),
    "same best match: shift of 1": ("stability: shift of 1: matches", 2),
    "contributions (rank correlation): noise": ("stability: noise: contributions", 2),
    "contributions: shift of 1": ("stability: shift of 1: contributions", 2),
    "contributions: shift of 2": ("stability: shift of 2: contributions", 2),
    "change of the prediction: noise": ("stability: noise: prediction", 2),
    "change of the prediction: shift of 1": ("stability: shift of 1: prediction", 2),
    "deletion: area, by contribution": ("deletion: ordered", 2),
    "deletion: area, random order": ("deletion: random", 2),
    "deletion: area between the two": ("deletion: gain", 2),
    "response from outside the patch (fraction)": ("outside_response", 2),
}
"""Line of the table → measure (`studies.outcome.pooled_measures`) and digits."""


def run_study(
    recipe_path: Path,
    table: Path,
    run: Path,
    out: Path,
    *,
    subjects: int = 6,
    folds: int = 5,
    progress: Callable[[str, float], None] | None = None,
) -> Path:
    """Measure held-out subjects of every fold by the model of that fold, and write a table.

    Parameters
    ----------
    recipe_path, table, run : pathlib.Path
        Of a training by `expert train`.
    out : pathlib.Path
        Markdown file to write.
    subjects : int
        Held-out subjects per fold.
    folds : int
        Of the training.
    progress : callable, optional
        Called with a stage and a fraction, 0 to 1.

    Returns
    -------
    pathlib.Path
        `out`.
    """
    from expert.evaluation.explanation_metrics import measure_explanations
    from expert.training.folds import trained_fold
    from expert.training.recipe import read_recipe

    recipe, measured = read_recipe(recipe_path), []
    for fold in range(folds):
        module, training, held_out = trained_fold(recipe, table, run, fold, folds)
        sources = module.sources[:, 0].numpy()
        found = measure_explanations(
            module.network,
            recipe.input,
            held_out,
            subjects=subjects,
            source_subjects=[training.entries[row].subject for row in sources],
            source_labels=training.labels[sources],
            unit=recipe.label_unit,
        )
        measured.append(asdict(found))
        if progress is not None:
            progress("explain", (fold + 1) / folds)
    out.write_text(page(pooled_measures(measured), recipe.label_unit), encoding="utf-8")
    return out


def page(measures: dict[str, Estimate], unit: str) -> str:
    """The table as Markdown.

    Parameters
    ----------
    measures : dict of str to Estimate
        From `studies.outcome.pooled_measures`.
    unit : str
        Of the label: of the changes of the prediction and the areas.

    Returns
    -------
    str
    """
    lines = [f"| measure ({unit} unless stated) | mean (95 %) | N |", "|---|---|---:|"]
    for title, (name, digits) in ROWS.items():
        if name in measures:
            e = measures[name]
            value, low, high = (f"{part:.{digits}f}" for part in (e.value, e.low, e.high))
            lines.append(f"| {title} | {value} ({low} – {high}) | {e.subjects} |")
    return "\n".join(lines) + "\n"
