"""Test whether a model refuses or flags corrupted images, and accepts others.

Heads are corrupted in known ways (rotated with an unchanged header, cropped, blurred, replaced by
noise …), and each copy is given to the model as `expert predict` does. It counts as *detected* if
it is refused with an error message, or flagged as out-of-distribution or as an incomplete brain.
For comparison, the report lists the unchanged heads and the held-out heads of a cross-validation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from expert.comparison import compare_views
from expert.errors import InputError
from expert.imaging.brain import brain_mask
from expert.imaging.preprocessing import incompatibility, prepare
from expert.imaging.volume import Volume, read_volume
from expert.novelty import expected_alarms, ood_indicators, ood_score, out_of_distribution_text
from studies.corrupted.corruptions import BRAIN_MASK, CORRUPTIONS, OTHER, SYNTHETIC, UNCHANGED
from studies.corrupted.false_alarms import false_alarms
from studies.corrupted.report import Assessment, CorruptionResults

if TYPE_CHECKING:
    from expert.datasets.table import Entry
    from expert.imaging.registration import Registration
    from expert.model_file import Model

Progress = Callable[[str, float], None]
DEFAULT_SUBJECTS, SEED = 6, 0
FIRST_HEAD = 99_000_000
"""Seed of the first synthetic head; not used in any cohort a model was trained on."""


def run_study(
    model: Model,
    table: str | Path,
    *,
    subjects: int = DEFAULT_SUBJECTS,
    other: Sequence[str | Path] = (),
    run: str | Path | None = None,
    seed: int = SEED,
    label_column: str | None = None,
    progress: Progress | None = None,
) -> CorruptionResults:
    """Assess corrupted copies of a table's heads with a model.

    Parameters
    ----------
    model : Model
        A model for heads.
    table, label_column
        As for `expert.evaluation.accuracy.evaluate`.
    subjects : int
        Number of heads, one of each subject, drawn by `seed`; all if the table has fewer.
    other : sequence of path-like
        Out-of-domain image files.
    run : path-like, optional
        Folder of a finished `expert train --folds`, see `studies.corrupted.false_alarms`.
    seed : int
        Of the draw, the noise and the synthetic heads. The same arguments give the same result, up
        to rounding of the registration.
    progress : callable, optional
        Called with "corrupted" and a fraction.

    Returns
    -------
    CorruptionResults

    Raises
    ------
    InputError
        The model is not for heads or has no limit, or the table, files or run cannot be used.
    """
    from expert.datasets.table import read_table

    info, calibration = model.info, model.info.calibration
    if info.input.space != "mni":
        raise InputError(
            f"The model {info.name} is for plain 2D images: this study needs a model for 3D heads."
        )
    if calibration is None:
        raise InputError(
            f"The model {info.name} was never calibrated: it cannot flag images as "
            "out-of-distribution."
        )
    for path in other:  # a missing file does not count as refused by the model
        if not Path(path).exists():
            raise InputError(f"There is no file {path}: check the path.")
    alarms = None if run is None else false_alarms(run)
    heads = draw_heads(read_table(table, label_column=label_column), subjects, seed)
    volumes = []
    for entry in heads:
        volume = read_volume(entry.file, pixel_size_mm=entry.pixel_size_mm)
        if problem := incompatibility(volume, info.input):
            raise InputError(f"{entry.name} cannot be used in this study: {problem}")
        volumes.append(volume)
    total = len(heads) * (len(CORRUPTIONS) + 3) + len(other)
    assessments = []
    for one in _assessments(model, volumes, other, seed):
        assessments.append(one)
        if progress is not None:
            progress("corrupted", len(assessments) / total)
    familiarity = calibration.familiarity
    sources = {p.reference.sha256 for p in info.prototypes if p.reference is not None}
    return CorruptionResults(
        model=info.name,
        assessments=tuple(assessments),
        limit=calibration.nearest_distance_limit if familiarity is None else familiarity.limit,
        scored_by=f"distance of the nearest prototype, {info.label.unit}"
        if familiarity is None
        else "score",
        heads=len(heads),
        prototypes=sum(entry.sha256 in sources for entry in heads),
        synthetic="synthetic" in info.training.dataset.lower(),
        seed=seed,
        nominal=None
        if familiarity is None
        else (familiarity.images, expected_alarms(familiarity.images)),
        alarms=alarms,
    )


def draw_heads(entries: Sequence[Entry], subjects: int, seed: int) -> list[Entry]:
    """Draw rows of a table, one of each subject.

    Parameters
    ----------
    entries : sequence of Entry
        Rows of a table.
    subjects : int
        Number of subjects; all if the table has fewer.
    seed : int

    Returns
    -------
    list of Entry
        In the order of the table.
    """
    first = list({entry.subject: entry for entry in reversed(entries)}.values())[::-1]
    chosen = np.random.default_rng(seed).permutation(len(first))[:subjects]
    return [first[row] for row in sorted(chosen)]


def _assessments(
    model: Model, volumes: Sequence[Volume], other: Sequence[str | Path], seed: int
) -> Iterator[Assessment]:
    from expert.datasets.phantom import AGES, phantom

    for number, volume in enumerate(volumes):
        generator = np.random.default_rng([seed, number])
        head = volume.canonical()
        head = replace(head, data=np.asarray(head.data, dtype=np.float32))
        assessment, registration = assess(model, UNCHANGED, volume)
        yield assessment
        for kind, corrupt in CORRUPTIONS.items():
            corrupted = np.ascontiguousarray(corrupt(head.data, generator))
            yield assess(model, kind, replace(head, data=corrupted))[0]
        if registration is not None:
            mask = brain_mask(head, registration).astype(np.float32)
            yield assess(model, BRAIN_MASK, replace(head, data=mask))[0]
        age = AGES[0] + (AGES[1] - AGES[0]) * (number + 0.5) / len(volumes)
        yield assess(model, SYNTHETIC, phantom(age, FIRST_HEAD + 1000 * seed + number))[0]
    for path in other:
        try:
            volume = read_volume(path)
        except InputError as error:
            yield Assessment(OTHER, refused=str(error))
        else:
            yield assess(model, OTHER, volume)[0]


def assess(model: Model, kind: str, volume: Volume) -> tuple[Assessment, Registration | None]:
    """Whether a model refuses or flags a volume.

    The functions are those of `expert.explain`.

    Parameters
    ----------
    model : Model
    kind : str
        Name of the corruption.
    volume : Volume

    Returns
    -------
    Assessment
    Registration or None
        None if the volume was refused.
    """
    info, calibration = model.info, model.info.calibration
    try:
        prepared = prepare(volume, info.input)
    except InputError as error:
        return Assessment(kind, refused=str(error)), None
    if prepared.refusal:
        return Assessment(kind, refused=prepared.refusal), None
    registration = prepared.registration
    quality = float("nan") if registration is None else registration.quality
    result = compare_views(model, prepared.images, prepared.content)
    seen = (prepared.images, prepared.content, quality, result)
    score, indicator = result.nearest_distance, "nearest_distance"
    if calibration is not None and calibration.familiarity is not None:
        known = calibration.familiarity
        score, indicator = ood_score(known, ood_indicators(known, info.grid, *seen))
    assessment = Assessment(
        kind,
        unlike=bool(out_of_distribution_text(info, *seen)),
        incomplete=bool(prepared.incomplete),
        score=float(score),
        indicator=indicator,
    )
    return assessment, registration
