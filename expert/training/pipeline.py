"""Train a model: folds, prototype stage, calibration, model file.

Everything a training writes before it is finished lies in one folder: prepared images, the last
checkpoint of each stage, and finished parts as safetensors and JSON. An interrupted run is resumed
from there.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from expert.datasets.average_images import averages_of
from expert.datasets.derived_images import grey_pixels, pixels_checksum
from expert.datasets.prepared_dataset import CohortArrays, load_cohort
from expert.datasets.table import Entry, read_table
from expert.errors import InputError
from expert.evaluation.metrics import collapse
from expert.evidence.tissue_norms import norms_of_training
from expert.model_file import save_model, versions
from expert.schema import (
    Calibration,
    ImageReference,
    Label,
    ModelInfo,
    PrototypeInfo,
    SiteFigures,
    TrainingInfo,
)
from expert.training.calibration import aggregate_folds, calibrate_on_holdout
from expert.training.folds import run_fold
from expert.training.launch import started
from expert.training.processes import first_one_first, is_first
from expert.training.prototype_module import PrototypeModule
from expert.training.recipe import Recipe
from expert.training.run_folder import claim_run_folder, run_fingerprint
from expert.training.scanner_copies import prepare_scanner_copies
from expert.training.site_validation import held_out_sites, site_figures
from expert.training.splits import split
from expert.training.stages import fit_prototypes

Progress = Callable[[str, float], None]


class CollapseWarning(UserWarning):
    """The trained model predicts nearly the same for every image, or shows too few subjects."""


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
    devices: int = 1,
    nodes: int = 1,
    progress: Progress | None = None,
) -> Path:
    """Train a model and write it as one file.

    Parameters
    ----------
    recipe : Recipe
        From `expert.training.recipe.read_recipe`.
    table : str or pathlib.Path
        CSV with `file` and the label; folds are split by its `subject` (or `exam`) column.
    out : str or pathlib.Path
        Model file to write.
    folds : int
        Number of cross-validation folds to train first. Their held-out errors calibrate the
        model's interval and limits.
    only_fold : int, optional
        Train this fold (0-based; sites that are held out follow) and nothing else. Folds can run
        side by side; a later call without it combines them.
    plain : bool
        Also train a regression baseline per fold, with the same backbone and number of epochs.
    calibration : str or pathlib.Path, optional
        Table of held-out images that calibrate the model, instead of folds.
    run : str or pathlib.Path, optional
        Folder for checkpoints and intermediate files; None: `out` with the suffix ``.run``.
    prepared : str or pathlib.Path, optional
        Folder for the prepared images, which several trainings may share; None: in `run`.
    resume : bool
        Resume an earlier run in that folder; False starts again.
    jobs : int, optional
        Number of processes that prepare images; None: one per core.
    devices : int
        Number of processes that train on each host: of graphics cards where there are any. A
        program with more than one is started once more for each further process, and must do the
        same in each (`expert.training.processes`).
    nodes : int
        Number of hosts.
    progress : callable, optional
        Called with the name of a stage and a fraction, 0 to 1.

    Returns
    -------
    pathlib.Path
        The model file; the run's folder with `only_fold`.

    Raises
    ------
    RecipeError
        The recipe and the table do not fit each other.
    InputError
        The table or one of its images cannot be used, or has too few subjects.
    ExpertError
        The run's folder belongs to another training, or the processes cannot be started.

    Warns
    -----
    CollapseWarning
        The model has collapsed.
    """
    with started(devices, nodes):
        return _train(
            recipe, table, Path(out), folds, only_fold, plain, calibration, run, prepared, resume,
            jobs, progress,
        )  # fmt: skip


def _train(
    recipe: Recipe,
    table: str | Path,
    target: Path,
    folds: int,
    only_fold: int | None,
    plain: bool,
    calibration: str | Path | None,
    run: str | Path | None,
    prepared: str | Path | None,
    resume: bool,
    jobs: int | None,
    progress: Progress | None,
) -> Path:
    """Train in each of the processes; the first one prepares images and writes files."""
    folder = Path(run) if run is not None else target.with_suffix(".run")
    folder.mkdir(parents=True, exist_ok=True)
    entries = read_table(table, label_column=recipe.label_column)
    held_out = None
    with first_one_first():
        place = Path(prepared or folder / "prepared")
        cohort = load_cohort(entries, recipe.input, place, jobs=jobs, progress=progress)
        if recipe.augmentation.scanners:
            prepare_scanner_copies(
                cohort, recipe.input, recipe.augmentation.scanners, jobs=jobs, progress=progress
            )
        if calibration is not None:
            others = _calibration_entries(recipe, entries, calibration, folds)
            held_out = load_cohort(
                others, recipe.input, folder / "prepared", jobs=jobs, progress=progress
            )
        _check_subjects(recipe, cohort, folds)
        claim_run_folder(folder, run_fingerprint(recipe, entries, folds), resume or not is_first())
    seed = recipe.schedule.seed
    parts = split(cohort, folds, seed) if folds else []
    if folds:  # after the folds, sites that are held out
        parts += held_out_sites(recipe, cohort).values()
    for number, test in enumerate(parts):
        if only_fold is None or number == only_fold:
            run_fold(recipe, cohort, test, folder / f"fold{number}", plain, seed + number)
    if only_fold is not None:
        return folder
    if not is_first():
        fit_prototypes(recipe, cohort, folder / "final", seed)
        return target
    limits: Calibration | None
    if held_out is None:
        figures, limits = aggregate_folds(recipe, cohort, parts[:folds], folder, plain)
    sites: tuple[SiteFigures, ...] = ()
    if folds and limits is not None:
        sites, half_width = site_figures(recipe, cohort, parts, folder, limits)
        limits = limits.model_copy(update={"shifted_half_width": half_width})
    module = fit_prototypes(recipe, cohort, folder / "final", seed)
    if held_out is not None:
        figures, limits = calibrate_on_holdout(module, held_out)
    return _write(recipe, cohort, module, target, figures, limits, sites)


def _check_subjects(recipe: Recipe, cohort: CohortArrays, folds: int) -> None:
    """Raise where the table has too few subjects for the recipe or for the number of folds."""
    subjects = len(np.unique(cohort.subjects))
    every_subject_once = recipe.projection.distinct or recipe.start != "uniform"
    needed = recipe.architecture.prototypes if every_subject_once else 2
    training = subjects - (-(-subjects // folds) if folds else 0)
    if training < needed:
        raise InputError(
            f"The table has {subjects} subjects, of which {training} train the model; the recipe "
            f"needs at least {needed}. Add images or lower architecture.prototypes."
        )
    if folds == 1 or folds > subjects:
        raise InputError(f"{subjects} subjects cannot be split into {folds} folds.")


def _calibration_entries(
    recipe: Recipe, training: Sequence[Entry], table: str | Path, folds: int
) -> tuple[Entry, ...]:
    """Rows of a calibration table, none of which is a training image or subject."""
    if folds:
        raise InputError(
            "Give either folds or a calibration table: both would calibrate the model."
        )
    entries = read_table(table, label_column=recipe.label_column)
    shared = {entry.sha256 for entry in entries} & {entry.sha256 for entry in training}
    if shared:
        raise InputError(
            f"{len(shared)} images of the calibration table are training images too. "
            "Remove them from one of the two tables."
        )
    # Only by names from the tables: files of the same name may show different subjects.
    named, trained = (
        {entry.subject for entry in rows if entry.subject != entry.public_name}
        for rows in (entries, training)
    )
    if named & trained:
        raise InputError(
            f"{len(named & trained)} subjects of the calibration table are training subjects too. "
            "Remove them from one of the two tables, or give different subjects different names."
        )
    return entries


def _write(
    recipe: Recipe,
    cohort: CohortArrays,
    module: PrototypeModule,
    target: Path,
    figures: dict[str, float],
    calibration: Calibration | None,
    sites: tuple[SiteFigures, ...],
) -> Path:
    """Write the model file; warn if the model has collapsed."""
    network, training = module.network.eval(), module.cohort
    sources = module.sources.numpy()
    prototypes = _prototypes(recipe, module)
    reason = _collapse_reason(module, cohort, figures)
    if reason:
        warnings.warn(f"The model has collapsed: {reason}.", CollapseWarning, stacklevel=4)
    info = ModelInfo(
        name=recipe.name,
        version=recipe.version,
        label=Label(
            name=recipe.label_name, unit=recipe.label_unit,
            minimum=float(training.labels.min()), maximum=float(training.labels.max()),
        ),
        input=recipe.input,
        architecture=recipe.architecture,
        prototypes=prototypes,
        training=TrainingInfo(
            dataset=recipe.dataset,
            licence=recipe.licence,
            subjects=len(np.unique(training.subjects)),
            images=int(np.prod(training.images.shape[:2])),
            seed=recipe.schedule.seed,
            recipe=recipe.model_dump(mode="json", exclude={"card"}),
        ),
        validation=figures,
        sites=sites,
        calibration=calibration,
        collapsed=reason,
        versions=versions(),
        card=recipe.card,
    )  # fmt: skip
    images = averages = None
    if recipe.prototype_images == "value":
        views = module.views if recipe.architecture.planes_combined else None
        images = np.stack(
            [training.images[row, plane if views is None else views] for row, plane in sources]
        )
    elif recipe.prototype_images in ("average", "reference"):
        averages = averages_of(info, training)
    weights = {name: value.detach().numpy() for name, value in network.state_dict().items()}
    norms = norms_of_training(recipe.input, cohort, network.grid)
    return save_model(
        target, info, weights, images, averages, further=None if norms is None else norms.tensors
    )


def _prototypes(recipe: Recipe, module: PrototypeModule) -> tuple[PrototypeInfo, ...]:
    """Labels of the prototypes, and where their images are found if the recipe asks for it."""
    training, found = module.cohort, []
    labels = module.network.prototype_labels.double().numpy()
    for label, (row, plane) in zip(labels, module.sources.numpy(), strict=True):
        entry, transform = training.entries[row], training.transforms[row]
        position = None if recipe.architecture.planes_combined else training.positions_mm[plane]
        registered = not np.isnan(transform).any()
        reference = None
        if recipe.prototype_images == "reference":
            reference = ImageReference(
                dataset=entry.site or recipe.dataset,
                subject=entry.subject,
                file=entry.public_name,
                sha256=entry.sha256,
                position_mm=position,
                pixel_size_mm=entry.pixel_size_mm,
                pixels_sha256=_pixels_checksum(recipe, entry),
                template_to_subject=tuple(tuple(map(float, r)) for r in transform)
                if registered
                else None,
            )
        found.append(
            PrototypeInfo(
                label=float(label), source_label=float(training.labels[row]), reference=reference
            )
        )
    return tuple(found)


def _pixels_checksum(recipe: Recipe, entry: Entry) -> str | None:
    """Of a plain image: with it, the image can be made again from a public original."""
    pixels = grey_pixels(entry.file) if recipe.input.space != "mni" else None
    return None if pixels is None else pixels_checksum(pixels)


def _collapse_reason(
    module: PrototypeModule, cohort: CohortArrays, figures: dict[str, float]
) -> str:
    """Why the model must not be used; empty if it has not collapsed."""
    training = module.cohort
    mean_mae = figures.get(
        "mean_predictor_mae", float(np.abs(cohort.labels - cohort.labels.mean()).mean())
    )
    distinct = len(np.unique(training.subjects[module.sources[:, 0].numpy()]))
    reason = collapse(module.fitted(), training.labels, mean_mae, distinct, len(module.sources))
    if not reason and "mae" in figures and figures["mae"] > 0.9 * mean_mae:
        reason = (
            f"its cross-validated error ({figures['mae']:.1f}) is close to that of predicting the "
            f"mean for every image ({mean_mae:.1f})"
        )
    return reason
