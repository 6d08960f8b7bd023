"""Synthetic heads in which the label changes one known region.

The region that an explanation should highlight is known because the effect was planted: heads of 50
years whose ventricles, or left cortex, have the appearance of another age
(`expert.datasets.phantom.phantom_with_truth`). The transform to the template is the one with which
the heads were made, so that registration errors do not enter.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from expert.datasets.prepared_dataset import CohortArrays, training_positions
from expert.datasets.table import Entry
from expert.errors import InputError
from expert.files import replacing
from expert.schema import InputSettings

AGE = 50.0
"""Age of all heads except those of `ageing`, years."""
PLACES = ("ventricles", "left cortex")
"""Regions in which a label can be planted."""
FORMAT = 1
"""Increased whenever the same subjects give other pixels, so that old arrays are not used."""

Kind = Literal["ventricles", "left cortex", "nothing", "mixed", "ageing"]
"""What varies besides the subject: one region; nothing; both regions and the right cortex, each
with its own age; age."""


@dataclass(frozen=True)
class Cohort:
    """A kind of heads and the meaning of their label."""

    name: str
    heads: Kind
    label: Literal["ventricles", "left cortex", "age"] | None
    """The region whose age is the label; None for randomly assigned ages."""


COHORTS = (
    Cohort("ventricles", "ventricles", "ventricles"),
    Cohort("left cortex", "left cortex", "left cortex"),
    Cohort("ventricles among others", "mixed", "ventricles"),
    Cohort("left cortex among others", "mixed", "left cortex"),
    Cohort("no effect", "nothing", None),
    Cohort("ageing", "ageing", "age"),
    Cohort("ageing, labels shuffled", "ageing", None),
)
"""Cohorts of the study. In the third and fourth, two other regions vary as much but are unrelated
to the label."""


@dataclass(frozen=True, eq=False)
class Subjects:
    """Subjects of a study, and the age of each of their regions."""

    seeds: tuple[int, ...]
    """(N,) seeds of `expert.datasets.phantom`."""
    ages: np.ndarray
    """(N, 3) years: ventricles (and age), left cortex, right cortex; each spread evenly over 20 to
    85, independent of the others."""

    def labels(self, label: str | None, deal: int = 0) -> np.ndarray:
        """Labels of a cohort.

        Parameters
        ----------
        label : str or None
            `Cohort.label`.
        deal : int
            Number of the random assignment, if `label` is None.

        Returns
        -------
        (N,) ndarray
            Years.
        """
        if label is None:
            return np.asarray(
                np.random.default_rng([19, self.seeds[0], deal]).permutation(self.ages[:, 0])
            )
        return np.asarray(self.ages[:, {"age": 0, "ventricles": 0, "left cortex": 1}[label]])


def draw_subjects(number: int, seed: int, first: int = 0) -> Subjects:
    """Draw subjects.

    Parameters
    ----------
    number : int
        At least 2.
    seed : int
        Of the study, at least 0; no subject of one is in another.
    first : int
        Number of subjects that were drawn before, such as those for training; the new ones are
        different.

    Returns
    -------
    Subjects

    Raises
    ------
    InputError
        Number or seed is out of range.
    """
    from expert.datasets.phantom import AGES

    if number < 2:
        raise InputError(
            f"A study needs at least 2 heads for training and for testing, not {number}."
        )
    if seed < 0:
        raise InputError(f"The seed must be 0 or larger, not {seed}.")
    generator = np.random.default_rng([17, seed, first])
    strata = np.stack(
        [
            (generator.permutation(number) + generator.uniform(0, 1, number)) / number
            for _ in range(3)
        ],
        1,
    )
    ages = np.round(AGES[0] + (AGES[1] - AGES[0]) * strata, 2)
    return Subjects(tuple(seed * 100_000 + first + n for n in range(number)), ages)


def phantom_arguments(kind: Kind, ages: np.ndarray) -> dict[str, float]:
    """Arguments of `expert.datasets.phantom.phantom_with_truth` for a head of a kind.

    Parameters
    ----------
    kind : Kind
        What varies.
    ages : (3,) ndarray
        Years, a row of `Subjects.ages`.

    Returns
    -------
    dict of str to float
    """
    ventricles, left, right = (float(age) for age in ages)
    if kind == "ageing":
        return {"age": ventricles}
    planted: dict[Kind, dict[str, float]] = {
        "nothing": {},
        "ventricles": {"ventricle_age": ventricles},
        "left cortex": {"left_cortex_age": left},
        "mixed": {"ventricle_age": ventricles, "left_cortex_age": left, "cortex_age": right},
    }
    return {"age": AGE, **planted[kind]}


def prepare_subjects(
    subjects: Subjects,
    kinds: Sequence[Kind],
    settings: Sequence[InputSettings],
    folder: Path,
    *,
    progress: Callable[[float], None] | None = None,
) -> dict[Kind, list[CohortArrays]]:
    """Make and prepare heads of some kinds, or load what an earlier call left in `folder`.

    Parameters
    ----------
    subjects : Subjects
    kinds : sequence of Kind
    settings : sequence of InputSettings
        How to prepare the heads, each for "mni" space. A head is made once for all of them.
    folder : Path
        Where the arrays are kept, one file per head and element of `settings`.
    progress : callable, optional
        Called with 0 to 1.

    Returns
    -------
    dict of Kind to list of CohortArrays
        One per element of `settings`. Labels are NaN, see `with_labels`.

    Raises
    ------
    InputError
        The input is not for heads, or the folder cannot be written.
    """
    for one_input in settings:
        if one_input.space != "mni":
            raise InputError("Planted effects are in heads: the recipe's input.space must be mni.")
    rows = []
    for number, (seed, ages) in enumerate(zip(subjects.seeds, subjects.ages, strict=True)):
        # All heads of a subject in succession: their common parts are made once
        # (`expert.datasets.phantom`).
        rows.append({kind: _prepared(seed, ages, kind, settings, folder) for kind in kinds})
        if progress is not None:
            progress((number + 1) / len(subjects.seeds))
    out: dict[Kind, list[CohortArrays]] = {}
    for kind in kinds:
        out[kind] = []
        for n, one_input in enumerate(settings):
            made = [row[kind][n] for row in rows]
            entries = [
                _entry(kind, seed, one["images"])
                for seed, one in zip(subjects.seeds, made, strict=True)
            ]
            out[kind].append(
                CohortArrays(
                    images=np.stack([one["images"] for one in made]),
                    content=np.stack([one["content"] for one in made]),
                    labels=np.full(len(rows), np.nan),
                    transforms=np.stack([one["transform"] for one in made]),
                    quality=np.ones(len(rows)),
                    positions_mm=training_positions(one_input) or (None,),
                    entries=tuple(entries),
                )
            )
    return out


def _prepared(
    seed: int, ages: np.ndarray, kind: Kind, settings: Sequence[InputSettings], folder: Path
) -> list[dict[str, np.ndarray]]:
    """One head, prepared in each way: images, content and transform; made at most once."""
    from expert.datasets.phantom import phantom_with_truth
    from expert.imaging.preprocessing import prepare
    from expert.imaging.registration import Registration

    places = [
        folder / f"{seed}-{cache_key(seed, ages.tolist(), kind, one_input)}.npz"
        for one_input in settings
    ]
    missing = [n for n, place in enumerate(places) if not place.exists()]
    if missing:
        volume, truth = phantom_with_truth(seed=seed, **phantom_arguments(kind, ages))  # type: ignore[arg-type]
        known = Registration.known(truth.template_to_subject)
        for n in missing:
            made = prepare(
                volume,
                settings[n],
                positions_mm=training_positions(settings[n]),
                registration=known,
            )
            save_arrays(
                places[n],
                {
                    "images": made.images,
                    "content": made.content,
                    "transform": truth.template_to_subject,
                },
            )
    return [load_arrays(place) for place in places]


def with_labels(cohort: CohortArrays, labels: np.ndarray) -> CohortArrays:
    """The cohort with other labels.

    Parameters
    ----------
    cohort : CohortArrays
    labels : (N,) ndarray
        Years.

    Returns
    -------
    CohortArrays
    """
    entries = tuple(
        Entry(e.subject, e.name, e.file, float(label), None, e.sha256)
        for e, label in zip(cohort.entries, labels, strict=True)
    )
    return CohortArrays(
        cohort.images,
        cohort.content,
        np.asarray(labels, dtype=float),
        cohort.transforms,
        cohort.quality,
        cohort.positions_mm,
        entries,
    )


def cache_key(*parts: object) -> str:
    """Part of a file's name that depends on everything the file's content depends on."""
    text = json.dumps(
        [
            FORMAT,
            *(
                part.model_dump(mode="json") if isinstance(part, InputSettings) else part
                for part in parts
            ),
        ]
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """Arrays of a file from `save_arrays`, by name."""
    with np.load(path) as loaded:
        return {name: np.asarray(loaded[name]) for name in loaded.files}


def save_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write arrays to a file.

    Raises
    ------
    InputError
        The folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]
    except OSError as error:
        raise InputError(
            f"The heads could not be saved in {path.parent}: {error.strerror}."
        ) from error


def _entry(kind: str, seed: int, images: np.ndarray) -> Entry:
    """A row of a table that is not written; its checksum is that of the prepared images."""
    name = f"planted-{kind.replace(' ', '-')}-{seed}"
    return Entry(
        name, name, Path(name), float("nan"), None, hashlib.sha256(images.tobytes()).hexdigest()
    )
