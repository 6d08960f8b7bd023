"""The stages of a training on Lightning: regression warm-up, matching network, prototypes."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from expert.datasets.prepared_dataset import CohortArrays
from expert.training.recipe import Recipe
from expert.training.splits import split

if TYPE_CHECKING:
    from torch import nn

    from expert.training.prototype_module import PrototypeTask


GUIDE_SEED = 5_000
"""Between the seeds of a training and of its guide."""


MEMBER_SEED = 10_000
"""Between the seeds of a training's members."""


def _fit(module: Any, epochs: int, loader: Any, folder: Path, name: str) -> None:
    """One stage on Lightning, going on from its last checkpoint; nothing is unpickled (weights-only
    checkpoints)."""
    import logging
    import sys

    import lightning
    import torch
    from lightning.pytorch.callbacks import ModelCheckpoint, RichProgressBar
    from lightning.pytorch.loggers import CSVLogger

    bars = [RichProgressBar()] if sys.stderr.isatty() else []
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    # A hundred times at most: writing takes as long as an epoch where those are short.
    keep = ModelCheckpoint(
        folder,
        filename=f"{name}-last",
        save_top_k=1,
        every_n_epochs=max(1, epochs // 100),
        enable_version_counter=False,
        save_on_train_epoch_end=True,
    )
    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator="auto",
        devices=[torch.cuda.current_device()] if torch.cuda.is_available() else 1,
        callbacks=[keep, *bars],
        logger=CSVLogger(folder, name=name, version=""),
        enable_progress_bar=bool(bars),
        enable_model_summary=False,
        log_every_n_steps=1_000_000,
        num_sanity_val_steps=0,
    )
    last = folder / f"{name}-last.ckpt"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")
        warnings.filterwarnings("ignore", message=".*LeafSpec.*")
        warnings.filterwarnings(
            "ignore", message=".*Checkpoint directory .* exists and is not empty.*"
        )
        trainer.fit(
            module, loader, ckpt_path=str(last) if last.exists() else None, weights_only=True
        )
    module.to("cpu")
    last.unlink(missing_ok=True)


def _save_state(module: nn.Module, path: Path) -> None:
    from safetensors.torch import save_file

    save_file({k: v.detach().contiguous() for k, v in module.state_dict().items()}, path)


def _load_state(module: nn.Module, path: Path) -> None:
    from safetensors.torch import load_file

    module.load_state_dict(load_file(path))


def fit_regression(
    recipe: Recipe, cohort: CohortArrays, folder: Path, name: str, epochs: int, seed: int
) -> Any:
    import lightning

    from expert.training.batches import batches
    from expert.training.regression_module import RegressionTask

    folder.mkdir(parents=True, exist_ok=True)
    lightning.seed_everything(seed, verbose=False)
    task = RegressionTask(recipe, cohort, epochs)
    done = folder / f"{name}.safetensors"
    if done.exists():
        _load_state(task, done)
    elif epochs:
        _fit(task, epochs, batches(cohort, recipe), folder, name)
        _save_state(task, done)
    return task


def _fit_guide(recipe: Recipe, cohort: CohortArrays, folder: Path, seed: int) -> nn.Module:
    import lightning

    from expert.training.guide_module import GuideTask

    lightning.seed_everything(seed + GUIDE_SEED, verbose=False)
    task = GuideTask(recipe, cohort)
    done = folder / "guide.safetensors"
    if done.exists():
        _load_state(task, done)
    else:
        _fit(task, recipe.guide.epochs, None, folder, "guide")
        _save_state(task, done)
    return task.network


def members(recipe: Recipe, folder: Path, seed: int) -> list[tuple[Path, int]]:
    """Folder and seed of each member of a training; of a single one, those of the training
    itself."""
    count = recipe.architecture.members
    return (
        [(folder, seed)]
        if not recipe.architecture.joined
        else [(folder / f"member{n}", seed + MEMBER_SEED * n) for n in range(count)]
    )


def fit_prototypes(recipe: Recipe, cohort: CohortArrays, folder: Path, seed: int) -> PrototypeTask:
    import lightning

    from expert.training.prototype_module import PrototypeTask

    validation, grid = None, recipe.grid
    if recipe.schedule.validation:
        parts = split(cohort, max(2, round(1 / recipe.schedule.validation)), seed)
        validation = cohort.select(parts[0])
        cohort = cohort.select(np.setdiff1d(np.arange(len(cohort.labels)), parts[0]))
    folder.mkdir(parents=True, exist_ok=True)
    warm = None
    if not recipe.architecture.joined:
        warm = fit_regression(recipe, cohort, folder, "warmup", recipe.warmup.epochs, seed)
    lightning.seed_everything(seed + 1000, verbose=False)
    task = PrototypeTask(recipe, cohort, grid, validation)
    done = folder / "prototypes.safetensors"
    if done.exists():
        _load_state(task, done)
        return task
    if warm is None:
        guide = _fit_guide(recipe, cohort, folder, seed) if recipe.architecture.guide else None
        trained = [
            fit_prototypes(recipe.member, cohort, place, own)
            for place, own in members(recipe, folder, seed)
        ]
        task.join(trained, guide)
        _save_state(task, done)
        return task
    if recipe.warmup.epochs:
        task.trained.features.load_state_dict(warm.backbone.features.state_dict())
    task.initialise()
    _fit(task, recipe.schedule.epochs, None, folder, "prototypes")
    _save_state(task, done)
    return task


def fit(
    recipe: Recipe, cohort: CohortArrays, folder: Path, *, seed: int | None = None
) -> PrototypeTask:
    """Both stages on a prepared cohort, without folds, calibration or a model file.

    Parameters
    ----------
    recipe : how to train; `cohort` was prepared by its `input`
    cohort : training subjects
    folder : of this training alone; one that was killed goes on from there, one that was finished
        is read from there
    seed : instead of the recipe's

    Returns
    -------
    PrototypeTask
    """
    return fit_prototypes(recipe, cohort, folder, recipe.schedule.seed if seed is None else seed)
