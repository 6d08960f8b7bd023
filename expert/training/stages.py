"""Stages of a training on Lightning: regression warm-up, matching network, prototypes."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file, save_file
from torch import nn

from expert.datasets.prepared_dataset import CohortArrays
from expert.files import replacing
from expert.training.batches import batches
from expert.training.callbacks import Ending, RandomState
from expert.training.ensemble import join_members, member_folders
from expert.training.framework import lightning
from expert.training.guide_module import MatchingModule
from expert.training.launch import trainer_settings
from expert.training.processes import agreed, is_first
from expert.training.prototype_module import PrototypeModule
from expert.training.recipe import Recipe
from expert.training.regression_module import RegressionModule
from expert.training.splits import split

PROTOTYPE_SEED = 1_000
"""Added to a training's seed for its prototype stage."""
MATCHING_SEED = 5_000
"""Added to a training's seed for its matching network."""


def fit(
    recipe: Recipe, cohort: CohortArrays, folder: Path, *, seed: int | None = None
) -> PrototypeModule:
    """Train on a prepared cohort, without folds, calibration or a model file.

    Parameters
    ----------
    recipe : Recipe
        How to train; `cohort` was prepared by its `input`.
    cohort : CohortArrays
        Training subjects.
    folder : pathlib.Path
        Folder of this training alone. An interrupted training is resumed from it, a finished one
        is read from it.
    seed : int, optional
        Instead of the recipe's seed.

    Returns
    -------
    PrototypeModule
        The trained module.
    """
    return fit_prototypes(recipe, cohort, folder, recipe.schedule.seed if seed is None else seed)


def fit_prototypes(
    recipe: Recipe, cohort: CohortArrays, folder: Path, seed: int
) -> PrototypeModule:
    """Train the networks that an architecture asks for; parameters as in `fit`."""
    if recipe.architecture.joined:
        return _fit_ensemble(recipe, cohort, folder, seed)
    return _fit_network(recipe, cohort, folder, seed)


def _fit_network(recipe: Recipe, cohort: CohortArrays, folder: Path, seed: int) -> PrototypeModule:
    """Train one network: regression warm-up, then prototypes."""
    validation = None
    if recipe.schedule.validation:
        held_out = split(cohort, max(2, round(1 / recipe.schedule.validation)), seed)[0]
        validation = cohort.select(held_out)
        cohort = cohort.select(np.setdiff1d(np.arange(len(cohort.labels)), held_out))
    warm = fit_regression(recipe, cohort, folder, "warmup", recipe.warmup.epochs, seed)
    _seed(seed + PROTOTYPE_SEED)
    module = PrototypeModule(recipe, cohort, recipe.grid, validation)
    if not _finished(module, folder, "prototypes"):
        if recipe.warmup.epochs:
            module.trained.features.load_state_dict(warm.backbone.features.state_dict())
        module.initialise()
        _run_stage(module, recipe.schedule.epochs, None, folder, "prototypes")
    return module


def _fit_ensemble(recipe: Recipe, cohort: CohortArrays, folder: Path, seed: int) -> PrototypeModule:
    """Train a matching network, where there is one, and each ensemble member; then join them."""
    folder.mkdir(parents=True, exist_ok=True)
    _seed(seed + PROTOTYPE_SEED)
    whole = PrototypeModule(recipe, cohort, recipe.grid)
    if not _finished(whole, folder, "prototypes"):
        matching = None
        if recipe.architecture.guide:
            matching = _fit_matching_network(recipe, cohort, folder, seed)
        members = [
            _fit_network(recipe.member, cohort, place, own)
            for place, own in member_folders(recipe, folder, seed)
        ]
        join_members(whole, members, matching)
        _save_state(whole, folder, "prototypes")
    return whole


