"""Synthetic heads of one age in which a label changes one known place, and the cells of a feature
grid that this changes.

What an explanation ought to point at is known here because it was put in: heads of 50 years whose
ventricles, or the cortex of whose left hemisphere, look as old as the label says
(`expert.datasets.phantom.phantom_with_truth`). The heads lie in the template by the transform that
they were made with: nothing is registered, so that no error of a registration is measured with the
rest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from expert.datasets.prepared_dataset import CohortArrays
from expert.datasets.table import Entry
from expert.errors import InputError
from expert.files import replacing
from expert.schema import InputSettings

AGE = 50.0
"""Years; of every head but those of `ageing`."""
PLACES = ("ventricles", "left cortex")
"""Where a label can be planted."""
MOST = 0.9
"""The cells that hold so much of a planted change are its region."""
FORMAT = 1
"""Raised whenever the same people give other pixels, so that old arrays are not used."""

Kind = Literal["ventricles", "left cortex", "nothing", "mixed", "ageing"]
"""What varies: one place alone; nothing but the person; both places and the right cortex, each by
an age of its own; age."""


@dataclass(frozen=True)
class Cohort:
    """Heads and what their label is."""

    name: str
    heads: Kind
    label: Literal["ventricles", "left cortex", "age"] | None
    """How old that looks; None: ages dealt out at random."""


COHORTS = (
    Cohort("ventricles", "ventricles", "ventricles"),
    Cohort("left cortex", "left cortex", "left cortex"),
    Cohort("ventricles among others", "mixed", "ventricles"),
    Cohort("left cortex among others", "mixed", "left cortex"),
    Cohort("no effect", "nothing", None),
    Cohort("ageing", "ageing", "age"),
    Cohort("ageing, labels shuffled", "ageing", None),
)
"""Those of the study; in the third and fourth, two other places vary just as much and have nothing
to do with the label."""


@dataclass(frozen=True, eq=False)
class People:
    """Who is in a study, and how old each place is to look where it is planted."""

    seeds: tuple[int, ...]
    """(N,) of `expert.datasets.phantom`."""
    ages: np.ndarray
    """(N, 3) years: ventricles (and age), left cortex, right cortex; each spread evenly over 20 to
    85, one tells nothing of another."""

    def labels(self, label: str | None, deal: int = 0) -> np.ndarray:
        """(N,) labels of a cohort, years; `deal` counts the ways to deal them out at random."""
        if label is None:
            return np.asarray(
                np.random.default_rng([19, self.seeds[0], deal]).permutation(self.ages[:, 0])
            )
        return np.asarray(self.ages[:, {"age": 0, "ventricles": 0, "left cortex": 1}[label]])


def draw_people(number: int, seed: int, first: int = 0) -> People:
    """Draw people.

    Parameters
    ----------
    number : at least 2
    seed : of the study, 0 or larger; no person of one is in another
    first : people that were drawn before, such as those who train: the new ones are others

    Raises
    ------
    InputError
        Number or seed is out of range.
    """
    from expert.datasets.phantom import AGES

    if number < 2:
        raise InputError(f"A study needs at least 2 heads of each sort, not {number}.")
    if seed < 0:
        raise InputError(f"The seed of a study must be 0 or larger, not {seed}.")
    generator = np.random.default_rng([17, seed, first])
    strata = np.stack(
        [
            (generator.permutation(number) + generator.uniform(0, 1, number)) / number
            for _ in range(3)
        ],
        1,
    )
    ages = np.round(AGES[0] + (AGES[1] - AGES[0]) * strata, 2)
    return People(tuple(seed * 100_000 + first + n for n in range(number)), ages)


def looks(kind: Kind, ages: np.ndarray) -> dict[str, float]:
    """Arguments of `expert.datasets.phantom.phantom_with_truth` for a head of a kind.

    Parameters
    ----------
    kind : what varies
    ages : (3,) years, a row of `People.ages`
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


