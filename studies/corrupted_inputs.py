"""The study of strange images: does a model tell that an image is unlike its training data, and
leave alone what is like it?

Heads are changed in known ways (turned over while the header says otherwise, cropped, blurred,
replaced by noise …), and the model is asked about each copy the way `expert predict` asks: it is
*caught* where it is refused with a sentence, or said to be unlike the training data or not to show
the whole brain. Beside them stand the unchanged heads and, from a run's folds, heads kept out of a
training.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from expert.comparison import compare_views
from expert.errors import InputError
from expert.imaging.brain import brain_mask
from expert.imaging.preprocessing import misfit, prepare
from expert.imaging.volume import Volume, read_volume
from expert.novelty import (
    SIGNS,
    calibrate_signs,
    expected_alarms,
    score_signs,
    signs,
    strangeness,
    unlike_training,
)
from expert.schema import RESEARCH_USE

if TYPE_CHECKING:
    pass


if TYPE_CHECKING:
    from expert.datasets.table import Entry
    from expert.imaging.registration import Registration
    from expert.model_file import Model

Progress = Callable[[str, float], None]
Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]
SUBJECTS, SEED = 6, 0
RIGHT, FRONT, TOP = 0, 1, 2
"""Axes of a head's voxels after `Volume.canonical`."""
COARSER, NOISE = 4, 0.2
"""A blurred copy has voxels so many times larger; a noisy one this standard deviation, parts of the
99th percentile."""
FIRST_HEAD = 99_000_000
"""Seed of the first synthetic head: of no cohort that a model was trained on."""
UNCHANGED, MIRRORED, BRAIN_MASK = "unchanged", "mirrored left to right", "its brain mask"
SYNTHETIC, OTHER = "synthetic head", "other image (--other)"


def _flipped(axis: int) -> Change:
    return lambda data, _: np.flip(data, axis)


def _turned(axis: int) -> Change:
    first, second = (other for other in range(3) if other != axis)
    return lambda data, _: np.rot90(data, axes=(first, second))


def _halved(axis: int, lower: bool) -> Change:
    def change(data: np.ndarray, _: np.random.Generator) -> np.ndarray:
        out, middle = data.copy(), data.shape[axis] // 2
        np.moveaxis(out, axis, 0)[slice(None, middle) if lower else slice(middle, None)] = 0
        return out

    return change


def _blurred(data: np.ndarray, _: np.random.Generator) -> np.ndarray:
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(data, (COARSER - 1) / 2)
    coarse = ndimage.zoom(smooth, 1 / COARSER, order=1, mode="nearest", grid_mode=True)
    factors = np.divide(data.shape, coarse.shape)
    return np.asarray(ndimage.zoom(coarse, factors, order=1, mode="nearest", grid_mode=True))


