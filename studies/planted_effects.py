"""Test whether planted effects are learned and highlighted, and nothing is without an effect.

Every cohort of `studies.planted_data` trains several models with different seeds (and different
random labels, for cohorts with random labels). Held-out heads are predicted and explained, also by
an untrained network for comparison. Means and intervals are over held-out heads and trainings.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from expert.errors import InputError
from expert.evaluation.bootstrap import Estimate, mean_over_models
from expert.training.recipe import Recipe
from studies.planted_data import (
    COHORTS,
    PLACES,
    Cohort,
    draw_subjects,
    prepare_subjects,
    with_labels,
)
from studies.planted_regions import planted_regions
from studies.planted_report import CohortOutcome, Pointing, markdown
from studies.pointing import measure_pointing

if TYPE_CHECKING:
    from expert.datasets.prepared_dataset import CohortArrays

TRAINING, HELD_OUT, REPEATS, SEED = 40, 15, 5, 77
"""Training heads, held-out heads, trainings of each cohort, and the seed of the subjects."""


def study_recipe() -> Recipe:
    """The small model of the study: grey-value histograms of patches of 40 mm, few prototypes."""
    return Recipe.model_validate(
        {
            "name": "tissue, 3D",
            "label_unit": "years",
            "dataset": "synthetic heads with planted effects (studies.planted_data)",
            "licence": "none needed",
            "start": "subjects",
            "calibrate_scale": True,
            "input": {
                "space": "mni",
                "shape": [32, 40, 32],
                "spacing_mm": 5.0,
                "center_mm": [6.0, -18.0, 0.0],
                "intensity": "white matter",
            },
            "architecture": {
                "dimensions": 3,
                "backbone": "histogram",
                "bins": 20,
                "widths": [32, 32],
                "pool": 8,
                "channels": 16,
                "prototypes": 10,
                "radius": 30.0,
                "marginals": "content",
                "prior": 0.15,
            },
            "augmentation": {
                "rotation_deg": 2.0,
                "scale": 0.02,
                "shift": 0.0,
                "bias": 0.02,
                "copies": 4,
            },
            "warmup": {"epochs": 40, "learning_rate": 0.01, "flip": 0.0},
            "schedule": {
                "epochs": 15,
                "batch": 16,
                "views": 8,
                "optimizer": "adamw",
                "decay": "cosine",
                "backbone_rate": 0.002,
                "head_rate": 0.005,
                "steps": [6, 4],
            },
            "losses": {"sigma": 10.0, "consistency": 0.0, "prediction": 1.0, "alignment": 1.0},
            "projection": {
                "epochs": [0],
                "every": 5,
                "window": 20.0,
                "distinct": True,
                "relabel": True,
            },
        }
    )


def run_study(
    out: str | Path,
    recipes: Sequence[Recipe] | None = None,
    *,
    cohorts: Sequence[Cohort] = COHORTS,
    training: int = TRAINING,
    held_out: int = HELD_OUT,
    repeats: int = REPEATS,
    seed: int = SEED,
    progress: Callable[[str, float], None] | None = None,
) -> list[CohortOutcome]:
    """Train on planted effects, measure, and write `planted.md` and `planted.json`.

    Parameters
    ----------
    out : path-like
        Folder. Heads and trainings are kept in it, and finished ones are not repeated.
    recipes : sequence of Recipe, optional
        For heads, with different names; `study_recipe` if None.
    cohorts : sequence of Cohort
        Of `studies.planted_data.COHORTS`.
    training, held_out : int
        Number of heads, at least 2 each; `training` at least the number of prototypes.
    repeats : int
        Trainings of each cohort, with different seeds.
    seed : int
        Of the subjects.
    progress : callable, optional
        Called with "heads" or "models" and a fraction.

    Returns
    -------
    list of CohortOutcome
        In the order of recipes and cohorts, the trained models before the untrained ones.

    Raises
    ------
    InputError
        A number is too small, two recipes have the same name, a recipe is not for heads, or the
        folder cannot be written.
    """
    settings = [study_recipe()] if recipes is None else list(recipes)
    _check(settings, cohorts, training, repeats)
    folder = Path(out)
    groups = (draw_subjects(training, seed), draw_subjects(held_out, seed, training))
    grids = [recipe.grid for recipe in settings]
    kinds = list(dict.fromkeys(cohort.heads for cohort in cohorts))
    inputs = [recipe.input for recipe in settings]
    total = training + held_out
    heads = [
        prepare_subjects(
            group,
            kinds,
            inputs,
            folder / "heads",
            progress=_part(progress, "heads", start / total, part / total),
        )
        for group, start, part in zip(groups, (0, training), (training, held_out), strict=True)
    ]
    regions = planted_regions(groups[1], inputs, grids, folder / "heads")
    trained, untrained = [], []
    for which, recipe in enumerate(settings):
        for number, cohort in enumerate(cohorts):
            runs: dict[bool, list[dict[str, np.ndarray]]] = {True: [], False: []}
            for repeat in range(repeats):
                train, test = (
                    with_labels(made[cohort.heads][which], group.labels(cohort.label, repeat))
                    for made, group in zip(heads, groups, strict=True)
                )
                name = f"{recipe.name}-{cohort.name}-{repeat}".replace(",", "").replace(" ", "-")
                found = _train_and_measure(
                    recipe, train, test, regions[which], folder / "models" / name, repeat
                )
                for is_trained, values in found.items():
                    runs[is_trained].append(values)
                if progress is not None:
                    done = which * len(cohorts) + number + (repeat + 1) / repeats
                    progress("models", done / (len(settings) * len(cohorts)))
            trained.append(_outcome(recipe, cohort, True, runs[True]))
            untrained.append(_outcome(recipe, cohort, False, runs[False]))
    outcomes = [*trained, *untrained]
    _write(
        folder,
        outcomes,
        {"training": training, "held_out": held_out, "repeats": repeats, "seed": seed},
    )
    return outcomes


def _check(
    recipes: Sequence[Recipe], cohorts: Sequence[Cohort], training: int, repeats: int
) -> None:
    if not cohorts or repeats < 1:
        raise InputError("A study needs at least one cohort and one training of it.")
    if len({recipe.name for recipe in recipes}) < len(recipes):
        raise InputError(
            "Two recipes have the same name: their results could not be distinguished. Rename one "
            "of them."
        )
    for recipe in recipes:
        if recipe.input.space != "mni":
            raise InputError(
                f"Planted effects are in heads: input.space of {recipe.name} must be mni."
            )
        if recipe.architecture.prototypes > training:
            raise InputError(
                f"{recipe.name} has {recipe.architecture.prototypes} prototypes, more than "
                f"the {training} training heads. Increase the number of heads or decrease "
                "architecture.prototypes."
            )


def _part(
    progress: Callable[[str, float], None] | None, stage: str, start: float, length: float
) -> Callable[[float], None] | None:
    return None if progress is None else lambda fraction: progress(stage, start + length * fraction)


def _train_and_measure(
    recipe: Recipe,
    training: CohortArrays,
    held_out: CohortArrays,
    regions: dict[str, np.ndarray],
    folder: Path,
    repeat: int,
) -> dict[bool, dict[str, np.ndarray]]:
    """Measures of the trained (True) and of an untrained network (False) on the held-out heads."""
    from expert.training.stages import fit
    from studies.untrained_baseline import untrained

    module = fit(
        recipe,
        training,
        _training_folder(folder, recipe, training),
        seed=recipe.schedule.seed + repeat,
    )
    network = module.network.eval()
    blank, _ = untrained(network, recipe.input, training, seed=repeat)
    mean = float(training.labels.mean())
    return {
        is_trained: measure_pointing(model, held_out, module.views, regions)
        | {"mean": np.abs(held_out.labels - mean)}
        for is_trained, model in ((True, network), (False, blank))
    }


def _training_folder(folder: Path, recipe: Recipe, cohort: CohortArrays) -> Path:
    """Subfolder of a training, different for every recipe and every set of images and labels."""
    import hashlib

    identity = [
        recipe.model_dump(mode="json"),
        cohort.labels.tolist(),
        [entry.sha256 for entry in cohort.entries],
    ]
    return folder / hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]


def _outcome(
    recipe: Recipe, cohort: Cohort, trained: bool, runs: list[dict[str, np.ndarray]]
) -> CohortOutcome:
    def every(name: str) -> np.ndarray:
        """(repeats, N)."""
        return np.stack([run.get(name, np.full(len(run["error"]), np.nan)) for run in runs])

    def estimate(name: str, chance: str | None = None) -> Estimate | None:
        return mean_over_models(every(name), None if chance is None else every(chance))

    def pointing(what: str) -> dict[str, Pointing]:
        out = {}
        for place in PLACES:
            strongest, share = (
                estimate(f"{what} {place} {n}", f"{what} {place} {n} chance")
                for n in ("strongest", "share")
            )
            each = [
                row[np.isfinite(row)].mean()
                for row in every(f"{what} {place} strongest")
                if np.isfinite(row).any()
            ]
            least, most = (float(min(each)), float(max(each))) if each else (0.0, 0.0)
            out[place] = Pointing(strongest, share, least, most)
        return out

    return CohortOutcome(
        recipe=recipe.name,
        cohort=cohort.name,
        planted=cohort.label if cohort.label in PLACES else None,
        trained=trained,
        repeats=len(runs),
        mae=estimate("error"),
        mean_mae=estimate("mean"),
        gain=mean_over_models(every("mean") - every("error")),
        answer=pointing("answer"),
        pair=pointing("pair"),
        own_place=estimate("own place", "own place chance"),
    )


def _write(folder: Path, outcomes: Sequence[CohortOutcome], settings: dict[str, int]) -> None:
    try:
        (folder / "planted.json").write_text(
            json.dumps(
                {"settings": settings, "outcomes": [asdict(outcome) for outcome in outcomes]},
                indent=1,
            )
            + "\n",
            encoding="utf-8",
        )
        (folder / "planted.md").write_text(
            "\n".join(markdown(outcomes, settings)) + "\n", encoding="utf-8"
        )
    except OSError as error:
        raise InputError(
            f"The results could not be written to {folder}: {error.strerror}."
        ) from error
