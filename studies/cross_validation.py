"""Cross-validation of recipes and their variants with the same folds, seeds and numbers of epochs.

Every fold of every variant is a job with a folder of its own for its result: an interrupted run is
resumed, and jobs can run in parallel on several cores or GPUs. `studies.ablation_report` reads
these folders alone.
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

from expert.backbone import matching_architecture
from expert.errors import InputError, RecipeError
from expert.training.recipe import Recipe
from studies.ablation import BASE, scale_epochs, select_variants
from studies.ablation_report import write_results

if TYPE_CHECKING:
    from expert.evaluation.explanation_metrics import ExplanationMeasures

DEFAULT_SUBJECTS = 8
"""Default number of held-out subjects per fold whose explanations are measured."""


@dataclass(frozen=True)
class Job:
    """One fold of one variant."""

    recipe: Recipe
    variant: str
    table: Path
    folder: Path
    """Folder of the variant, with the subfolders `fold0`, `fold1` …"""
    shared: Path
    """Folder of prepared images and warm-ups that variants share."""
    fold: int
    folds: int
    plain: bool
    subjects: int
    threads: int
    device: int | None
    """Index of the GPU; None for the CPU."""


def cross_validate(
    recipes: Sequence[Recipe],
    table: str | Path,
    out: str | Path,
    *,
    variants: list[str] | None = None,
    folds: int = 5,
    jobs: int = 1,
    budget: float = 1.0,
    subjects: int = DEFAULT_SUBJECTS,
    run: bool = True,
    progress: Callable[[str, float], None] | None = None,
) -> Path:
    """Cross-validate recipes and their variants, measure their explanations, and write the results.

    Parameters
    ----------
    recipes : sequence of Recipe
        From `expert.training.recipe.read_recipe`, with different names.
    table : path-like
        CSV with `file` and the label. It is split by subject, in the same way for all variants of a
        recipe.
    out : path-like
        Folder for everything, with `results.md`, `results.json` and the plots at its top.
    variants : list of str, optional
        Names from `studies.ablation.VARIANTS`; all that apply to the recipe if None. The recipe
        itself and the regression baseline always run.
    folds : int
        At least 2.
    jobs : int
        Folds that run in parallel, distributed over the GPUs if there are any.
    budget : float
        Factor for the recipes' numbers of epochs, such as 0.2 for a quick run.
    subjects : int
        Held-out subjects per fold whose explanations are measured; 0 for none.
    run : bool
        If False, nothing is trained: the results of the finished folds are written.
    progress : callable, optional
        Called with the stage and a fraction.

    Returns
    -------
    Path
        Of `results.md`.

    Raises
    ------
    RecipeError, InputError
        Recipes, variants or table cannot be used.
    """
    if len({recipe.name for recipe in recipes}) < len(recipes):
        raise InputError(
            "Two recipes have the same name: their results would be in the same folder. Rename one "
            "of them."
        )
    if folds < 2:
        raise InputError(f"At least 2 folds are needed, not {folds}.")
    folder, source = Path(out), Path(table)
    planned = [
        job
        for recipe in recipes
        for job in _jobs(recipe, source, folder, variants, folds, budget, subjects, jobs)
    ]
    _check_folders(planned)
    todo = [job for job in planned if run and not _finished(job)]
    if not run:
        for recipe in recipes:
            if not any(
                job.recipe.name == recipe.name and job.variant == BASE and _trained(job)
                for job in planned
            ):
                raise InputError(
                    f"No fold of {recipe.name} is finished in {folder}: there are no results yet."
                )
    # The first job runs alone: it prepares the images and the warm-up that the others use.
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
    """Jobs of all folds of all variants that change the recipe."""
    import torch

    cards = torch.cuda.device_count()
    threads = max(1, torch.get_num_threads() // jobs)
    base = scale_epochs(recipe, budget)
    out, seen = [], []
    for variant in select_variants(variants):
        try:
            changed = variant.of(base)
        except RecipeError:
            if variants is not None:  # the variant was requested
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
    # Fold by fold: a run that is stopped early compares all variants, on fewer subjects.
    return sorted(out, key=lambda job: job.fold)


def _check_folders(jobs: Sequence[Job]) -> None:
    """Raise an error if a folder holds folds of another recipe, budget or table."""
    from expert.datasets.table import read_table
    from expert.training.run_folder import matches_run, run_fingerprint

    tables: dict[str | None, Any] = {}
    for job in jobs:
        column = job.recipe.label_column
        if column not in tables:
            tables[column] = read_table(job.table, label_column=column)
        if not matches_run(job.folder, run_fingerprint(job.recipe, tables[column], job.folds)):
            raise InputError(
                f"The folder {job.folder} holds folds of another recipe, budget, table or "
                "number of folds. Choose another folder with --out."
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
    """Train and measure one fold; in a separate process if several run in parallel."""
    import torch

    from expert.training.ensemble import member_folders
    from expert.training.pipeline import train

    torch.set_num_threads(job.threads)
    if job.device is not None:
        torch.cuda.set_device(job.device)
    place = job.folder / f"fold{job.fold}"
    shared = {
        folder / "warmup.safetensors": job.shared / f"warmup-{_warmup_key(job, seed)}.safetensors"
        for folder, seed in member_folders(job.recipe, place, job.recipe.schedule.seed + job.fold)
    }
    if job.recipe.architecture.guide:
        common = job.shared / f"guide-{_guide_key(job)}.safetensors"
        shared[place / "guide.safetensors"] = common
    for own, common in shared.items():
        own.parent.mkdir(parents=True, exist_ok=True)
        if common.exists() and not own.exists():
            shutil.copy(common, own)
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
    for own, common in shared.items():
        if own.exists() and not common.exists():
            shutil.copy(own, common)
    if job.subjects and not (place / "measures.json").exists():
        (place / "measures.json").write_text(json.dumps(asdict(_measured(job))))


def _guide_key(job: Job) -> str:
    """Key of the matching network, shared by variants with the same relevant settings."""
    r = job.recipe
    parts = [
        r.input.model_dump(mode="json"),
        matching_architecture(r.architecture).model_dump(),
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
    """Key of the warm-up, shared by variants with the same relevant settings."""
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
    """Measures of the fold's explanations of held-out subjects."""
    from expert.evaluation.explanation_metrics import measure_explanations
    from expert.training.folds import trained_fold

    module, training, held_out = trained_fold(
        job.recipe, job.table, job.folder, job.fold, job.folds, prepared=job.shared / "prepared"
    )
    sources = module.sources[:, 0].numpy()
    return measure_explanations(
        module.network,
        job.recipe.input,
        held_out,
        subjects=job.subjects,
        source_subjects=[training.entries[row].subject for row in sources],
        source_labels=training.labels[sources],
        unit=job.recipe.label_unit,
    )