def fit_regression(
    recipe: Recipe, cohort: CohortArrays, folder: Path, name: str, epochs: int, seed: int
) -> RegressionModule:
    """Train the backbone with a regression head: the warm-up, or the regression baseline.

    Parameters
    ----------
    recipe : Recipe
        How to train.
    cohort : CohortArrays
        Training subjects.
    folder : pathlib.Path
        Folder of the training.
    name : str
        Of this stage, and of its files in `folder`.
    epochs : int
        Number of epochs; 0 leaves the network untrained.
    seed : int
        Seed of this stage.

    Returns
    -------
    RegressionModule
        The trained module.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _seed(seed)
    module = RegressionModule(recipe, cohort, epochs)
    if not _finished(module, folder, name) and epochs:
        _run_stage(module, epochs, batches(cohort, recipe), folder, name)
    return module


def _fit_matching_network(
    recipe: Recipe, cohort: CohortArrays, folder: Path, seed: int
) -> nn.Module:
    _seed(seed + MATCHING_SEED)
    module = MatchingModule(recipe, cohort)
    if not _finished(module, folder, "guide"):
        _run_stage(module, recipe.guide.epochs, None, folder, "guide")
    return module.network


def _seed(seed: int) -> None:
    """Start all random generators anew.

    Lightning would start those of several processes again at the beginning of a stage, after the
    weights were drawn: then they would draw other numbers than a single process.
    """
    lightning.seed_everything(seed, verbose=False)
    os.environ.pop("PL_GLOBAL_SEED", None)


def _run_stage(module: Any, epochs: int, loader: Any, folder: Path, name: str) -> None:
    """Train one stage, from its last checkpoint where there is one, and write its weights.

    Checkpoints are read as weights and plain values only: nothing in them is executed.
    """
    bars = [lightning.pytorch.callbacks.RichProgressBar()] if sys.stderr.isatty() else []
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    # At most 100 checkpoints: writing one takes as long as a short epoch.
    keep = lightning.pytorch.callbacks.ModelCheckpoint(
        folder,
        filename=f"{name}-last",
        save_top_k=1,
        every_n_epochs=max(1, epochs // 100),
        enable_version_counter=False,
        save_on_train_epoch_end=True,
    )
    settings, ending = trainer_settings(), Ending()
    trainer = lightning.Trainer(
        max_epochs=epochs,
        callbacks=[keep, ending, RandomState(), *bars, *settings.pop("callbacks")],
        logger=lightning.pytorch.loggers.CSVLogger(folder, name=name, version=""),
        enable_progress_bar=bool(bars),
        enable_model_summary=False,
        log_every_n_steps=1_000_000,
        num_sanity_val_steps=0,
        **settings,
    )
    last = folder / f"{name}-last.ckpt"
    begun = agreed(last.exists())
    with warnings.catch_warnings():
        for message in (
            ".*does not have many workers.*",
            ".*smaller than the logging interval.*",
            ".*LeafSpec.*",
            ".*Checkpoint directory .* exists and is not empty.*",
        ):
            warnings.filterwarnings("ignore", message=message)
        try:
            trainer.fit(module, loader, ckpt_path=str(last) if begun else None, weights_only=True)
        except SystemExit as end:
            if isinstance(end.__context__, KeyboardInterrupt):  # Lightning's reaction to Ctrl-C
                raise KeyboardInterrupt from None
            raise
    ending.make_up(trainer, module)
    module.to("cpu")
    _save_state(module, folder, name)
    if is_first():
        last.unlink(missing_ok=True)


def _finished(module: nn.Module, folder: Path, name: str) -> bool:
    """Whether a stage was finished before; its weights are then loaded."""
    path = folder / f"{name}.safetensors"
    finished = agreed(path.exists())
    if finished:
        module.load_state_dict(load_file(path))
    return finished


def _save_state(module: nn.Module, folder: Path, name: str) -> None:
    if not is_first():
        return
    state = {key: value.detach().contiguous() for key, value in module.state_dict().items()}
    with replacing(folder / f"{name}.safetensors") as temporary:
        save_file(state, temporary)