def _noisy(data: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return data + generator.normal(0, NOISE * float(np.percentile(data, 99)), data.shape).astype(
        np.float32
    )


def _outline(data: np.ndarray, _: np.random.Generator) -> np.ndarray:
    from skimage.filters import threshold_otsu

    return np.asarray(data > 0.5 * threshold_otsu(data), dtype=np.float32)


CHANGES: dict[str, Change] = {
    "upside down": _flipped(TOP),
    "back to front": _flipped(FRONT),
    MIRRORED: _flipped(RIGHT),
    "turned by 90° about left–right": _turned(RIGHT),
    "turned by 90° about back–front": _turned(FRONT),
    "turned by 90° about bottom–top": _turned(TOP),
    f"blurred {COARSER}-fold": _blurred,
    "noisy": _noisy,
    "upper half black": _halved(TOP, False),
    "lower half black": _halved(TOP, True),
    "right half black": _halved(RIGHT, False),
    "right half cut away": lambda data, _: data[: len(data) // 2],
    "its outline (threshold mask)": _outline,
    "all zeros": lambda data, _: np.zeros_like(data),
    "constant": lambda data, _: np.full_like(data, 100.0),
    "noise alone": lambda data, generator: np.abs(generator.normal(0, 100, data.shape)).astype(
        np.float32
    ),
}
"""What is done to a head's voxels (R, A, S); the affine stays, and so the header lies about a head
that was turned."""


@dataclass(frozen=True)
class Answer:
    """What a model says of one image."""

    kind: str
    refused: str = ""
    """The sentence; empty where it was not refused."""
    unlike: bool = False
    incomplete: bool = False
    """Said not to show the whole brain."""
    score: float | None = None
    """None where it was refused."""
    sign: str = ""

    @property
    def caught(self) -> bool:
        """Refused, or said to be unlike the training data, or not to show the whole brain."""
        return bool(self.refused) or self.unlike or self.incomplete


@dataclass(frozen=True)
class Study:
    """What `study` found."""

    model: str
    answers: tuple[Answer, ...]
    limit: float
    scored_by: str
    heads: int
    prototypes: int  # of the heads
    synthetic: bool  # what the model was trained on
    seed: int
    nominal: (
        tuple[int, float] | None
    )  # images the limit comes from, share of further ones expected above it
    alarms: FalseAlarms | None

    def of(self, kind: str) -> tuple[Answer, ...]:
        """All answers of one kind."""
        return tuple(answer for answer in self.answers if answer.kind == kind)


def study(
    model: Model,
    table: str | Path,
    *,
    subjects: int = SUBJECTS,
    other: Sequence[str | Path] = (),
    run: str | Path | None = None,
    seed: int = SEED,
    label_column: str | None = None,
    progress: Progress | None = None,
) -> Study:
    """Ask a model for heads about strange copies of heads of a table.

    Parameters
    ----------
    model, table, label_column : as for `expert.evaluation.accuracy.evaluate`
    subjects : how many heads, one of each subject, drawn by `seed`; all where the table has fewer
    other : image files that are nothing the model was made for
    run : folder of a finished `expert train --folds`, see `false_alarms`
    seed : of the draw, the noise and the synthetic heads
    progress : called with "strange" and a fraction

    Returns
    -------
    Study  (the same for the same arguments, up to the last digits of a registration)

    Raises
    ------
    InputError
        The model is not one for heads or knows no limit, or table, files or run cannot be used.
    """
    from expert.datasets.table import read_table

    info, calibration = model.info, model.info.calibration
    if info.input.space != "mni":
        raise InputError(
            f"The model {info.name} takes plain 2D images: this study changes 3D heads."
        )
    if calibration is None:
        raise InputError(
            f"The model {info.name} was never calibrated: it calls nothing unlike its "
            "training data."
        )
    for path in other:  # missing is not refused
        if not Path(path).exists():
            raise InputError(f"There is no file {path}: check the path.")
    alarms = None if run is None else false_alarms(run)
    heads = _drawn(read_table(table, label_column=label_column), subjects, seed)
    volumes = []
    for entry in heads:
        volume = read_volume(entry.file, pixel_size_mm=entry.pixel_size_mm)
        if problem := misfit(volume, info.input):
            raise InputError(f"{entry.name} is no head this study can change: {problem}")
        volumes.append(volume)
    total = len(heads) * (len(CHANGES) + 3) + len(other)
    answers = []
    for answer in _answers(model, volumes, other, seed):
        answers.append(answer)
        if progress is not None:
            progress("strange", len(answers) / total)
    familiarity = calibration.familiarity
    shown = {p.reference.sha256 for p in info.prototypes if p.reference is not None}
    return Study(
        model=info.name,
        answers=tuple(answers),
        limit=calibration.nearest_distance_limit if familiarity is None else familiarity.limit,
        scored_by=f"distance of the nearest prototype, {info.label.unit}"
        if familiarity is None
        else "score",
        heads=len(heads),
        prototypes=sum(entry.sha256 in shown for entry in heads),
        synthetic="synthetic" in info.training.dataset.lower(),
        seed=seed,
        nominal=None
        if familiarity is None
        else (familiarity.images, expected_alarms(familiarity.images)),
        alarms=alarms,
    )


def _drawn(entries: Sequence[Entry], subjects: int, seed: int) -> list[Entry]:
    first = list({entry.subject: entry for entry in reversed(entries)}.values())[::-1]
    chosen = np.random.default_rng(seed).permutation(len(first))[:subjects]
    return [first[row] for row in sorted(chosen)]


def _answers(
    model: Model, volumes: Sequence[Volume], other: Sequence[str | Path], seed: int
) -> Iterator[Answer]:
    from expert.datasets.phantom import AGES, phantom

    for number, volume in enumerate(volumes):
        generator = np.random.default_rng([seed, number])
        head = volume.canonical()
        head = replace(head, data=np.asarray(head.data, dtype=np.float32))
        answer, registration = ask(model, UNCHANGED, volume)
        yield answer
        for kind, change in CHANGES.items():
            yield ask(
                model, kind, replace(head, data=np.ascontiguousarray(change(head.data, generator)))
            )[0]
        if registration is not None:
            yield ask(
                model,
                BRAIN_MASK,
                replace(head, data=brain_mask(head, registration).astype(np.float32)),
            )[0]
        age = AGES[0] + (AGES[1] - AGES[0]) * (number + 0.5) / len(volumes)
        yield ask(model, SYNTHETIC, phantom(age, FIRST_HEAD + 1000 * seed + number))[0]
    for path in other:
        try:
            volume = read_volume(path)
        except InputError as error:
            yield Answer(OTHER, refused=str(error))
        else:
            yield ask(model, OTHER, volume)[0]


def ask(model: Model, kind: str, volume: Volume) -> tuple[Answer, Registration | None]:
    """What a model says of a volume, decided where `expert.explain` decides it; no registration
    where it is refused."""
    info, calibration = model.info, model.info.calibration
    try:
        prepared = prepare(volume, info.input)
    except InputError as error:
        return Answer(kind, refused=str(error)), None
    quality = float("nan") if prepared.registration is None else prepared.registration.quality
    seen = (
        prepared.images,
        prepared.content,
        quality,
        compare_views(model, prepared.images, prepared.content),
    )
    score, sign = seen[3].nearest_distance, "nearest_distance"
    if calibration is not None and calibration.familiarity is not None:
        score, sign = strangeness(
            calibration.familiarity, signs(calibration.familiarity, info.grid, *seen)
        )
    unlike, incomplete = bool(unlike_training(info, *seen)), bool(prepared.incomplete)
    return Answer(
        kind, unlike=unlike, incomplete=incomplete, score=float(score), sign=sign
    ), prepared.registration


def markdown(found: Study) -> str:
    """The report: what is caught, and what false alarms are to be expected; no subject's name, no
    path."""
    alike = [UNCHANGED, *([SYNTHETIC] if found.synthetic else [])]
    kinds = [
        kind
        for kind in dict.fromkeys(answer.kind for answer in found.answers)
        if kind not in (*alike, MIRRORED)
    ]
    head = [
        "",
        "| image | number | caught | refused | median | speaks most often |",
        "|---|---:|---:|---:|---:|---|",
    ]
    out = [
        "# Strange images\n",
        f"Model {found.model}, {found.heads} heads, seed {found.seed}. *Caught*: refused "
        "with a sentence, or said to be unlike "
        f"the training data or not to show the whole brain. *Median*: {found.scored_by}, "
        "of images that were not refused; the "
        f"limit is {found.limit:.1f}.",
        *head,
        *(_row(kind, found.of(kind)) for kind in kinds),
        "\nHard to tell, and not expected to be caught: mirrored, a head is much like any other.",
        *head,
        _row(MIRRORED, found.of(MIRRORED)),
        "\nWhat should be left alone:",
        *head,
        *(_row(kind, found.of(kind)) for kind in alike),
        f"\nOf the {found.heads} unchanged heads, {found.prototypes} are among the model's "
        "prototypes. Where the model was "
        "trained on this table, all are its training images: these say little of new heads.",
    ]
    if found.nominal is not None:
        out += [
            "",
            f"The model's limit comes from {found.nominal[0]} images kept out of the "
            "training. Of further images like them, "
            f"{found.nominal[1]:.1%} are expected above it: by the choice of the limit, "
            "not by a measurement.",
        ]
    if found.alarms is not None:
        a = found.alarms
        named = ", ".join(
            f"{name} {count}"
            for name, count in sorted(a.by_sign.items(), key=lambda pair: (-pair[1], pair[0]))
        )
        out += [
            "",
            f"Measured on the folds of a run: of {a.images} images kept out of {a.folds} "
            "folds, each scored by scales and "
            f"limit of the other folds, {a.flagged} ({a.flagged / a.images:.1%}) are "
            f"flagged{f' ({named})' if named else ''}.",
        ]
    return "\n".join([*out, "", RESEARCH_USE, ""])


def _row(kind: str, answers: Sequence[Answer]) -> str:
    scores = [answer.score for answer in answers if answer.score is not None]
    said = Counter(answer.sign for answer in answers if answer.sign).most_common(1)
    caught, refused = (
        sum(answer.caught for answer in answers),
        sum(bool(answer.refused) for answer in answers),
    )
    often = f"{said[0][0]} ({said[0][1]} of {len(scores)})" if said else ""
    median = f"{np.median(scores):.1f}" if scores else ""
    return (
        f"| {kind} | {len(answers)} | {caught} ({caught / len(answers):.0%}) | {refused} | "
        f"{median} | {often} |"
    )


@dataclass(frozen=True)
class FalseAlarms:
    """Held-out images of a finished run, each scored by scales and limit of the other folds."""

    folds: int
    images: int
    flagged: int
    by_sign: dict[str, int]


def false_alarms(run: str | Path) -> FalseAlarms:
    """How many images kept out of the folds of a finished training would be called unlike its
    training data.

    Parameters
    ----------
    run : folder that `expert train --folds` left: the signs of each fold's held-out images are
        read, and scored by scales and limit of the other folds, which had no share in them

    Raises
    ------
    InputError
        There are no two folds, one is damaged, or has no signs (runs of earlier versions).
    """
    folder = Path(run)
    found: list[list[dict[str, float]]] = []
    for path in sorted(folder.glob("fold*/result.json")):
        try:
            told = json.loads(path.read_text(encoding="utf-8"))["signs"]
            found.append([{name: float(one[name]) for name in SIGNS} for one in told])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{path} holds no signs of held-out images: it is damaged, or of a run of "
                "an earlier version."
            ) from error
    if len(found) < 2:
        raise InputError(
            f"The folder {folder} has {len(found)} finished folds: give the run of an "
            "'expert train --folds'."
        )
    flagged: Counter[str] = Counter()
    for number, kept in enumerate(found):
        center, spread, limit = calibrate_signs(
            [one for n, others in enumerate(found) if n != number for one in others]
        )
        scored = [score_signs(center, spread, one) for one in kept]
        flagged.update(sign for score, sign in scored if score > limit)
    return FalseAlarms(len(found), sum(map(len, found)), flagged.total(), dict(flagged))
