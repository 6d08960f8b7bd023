"""Measures of the explanations of a cross-validation's held-out subjects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from expert.evaluation.bootstrap import Estimate
from studies.outcome import pooled_measures

if TYPE_CHECKING:
    from expert.datasets.prepared_dataset import CohortArrays
    from expert.imaging.volume import Volume
    from expert.model import PrototypeRegressor
    from expert.schema import InputSettings

SHIFT_MM, TURN_DEG = 30.0, 10.0
"""How far a head is moved in its file before it is registered again."""

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
    "top five: head moved 30 mm and 10°, registered again": ("moved: prototypes", 2),
    "contributions: head moved, registered again": ("moved: contributions", 2),
    "change of the prediction: head moved, registered again": ("moved: prediction", 2),
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
        measured.append(
            asdict(found) | {"moved": moved_heads(module.network, recipe.input, held_out, subjects)}
        )
        if progress is not None:
            progress("explain", (fold + 1) / folds)
    out.write_text(page(pooled_measures(measured), recipe.label_unit), encoding="utf-8")
    return out


def moved_heads(
    network: PrototypeRegressor, settings: InputSettings, cohort: CohortArrays, subjects: int
) -> dict[str, Any]:
    """Agreement of the explanations of a head and of the same head elsewhere in its file.

    Parameters
    ----------
    network : PrototypeRegressor
    settings : InputSettings
        Of the training.
    cohort : CohortArrays
        Held-out heads, with their files.
    subjects : int
        The first so many are measured.

    Returns
    -------
    dict
        `Estimate` as a dict, by field of `expert.evaluation.fidelity.Stability`; empty for models
        of plain images.
    """
    from expert.comparison import compare_images
    from expert.evaluation.bootstrap import mean_over_subjects
    from expert.evaluation.fidelity import agreement
    from expert.imaging.preprocessing import prepare
    from expert.imaging.volume import read_volume
    from expert.patches import foreground_patches

    if settings.space != "mni":
        return {}
    rows = []
    for number, entry in enumerate(cohort.entries[:subjects]):
        volume = read_volume(entry.file)
        first, second = (prepare(one, settings) for one in (volume, moved(volume, number)))
        result, changed = (
            compare_images(network, one.images, one.content) for one in (first, second)
        )
        both = [foreground_patches(one.content, network.grid) for one in (first, second)]
        places = np.arange(both[0].shape[1])
        partners = [np.where(inside, places, -1) for inside in both[0] & both[1]]
        rows.append(asdict(agreement(network, result, changed, partners)))
    means = {name: mean_over_subjects([row[name] for row in rows]) for name in rows[0]}
    return {name: asdict(mean) for name, mean in means.items() if mean is not None}


def moved(volume: Volume, seed: int) -> Volume:
    """A head elsewhere in its file: the same voxels, shifted and turned in random directions."""
    from scipy.spatial.transform import Rotation

    generator = np.random.default_rng(seed)
    axis, shift = generator.standard_normal((2, 3))
    change = np.eye(4)
    turn = np.deg2rad(TURN_DEG) * axis / np.linalg.norm(axis)
    change[:3, :3] = Rotation.from_rotvec(turn).as_matrix()
    change[:3, 3] = SHIFT_MM * shift / np.linalg.norm(shift)
    return replace(volume, affine=change @ volume.affine)


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