def prepare_people(
    people: People,
    kinds: Sequence[Kind],
    recipes: Sequence[InputSettings],
    folder: Path,
    *,
    progress: Callable[[float], None] | None = None,
) -> dict[Kind, list[CohortArrays]]:
    """Make the heads of some kinds and prepare them, or take what an earlier call left in `folder`.

    Parameters
    ----------
    people : who
    kinds : what varies among them
    recipes : how to prepare them, each for "mni" space; a head is made once for all of them
    folder : where the arrays are kept, a file per head and recipe
    progress : called with 0 to 1

    Returns
    -------
    By kind, one CohortArrays per recipe; labels are NaN, see `labelled`

    Raises
    ------
    InputError
        A recipe is not for heads, or the folder cannot be written.
    """
    for recipe in recipes:
        if recipe.space != "mni":
            raise InputError("Planted effects lie in heads: the recipe's input.space must be mni.")
    rows = []
    for number, (seed, ages) in enumerate(zip(people.seeds, people.ages, strict=True)):
        # All heads of a person one after the other: what they have in common is made once
        # (`expert.datasets.phantom`).
        rows.append({kind: _prepared(seed, ages, kind, recipes, folder) for kind in kinds})
        if progress is not None:
            progress((number + 1) / len(people.seeds))
    out: dict[Kind, list[CohortArrays]] = {}
    for kind in kinds:
        out[kind] = []
        for n, recipe in enumerate(recipes):
            made = [row[kind][n] for row in rows]
            entries = [
                _entry(kind, seed, one["images"])
                for seed, one in zip(people.seeds, made, strict=True)
            ]
            out[kind].append(
                CohortArrays(
                    images=np.stack([one["images"] for one in made]),
                    content=np.stack([one["content"] for one in made]),
                    labels=np.full(len(rows), np.nan),
                    transforms=np.stack([one["transform"] for one in made]),
                    quality=np.ones(len(rows)),
                    positions_mm=_heights(recipe) or (None,),
                    entries=tuple(entries),
                )
            )
    return out


def _prepared(
    seed: int, ages: np.ndarray, kind: Kind, recipes: Sequence[InputSettings], folder: Path
) -> list[dict[str, np.ndarray]]:
    """One head by each recipe: images, content, transform; made once for all recipes that have not
    kept it."""
    from expert.datasets.phantom import phantom_with_truth
    from expert.imaging.preprocessing import prepare
    from expert.imaging.registration import Registration

    places = [
        folder / f"{seed}-{_key(seed, ages.tolist(), kind, recipe)}.npz" for recipe in recipes
    ]
    missing = [n for n, place in enumerate(places) if not place.exists()]
    if missing:
        volume, truth = phantom_with_truth(seed=seed, **looks(kind, ages))  # type: ignore[arg-type]
        known = Registration.known(truth.template_to_subject)
        for n in missing:
            made = prepare(
                volume, recipes[n], positions_mm=_heights(recipes[n]), registration=known
            )
            _keep(
                places[n],
                {
                    "images": made.images,
                    "content": made.content,
                    "transform": truth.template_to_subject,
                },
            )
    return [_kept(place) for place in places]


def labelled(cohort: CohortArrays, labels: np.ndarray) -> CohortArrays:
    """The cohort with other labels (N,), years."""
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


def planted_change(seed: int, place: str, recipes: Sequence[InputSettings]) -> list[np.ndarray]:
    """How much of a head's grey a place changes between its youngest and its oldest look, 20 and 85
    years.

    The two heads are made without noise and coil shading: they differ where the place acts, and are
    equal to the last bit elsewhere. The difference is taken before grey values are scaled, for a
    scale is one for the whole head.

    Parameters
    ----------
    seed : the person
    place : one of `PLACES`
    recipes : in whose explained views the change is seen

    Returns
    -------
    One array per recipe, (V, *shape) float32: absolute difference in thousandths of full scale, 0
    where nothing was planted

    Raises
    ------
    InputError
        There is no such place.
    """
    from dataclasses import replace

    from expert.datasets.phantom import AGES, phantom_with_truth
    from expert.imaging.preprocessing import view_affine
    from expert.imaging.registration import Registration
    from expert.imaging.resampling import resample_to_template

    if place not in PLACES:
        raise InputError(
            f"No effect can be planted in '{place}': choose one of {', '.join(PLACES)}."
        )
    argument = {"ventricles": "ventricle_age", "left cortex": "left_cortex_age"}[place]
    (young, truth), (old, _) = (
        phantom_with_truth(AGE, seed, clean=True, **{argument: age}) for age in AGES
    )
    difference = replace(
        young, data=np.abs(young.data.astype(np.float32) - old.data.astype(np.float32))
    )
    known = Registration.known(truth.template_to_subject)
    out = []
    for recipe in recipes:
        flat = len(recipe.shape) == 2
        views = []
        for position in recipe.positions_mm if flat else (None,):
            affine = view_affine(recipe, position)
            if flat:  # the resampler wants three axes: a plane is a volume of one slice
                affine = affine[:, [2, 0, 1, 3]]
            shape = (1, *recipe.shape) if flat else recipe.shape
            views.append(
                resample_to_template(difference, known, affine, shape).reshape(recipe.shape)
            )
        out.append(np.stack(views))
    return out


