"""From a recipe and a table to a model file: folds, two stages, calibration, the final model.

Everything a training leaves behind while it runs lies in one folder, and a run that was killed goes
on from there: prepared images, Lightning's last checkpoint of each stage, and the finished parts as
safetensors and JSON.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from expert.datasets.prepared_dataset import CohortArrays, load_cohort
from expert.datasets.table import Entry, read_table
from expert.errors import InputError
from expert.evaluation.metrics import collapse
from expert.model_file import save_model, versions
from expert.schema import Calibration, ImageReference, Label, ModelInfo, PrototypeInfo, TrainingInfo
from expert.training.calibration import gather, kept_out
from expert.training.folds import run_fold
from expert.training.recipe import Recipe
from expert.training.run_folder import claim, identity
from expert.training.splits import split
from expert.training.stages import fit_prototypes

if TYPE_CHECKING:
    from expert.training.prototype_module import PrototypeTask

Progress = Callable[[str, float], None]


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
    recipe : from `expert.training.recipe.read_recipe`
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
            run_fold(
                recipe, cohort, test, folder / f"fold{number}", plain, recipe.schedule.seed + number
            )
    if only_fold is not None:
        return folder
    if kept is None:
        validation, limits = gather(recipe, cohort, parts, folder, plain)
    task = fit_prototypes(recipe, cohort, folder / "final", recipe.schedule.seed)
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
