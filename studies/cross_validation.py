"""The experiment runner: the same folds, seeds and budget for a recipe, its variants, and a plain
regression head.

Every fold of every variant is a job that leaves its result in a folder of its own: a run that was
killed goes on where it stopped, and jobs run side by side where there are cores or graphics cards
for them. What `studies.results` writes is made of those folders alone.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expert.errors import InputError, RecipeError
from expert.training.recipe import Recipe
from studies.ablation import BASE, chosen, shortened

if TYPE_CHECKING:
    from expert.evaluation.explanation_metrics import ExplanationMeasures

SUBJECTS = 8
"""Held-out subjects of each fold whose explanations are measured."""


@dataclass(frozen=True)
class Job:
    """One fold of one variant."""

    recipe: Recipe
    variant: str
    table: Path
    folder: Path
    """Of the variant: `fold0`, `fold1` … lie in it."""
    shared: Path
    """Prepared images and warm-ups that variants have in common."""
    fold: int
    folds: int
    plain: bool
    subjects: int
    threads: int
    device: int | None
    """Index of the graphics card; None for the processor."""


def run_benchmark(
    recipes: Sequence[Recipe],
    table: str | Path,
    out: str | Path,
    *,
    variants: list[str] | None = None,
    folds: int = 5,
    jobs: int = 1,
    budget: float = 1.0,
    subjects: int = SUBJECTS,
    run: bool = True,
    progress: Callable[[str, float], None] | None = None,
) -> Path:
    """Cross-validate recipes and their variants, measure their explanations, and write the results.

    Parameters
    ----------
    recipes : from `expert.training.recipe.read_recipe`, with different names
    table : CSV with `file` and the label; split by subject, the same way for all variants of a
        recipe
    out : folder for everything; `results.md`, `results.json` and the plots lie at its top
    variants : names from `studies.ablation.VARIANTS`; all that the recipe can be changed to if
        None. The recipe itself and the plain head always run
    folds : at least 2
    jobs : folds that run side by side; with graphics cards, they are dealt out to them
    budget : times the recipes' epochs: 0.2 is a quick look, and is told in the results
    subjects : held-out subjects of each fold whose explanations are measured; 0 for none
    run : False writes the results of the folds that are finished, and trains nothing
    progress : called with the stage and a fraction

    Returns
    -------
    Path of `results.md`

    Raises
    ------
    RecipeError, InputError
        Recipes, variants or table cannot be used.
    """
    from studies.results import write_results

    if len({recipe.name for recipe in recipes}) < len(recipes):
        raise InputError(
            "Two recipes have the same name: their results would lie in one folder. Rename "
            "one of them."
        )
    if folds < 2:
        raise InputError(f"At least 2 folds are needed, not {folds}.")
    folder, source = Path(out), Path(table)
    planned = [
        job
        for recipe in recipes
        for job in _jobs(recipe, source, folder, variants, folds, budget, subjects, jobs)
    ]
    _refuse_others(planned)
    todo = [job for job in planned if run and not _finished(job)]
    if not run:
        for recipe in recipes:
            if not any(
                job.recipe.name == recipe.name and job.variant == BASE and _trained(job)
                for job in planned
            ):
                raise InputError(
                    f"No fold of {recipe.name} is finished in {folder}: there is nothing to tell."
                )
    # The first job alone: it prepares the images and the warm-up that the others take.
    for number, job in enumerate(todo[:1]):
        _run(job)
        if progress is not None:
            progress("folds", (number + 1) / len(todo))
    rest = todo[1:]
    if jobs == 1:
        for number, job in enumerate(rest, 2):
            _run(job)
            if progress is not None:
                progress("folds", number / len(todo))
    elif rest:
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            running = [pool.submit(_run, job) for job in rest]
            for number, future in enumerate(as_completed(running), 2):
                future.result()
                if progress is not None:
                    progress("folds", number / len(todo))
    return write_results(
        folder, [[job for job in planned if job.recipe.name == recipe.name] for recipe in recipes]
    )


def _jobs(
    recipe: Recipe,
    table: Path,
    folder: Path,
    variants: list[str] | None,
    folds: int,
    budget: float,
    subjects: int,
    jobs: int,
) -> list[Job]:
    """All folds of all variants that change the recipe."""
    import torch

    cards = torch.cuda.device_count()
    threads = max(1, torch.get_num_threads() // jobs)
    base = shortened(recipe, budget)
    out, seen = [], []
    for variant in chosen(variants):
        try:
            changed = variant.of(base)
        except RecipeError:
            if variants is not None:  # it was asked for
                raise
            continue
        if changed in seen:
            continue
        seen.append(changed)
        place = folder / recipe.name / variant.name.replace(", ", "-").replace(" ", "-")
        for fold in range(folds):
            out.append(
                Job(
                    recipe=changed,
                    variant=variant.name,
                    table=table,
                    folder=place,
                    shared=folder / "shared",
                    fold=fold,
                    folds=folds,
                    plain=variant.name == BASE,
                    subjects=subjects,
                    threads=threads,
                    device=fold % cards if cards else None,
                )
            )
    # Fold by fold: what is stopped early compares all variants, on fewer subjects.
    return sorted(out, key=lambda job: job.fold)


def _refuse_others(jobs: Sequence[Job]) -> None:
    """Folds of another recipe, budget or table are never told as those of this one."""
    from expert.datasets.table import read_table
    from expert.training.run_folder import belongs, identity

    tables: dict[str | None, Any] = {}
    for job in jobs:
        column = job.recipe.label_column
        if column not in tables:
            tables[column] = read_table(job.table, label_column=column)
        if not belongs(job.folder, identity(job.recipe, tables[column], job.folds)):
            raise InputError(
                f"The folder {job.folder} holds folds of another recipe, budget, table or "
                "number of folds: choose another "
                "folder with --out."
            )


def _trained(job: Job) -> bool:
    return (job.folder / f"fold{job.fold}" / "result.json").exists()


def _finished(job: Job) -> bool:
    done = job.folder / f"fold{job.fold}"
    wanted = [
        "result.json",
        *(["plain.json"] if job.plain else []),
        *(["measures.json"] if job.subjects else []),
    ]
    return all((done / name).exists() for name in wanted)


def _run(job: Job) -> None:
    """Train and measure; in a process of its own where several run."""
    import torch

    from expert.training.pipeline import train
    from expert.training.stages import members

    torch.set_num_threads(job.threads)
    if job.device is not None:
        torch.cuda.set_device(job.device)
    place = job.folder / f"fold{job.fold}"
    warm = {}
    for folder, seed in members(job.recipe, place, job.recipe.schedule.seed + job.fold):
        folder.mkdir(parents=True, exist_ok=True)
        own, common = (
            folder / "warmup.safetensors",
            job.shared / f"warmup-{_warmup_key(job, seed)}.safetensors",
        )
        if common.exists() and not own.exists():
            shutil.copy(common, own)
        warm[own] = common
    if job.recipe.architecture.guide:
        own, common = (
            place / "guide.safetensors",
            job.shared / f"guide-{_guide_key(job)}.safetensors",
        )
        if common.exists() and not own.exists():
            shutil.copy(common, own)
        warm[own] = common
    train(
        job.recipe,
        job.table,
        job.folder / "none.safetensors",
        folds=job.folds,
        only_fold=job.fold,
        plain=job.plain,
        run=job.folder,
        prepared=job.shared / "prepared",
    )
    for own, common in warm.items():
        if own.exists() and not common.exists():
            shutil.copy(own, common)
    if job.subjects and not (place / "measures.json").exists():
        (place / "measures.json").write_text(json.dumps(asdict(_measured(job))))


def _guide_key(job: Job) -> str:
    """Variants that do not differ in what the guide depends on share it."""
    r = job.recipe
    parts = [
        r.input.model_dump(mode="json"),
        r.architecture.guiding.model_dump(),
        r.architecture.stride,
        r.guide.model_dump(),
        r.schedule.seed,
        r.schedule.mixed_precision,
        r.schedule.validation,
        job.folds,
        job.fold,
        hashlib.sha256(job.table.read_bytes()).hexdigest(),
        r.label_column,
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _warmup_key(job: Job, seed: int) -> str:
    """Variants that do not differ in what the warm-up depends on share it."""
    r = job.recipe
    parts: dict[str, Any] = {
        "input": r.input.model_dump(mode="json"),
        "backbone": r.architecture.backbone,
        "bins": r.architecture.bins,
        "widths": r.architecture.widths,
        "pool": r.architecture.pool,
        "dimensions": r.architecture.dimensions,
        "channels": r.architecture.channels,
        "augmentation": r.augmentation.model_dump(),
        "warmup": r.warmup.model_dump(),
        "seed": seed,
        "split": r.schedule.seed,
        "batch": r.schedule.batch,
        "views": r.schedule.views,
        "mixed": r.schedule.mixed_precision,
        "validation": r.schedule.validation,
        "folds": job.folds,
        "fold": job.fold,
        "table": hashlib.sha256(job.table.read_bytes()).hexdigest(),
        "column": r.label_column,
    }
    if r.architecture.planes_combined:
        parts["planes"] = r.architecture.planes
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _measured(job: Job) -> ExplanationMeasures:
    """The fold's explanations of subjects it was not trained on."""
    from expert.evaluation.explanation_metrics import measure_explanations
    from expert.training.folds import trained_fold

    task, training, held_out = trained_fold(
        job.recipe, job.table, job.folder, job.fold, job.folds, prepared=job.shared / "prepared"
    )
    shown = task.sources[:, 0].numpy()
    return measure_explanations(
        task.network,
        job.recipe.input,
        held_out,
        subjects=job.subjects,
        source_subjects=[training.entries[row].subject for row in shown],
        source_labels=training.labels[shown],
        unit=job.recipe.label_unit,
    )