def region_cells(change: np.ndarray, grid: tuple[int, ...], most: float = MOST) -> np.ndarray:
    """The fewest cells that together hold most of a change.

    Parameters
    ----------
    change : (V, *shape) 0 or larger
    grid : cells per axis
    most : part of each view's whole change, 0 to 1

    Returns
    -------
    (V, M) bool; all False in a view without any change
    """
    views = len(change)
    split = [
        part
        for size, cells in zip(change.shape[1:], grid, strict=True)
        for part in (cells, size // cells)
    ]
    boxes = (
        change.reshape(views, *split)
        .sum(axis=tuple(range(2, 2 * len(grid) + 1, 2)), dtype=float)
        .reshape(views, -1)
    )
    order = np.argsort(-boxes, axis=1, kind="stable")
    held = np.take_along_axis(boxes, order, axis=1)
    before = np.cumsum(held, axis=1) - held  # what the larger cells hold already
    needed = np.asarray((before < most * held.sum(axis=1, keepdims=True) * (1 - 1e-9)) & (held > 0))
    out = np.zeros_like(needed)
    np.put_along_axis(out, order, needed, axis=1)
    return out


def regions_of(
    people: People, recipes: Sequence[InputSettings], grids: Sequence[tuple[int, ...]], folder: Path
) -> list[dict[str, np.ndarray]]:
    """Cells whose content a planted age changes, person by person; kept in `folder`.

    Parameters
    ----------
    people : N, who
    recipes, grids : the explained views, and cells per axis of each one's feature grid
    folder : as in `prepare_people`

    Returns
    -------
    By recipe, then by place of `PLACES`: (N, V, M) bool
    """
    places = [
        folder / f"regions-{_key(people.seeds, grid, MOST, recipe)}.npz"
        for recipe, grid in zip(recipes, grids, strict=True)
    ]
    missing = [n for n, place in enumerate(places) if not place.exists()]
    found: dict[int, dict[str, list[np.ndarray]]] = {
        n: {place: [] for place in PLACES} for n in missing
    }
    for seed in people.seeds if missing else ():
        for place in PLACES:
            for n, change in zip(
                missing, planted_change(seed, place, [recipes[n] for n in missing]), strict=True
            ):
                found[n][place].append(region_cells(change, grids[n]))
    for n, cells in found.items():
        _keep(places[n], {place: np.stack(each) for place, each in cells.items()})
    return [_kept(place) for place in places]


def _key(*parts: object) -> str:
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


def _kept(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as loaded:
        return {name: np.asarray(loaded[name]) for name in loaded.files}


def _keep(path: Path, arrays: dict[str, np.ndarray]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]
    except OSError as error:
        raise InputError(
            f"The heads could not be kept in {path.parent}: {error.strerror}."
        ) from error


def _heights(recipe: InputSettings) -> tuple[float, ...] | None:
    if len(recipe.shape) == 3:
        return None
    return tuple(sorted({*recipe.training_positions_mm, *recipe.positions_mm}))


def _entry(kind: str, seed: int, images: np.ndarray) -> Entry:
    """A row of a table that was never written; its checksum is that of what the network sees."""
    name = f"planted-{kind.replace(' ', '-')}-{seed}"
    return Entry(
        name, name, Path(name), float("nan"), None, hashlib.sha256(images.tobytes()).hexdigest()
    )
