"""From a recipe and a table to a model file: folds, two stages, calibration, the final model.

Everything a training leaves behind while it runs lies in one folder, and a run that was killed goes
on from there: prepared images, Lightning's last checkpoint of each stage, and the finished parts as
safetensors and JSON.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from expert.bundle import save_model
from expert.cohort_arrays import CohortArrays, load_cohort
from expert.datasets import Entry, read_table
from expert.errors import InputError
from expert.evaluation import collapse
from expert.familiarity import Reference
from expert.inference import versions
from expert.recipe import Recipe
from expert.runs import claim, identity
from expert.schema import Calibration, ImageReference, Label, ModelInfo, PrototypeInfo, TrainingInfo
from expert.validation import examine, gather, kept_out

if TYPE_CHECKING:
    from torch import nn

    from expert.tasks import PrototypeTask

Progress = Callable[[str, float], None]
GUIDE_SEED = 5_000
"""Between the seeds of a training and of its guide."""
MEMBER_SEED = 10_000
"""Between the seeds of a training's members."""


class CollapseWarning(UserWarning):
    """The trained model answers (nearly) the same for everybody, or shows too few different
    people."""


def train(
    recipe: Recipe,
    table: str | Path,
    out: str | Path,
    *,
    folds: int = 0,
    only_fold: int | None = None,
    plain: bool = False,
    calibration: str | Path | None = None,
    run: str | Path | None = None,
    prepared: str | Path | None = None,
    resume: bool = True,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Train a model and write it as one file.

    Parameters
    ----------
    recipe : from `expert.recipe.read_recipe`
    table : CSV with `file` and the label; split by its `subject` (or `exam`) column
    out : model file to write
    folds : cross-validate in so many folds first; their held-out errors calibrate the model's
        interval and limits
    only_fold : train this fold (0-based) and nothing else: folds can run side by side, a later call
        gathers them
    plain : beside each fold, train a plain regression head on the same backbone, folds and number
        of epochs
    calibration : table of images kept out of the training, from which the interval and limits are
        taken instead of from folds
    run : folder for everything in between; `out` with the suffix .run if None
    prepared : folder for the prepared images, which several trainings may share; in `run` if None
    resume : go on where an earlier run in that folder stopped; False starts anew
    jobs : processes for the preparation of images
    progress : called with a stage and a fraction

    Returns
    -------
    Path of the model file (of the run's folder with `only_fold`)

    Raises
    ------
    RecipeError, InputError
        Recipe or table cannot be used, or do not fit each other.
    """
    target = Path(out)
    folder = Path(run) if run is not None else target.with_suffix(".run")
    folder.mkdir(parents=True, exist_ok=True)
    entries = read_table(table, label_column=recipe.label_column)
    cohort = load_cohort(
        entries, recipe.input, Path(prepared or folder / "prepared"), jobs=jobs, progress=progress
    )
    kept = (
        _kept(recipe, entries, calibration, folds, folder, jobs, progress)
        if calibration is not None
        else None
    )
    people = len(np.unique(cohort.subjects))
    needed = (
        recipe.architecture.prototypes
        if recipe.projection.distinct or recipe.start == "subjects"
        else 2
    )
    held_out = -(-people // folds) if folds else 0
    if people - held_out < needed:
        raise InputError(
            f"The table has {people} subjects, of which {people - held_out} train; the "
            f"recipe needs at least {needed}: "
            "add images or lower architecture.prototypes."
        )
    if folds == 1 or folds > people:
        raise InputError(f"{people} subjects cannot be split into {folds} folds.")
    claim(folder, identity(recipe, entries, folds), resume)
    parts = split(cohort, folds, recipe.schedule.seed) if folds else []
    for number, test in enumerate(parts):
        if only_fold is None or number == only_fold:
            _run_fold(
                recipe, cohort, test, folder / f"fold{number}", plain, recipe.schedule.seed + number
            )
    if only_fold is not None:
        return folder
    if kept is None:
        validation, limits = gather(recipe, cohort, parts, folder, plain)
    task = _fit_prototypes(recipe, cohort, folder / "final", recipe.schedule.seed)
    if kept is not None:
        validation, limits = kept_out(task, kept)
    return _write(recipe, cohort, task, target, validation, limits)


def _kept(
    recipe: Recipe,
    training: Sequence[Entry],
    table: str | Path,
    folds: int,
    folder: Path,
    jobs: int | None,
    progress: Progress | None,
) -> CohortArrays:
    if folds:
        raise InputError(
            "Give either folds or a calibration table: both would calibrate the model."
        )
    entries = read_table(table, label_column=recipe.label_column)
    shared = {entry.sha256 for entry in entries} & {entry.sha256 for entry in training}
    if shared:
        raise InputError(
            f"{len(shared)} images of the calibration table are training images too: "
            "remove them from one of them."
        )
    # By the names that the tables give: files of one name may well show different people.
    people, others = (
        {e.subject for e in table if e.subject != e.public_name} for table in (entries, training)
    )
    people &= others
    if people:
        raise InputError(
            f"{len(people)} subjects of the calibration table are training subjects too: "
            "remove them from one of them, or name "
            "them differently where the tables mean different people."
        )
    return load_cohort(entries, recipe.input, folder / "prepared", jobs=jobs, progress=progress)


def split(cohort: CohortArrays, folds: int, seed: int) -> list[np.ndarray]:
    """Rows held out in each fold: whole subjects, every fold with about the same spread of labels.

    Parameters
    ----------
    cohort : subjects and labels
    folds : at least 2
    seed : which of the neighbours in label goes where
    """
    return split_subjects(cohort.subjects, cohort.labels, folds, seed)


def split_subjects(
    subjects: np.ndarray, labels: np.ndarray, folds: int, seed: int
) -> list[np.ndarray]:
    """`split` by subjects (N,) and labels (N,) alone."""
    people = np.unique(subjects)
    label = np.array([labels[subjects == person].mean() for person in people])
    ordered = people[np.argsort(label, kind="stable")]
    generator = np.random.default_rng(seed)
    fold = np.concatenate([generator.permutation(folds) for _ in range(-(-len(ordered) // folds))])[
        : len(ordered)
    ]
    return [np.flatnonzero(np.isin(subjects, ordered[fold == number])) for number in range(folds)]


def fold_rows(
    recipe: Recipe, table: str | Path, folds: int
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Labels (N,) and subjects (N,) of a table, and the rows that each fold holds out; no image is
    looked at."""
    entries = read_table(table, label_column=recipe.label_column)
    labels = np.array([entry.label for entry in entries], dtype=float)
    subjects = np.unique([entry.subject for entry in entries], return_inverse=True)[1]
    return labels, subjects, split_subjects(subjects, labels, folds, recipe.schedule.seed)


def trained_fold(
    recipe: Recipe,
    table: str | Path,
    run: Path,
    fold: int,
    folds: int,
    *,
    prepared: str | Path | None = None,
) -> tuple[PrototypeTask, CohortArrays, CohortArrays]:
    """A fold that `train` has finished, with the subjects it was trained on and those it held
    out."""
    entries = read_table(table, label_column=recipe.label_column)
    cohort = load_cohort(entries, recipe.input, Path(prepared or run / "prepared"))
    test = split(cohort, folds, recipe.schedule.seed)[fold]
    training = cohort.select(np.setdiff1d(np.arange(len(cohort.labels)), test))
    task = _fit_prototypes(recipe, training, run / f"fold{fold}", recipe.schedule.seed + fold)
    return task, task.cohort, cohort.select(test)


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
    return _fit_prototypes(recipe, cohort, folder, recipe.schedule.seed if seed is None else seed)


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


def _fit_regression(
    recipe: Recipe, cohort: CohortArrays, folder: Path, name: str, epochs: int, seed: int
) -> Any:
    import lightning

    from expert.tasks import RegressionTask, batches

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

    from expert.guide import GuideTask

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


def _fit_prototypes(recipe: Recipe, cohort: CohortArrays, folder: Path, seed: int) -> PrototypeTask:
    import lightning

    from expert.tasks import PrototypeTask

    validation, grid = None, recipe.grid
    if recipe.schedule.validation:
        parts = split(cohort, max(2, round(1 / recipe.schedule.validation)), seed)
        validation = cohort.select(parts[0])
        cohort = cohort.select(np.setdiff1d(np.arange(len(cohort.labels)), parts[0]))
    folder.mkdir(parents=True, exist_ok=True)
    warm = None
    if not recipe.architecture.joined:
        warm = _fit_regression(recipe, cohort, folder, "warmup", recipe.warmup.epochs, seed)
    lightning.seed_everything(seed + 1000, verbose=False)
    task = PrototypeTask(recipe, cohort, grid, validation)
    done = folder / "prototypes.safetensors"
    if done.exists():
        _load_state(task, done)
        return task
    if warm is None:
        guide = _fit_guide(recipe, cohort, folder, seed) if recipe.architecture.guide else None
        trained = [
            _fit_prototypes(recipe.member, cohort, place, own)
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


def _run_fold(
    recipe: Recipe, cohort: CohortArrays, test: np.ndarray, folder: Path, plain: bool, seed: int
) -> None:
    result, rows = folder / "result.json", np.arange(len(cohort.labels))
    if not result.exists():
        training, held_out = cohort.select(np.setdiff1d(rows, test)), cohort.select(test)
        task = _fit_prototypes(recipe, training, folder, seed)
        found, signs = examine(
            task, held_out, Reference.of(task.cohort, task.views, task.network.grid)
        )
        out: dict[str, Any] = {name: value.tolist() for name, value in found.items()} | {
            "signs": signs
        }
        out["training_mean"] = float(training.labels.mean())
        out["distinct"] = len(np.unique(task.cohort.subjects[task.sources[:, 0].numpy()]))
        result.write_text(json.dumps(out))
    beside = folder / "plain.json"
    if plain and not beside.exists():
        training, held_out = cohort.select(np.setdiff1d(rows, test)), cohort.select(test)
        epochs = recipe.warmup.epochs + recipe.schedule.epochs
        planes = (
            held_out.planes(recipe.input.positions_mm) if len(held_out.positions_mm) > 1 else [0]
        )
        heads = [
            _fit_regression(recipe.member, training, place, "plain", epochs, own).predict_cohort(
                held_out, planes
            )
            for place, own in members(recipe, folder, seed)
        ]
        beside.write_text(json.dumps({"prediction": np.mean(heads, axis=0).tolist()}))


def _write(
    recipe: Recipe,
    cohort: CohortArrays,
    task: PrototypeTask,
    target: Path,
    validation: dict[str, float],
    calibration: Calibration | None,
) -> Path:
    network = task.network.eval()
    training = task.cohort
    labels = network.prototype_labels.double().numpy()
    sources = task.sources.numpy()
    prototypes = []
    for label, (row, plane) in zip(labels, sources, strict=True):
        entry, transform = training.entries[row], training.transforms[row]
        reference = None
        if recipe.prototype_images == "reference":
            reference = ImageReference(
                dataset=recipe.dataset,
                subject=entry.subject,
                file=entry.public_name,
                sha256=entry.sha256,
                position_mm=training.positions_mm[plane]
                if recipe.architecture.planes == 1
                else None,
                pixel_size_mm=entry.pixel_size_mm,
                template_to_subject=None
                if np.isnan(transform).any()
                else tuple(tuple(map(float, r)) for r in transform),
            )
        prototypes.append(
            PrototypeInfo(
                label=float(label), source_label=float(training.labels[row]), reference=reference
            )
        )
    fitted = task.fitted()
    mean_mae = validation.get(
        "mean_predictor_mae", float(np.abs(cohort.labels - cohort.labels.mean()).mean())
    )
    distinct = len(np.unique(training.subjects[sources[:, 0]]))
    reason = collapse(fitted, training.labels, mean_mae, distinct, len(prototypes))
    if not reason and "mae" in validation and validation["mae"] > 0.9 * mean_mae:
        reason = (
            f"its cross-validated error ({validation['mae']:.1f}) is that of always answering "
            f"the mean ({mean_mae:.1f})"
        )
    if reason:
        warnings.warn(f"The model has collapsed: {reason}.", CollapseWarning, stacklevel=3)
    info = ModelInfo(
        name=recipe.name,
        version=recipe.version,
        label=Label(
            name=recipe.label_name, unit=recipe.label_unit,
            minimum=float(training.labels.min()), maximum=float(training.labels.max()),
        ),
        input=recipe.input,
        architecture=recipe.architecture,
        prototypes=tuple(prototypes),
        training=TrainingInfo(
            dataset=recipe.dataset,
            licence=recipe.licence,
            subjects=len(np.unique(training.subjects)),
            images=int(np.prod(training.images.shape[:2])),
            seed=recipe.schedule.seed,
            recipe=recipe.model_dump(mode="json", exclude={"card"}),
        ),
        validation=validation,
        calibration=calibration,
        collapsed=reason,
        versions=versions(),
        card=recipe.card,
    )  # fmt: skip
    images = None
    if recipe.prototype_images == "value":
        shown = task.views if recipe.architecture.planes > 1 else None
        images = np.stack(
            [training.images[row, plane if shown is None else shown] for row, plane in sources]
        )
    weights = {name: value.detach().numpy() for name, value in network.state_dict().items()}
    return save_model(target, info, weights, images)
