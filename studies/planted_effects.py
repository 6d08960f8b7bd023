"""The study of planted effects: is what was planted learnt, and do the explanations point there,
and nowhere without an effect?

Every cohort of `studies.planted_data` trains models, from different seeds (and, where labels are
dealt out at random, with another deal each); held-out heads are predicted and explained; an
untrained network is held against it. Figures are means over held-out heads and trainings, and so
are their intervals: without an effect, a training still points somewhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from expert.errors import InputError
from expert.evaluation.bootstrap import Figure, over_both
from expert.training.recipe import Recipe
from studies.planted_data import (
    COHORTS,
    PLACES,
    Cohort,
    draw_people,
    labelled,
    prepare_people,
    regions_of,
)

if TYPE_CHECKING:
    from expert.datasets.prepared_dataset import CohortArrays
    from expert.model import PrototypeRegressor

TRAINING, HELD_OUT, REPEATS, SEED = 40, 15, 5, 77
"""Heads that train, heads that are measured, trainings of each cohort, and the seed of the
people."""


def study_recipe() -> Recipe:
    """The small model of the study: boxes of 40 mm by the tissue they hold (`expert.backbone`), few
    prototypes."""
    return Recipe.model_validate(
        {
            "name": "tissue, 3D",
            "label_unit": "years",
            "dataset": "synthetic heads with planted effects (expert.planted)",
            "licence": "none needed",
            "start": "subjects",
            "calibrate_scale": True,
            "input": {
                "space": "mni",
                "shape": [32, 40, 32],
                "spacing_mm": 5.0,
                "center_mm": [6.0, -18.0, 0.0],
                "intensity": "white matter",
            },
            "architecture": {
                "dimensions": 3,
                "backbone": "histogram",
                "bins": 20,
                "widths": [32, 32],
                "pool": 8,
                "channels": 16,
                "prototypes": 10,
                "radius": 30.0,
                "marginals": "content",
                "prior": 0.15,
            },
            "augmentation": {
                "rotation_deg": 2.0,
                "scale": 0.02,
                "shift": 0.0,
                "bias": 0.02,
                "copies": 4,
            },
            "warmup": {"epochs": 40, "learning_rate": 0.01, "flip": 0.0},
            "schedule": {
                "epochs": 15,
                "batch": 16,
                "views": 8,
                "optimizer": "adamw",
                "decay": "cosine",
                "backbone_rate": 0.002,
                "head_rate": 0.005,
                "steps": [6, 4],
            },
            "losses": {"sigma": 10.0, "consistency": 0.0, "prediction": 1.0, "alignment": 1.0},
            "projection": {
                "epochs": [0],
                "every": 5,
                "window": 20.0,
                "distinct": True,
                "relabel": True,
            },
        }
    )


@dataclass(frozen=True)
class Pointing:
    """Whether what speaks lies in the place where an effect was (or could have been) planted."""

    strongest: Figure | None
    """Heads whose strongest foreground cell lies in the region; chance: the region's share of the
    foreground cells."""
    share: Figure | None
    """Share of the foreground's absolute values inside the region; chance: its share of the
    foreground's mass."""
    least: float
    """The lowest `strongest` of any one training, 0 to 1; equal to `most` for a single one."""
    most: float


@dataclass(frozen=True)
class Outcome:
    """One cohort and one recipe, trained or not."""

    recipe: str
    cohort: str
    planted: str | None
    """The place the label was planted in; None where it was not, and for ageing, which acts in both
    and in the right cortex."""
    trained: bool
    repeats: int
    mae: Figure | None
    """Mean absolute error, label units."""
    mean_mae: Figure | None
    """That of always answering the mean label of the training heads."""
    gain: Figure | None
    """The second less the first, head by head: above 0 where something was learnt."""
    answer: dict[str, Pointing]
    """By place: the pull on the answer (`expert.attribution.pull`)."""
    pair: dict[str, Pointing]
    """By place: what speaks for the prototype of the highest label rather than for that of the
    lowest."""
    own_place: Figure | None
    """Share of a foreground cell's mass that is matched to the same cell of the prototypes,
    weighted by their shares."""


def run_study(
    out: str | Path,
    recipes: Sequence[Recipe] | None = None,
    *,
    cohorts: Sequence[Cohort] = COHORTS,
    training: int = TRAINING,
    held_out: int = HELD_OUT,
    repeats: int = REPEATS,
    seed: int = SEED,
    progress: Callable[[str, float], None] | None = None,
) -> list[Outcome]:
    """Train on planted effects, measure, and write `planted.md` and `planted.json`.

    Parameters
    ----------
    out : folder; heads and trainings are kept in it, and what was finished is not done again
    recipes : for heads, with different names; `study_recipe` alone if None
    cohorts : of `studies.planted_data.COHORTS`
    training, held_out : heads, at least 2 each, and as many to train on as a recipe has prototypes
    repeats : trainings of each cohort, from different seeds
    seed : of the people
    progress : called with "heads" or "models" and a fraction

    Returns
    -------
    Outcomes in the order of recipes and cohorts, the trained models before the untrained ones

    Raises
    ------
    InputError
        A number is too small, two recipes have one name, a recipe is not for heads, or the folder
        cannot be written.
    """
    settings = [study_recipe()] if recipes is None else list(recipes)
    _check(settings, cohorts, training, repeats)
    folder = Path(out)
    people = (draw_people(training, seed), draw_people(held_out, seed, training))
    grids = [recipe.grid for recipe in settings]
    kinds = list(dict.fromkeys(cohort.heads for cohort in cohorts))
    inputs = [recipe.input for recipe in settings]
    whole = training + held_out
    heads = [
        prepare_people(
            who,
            kinds,
            inputs,
            folder / "heads",
            progress=_part(progress, "heads", start / whole, part / whole),
        )
        for who, start, part in zip(people, (0, training), (training, held_out), strict=True)
    ]
    regions = regions_of(people[1], inputs, grids, folder / "heads")
    trained, untrained = [], []
    for which, recipe in enumerate(settings):
        for number, cohort in enumerate(cohorts):
            runs: dict[bool, list[dict[str, np.ndarray]]] = {True: [], False: []}
            for repeat in range(repeats):
                dealt = [
                    labelled(made[cohort.heads][which], who.labels(cohort.label, repeat))
                    for made, who in zip(heads, people, strict=True)
                ]
                place = (
                    folder
                    / "models"
                    / f"{recipe.name}-{cohort.name}-{repeat}".replace(",", "").replace(" ", "-")
                )
                for learnt, values in _one(
                    recipe, dealt[0], dealt[1], regions[which], place, repeat
                ).items():
                    runs[learnt].append(values)
                if progress is not None:
                    done = which * len(cohorts) + number + (repeat + 1) / repeats
                    progress("models", done / (len(settings) * len(cohorts)))
            trained.append(_outcome(recipe, cohort, True, runs[True]))
            untrained.append(_outcome(recipe, cohort, False, runs[False]))
    outcomes = [*trained, *untrained]
    _write(
        folder,
        outcomes,
        {"training": training, "held_out": held_out, "repeats": repeats, "seed": seed},
    )
    return outcomes


def _check(
    recipes: Sequence[Recipe], cohorts: Sequence[Cohort], training: int, repeats: int
) -> None:
    if not cohorts or repeats < 1:
        raise InputError("A study needs at least one cohort and one training of it.")
    if len({recipe.name for recipe in recipes}) < len(recipes):
        raise InputError(
            "Two recipes have the same name: their results could not be told apart. Rename "
            "one of them."
        )
    for recipe in recipes:
        if recipe.input.space != "mni":
            raise InputError(
                f"Planted effects lie in heads: input.space of {recipe.name} must be mni."
            )
        if recipe.architecture.prototypes > training:
            raise InputError(
                f"{recipe.name} has {recipe.architecture.prototypes} prototypes, more than "
                f"the {training} heads that train: "
                "make more heads or lower architecture.prototypes."
            )


def _part(
    progress: Callable[[str, float], None] | None, stage: str, start: float, length: float
) -> Callable[[float], None] | None:
    return None if progress is None else lambda fraction: progress(stage, start + length * fraction)


def _one(
    recipe: Recipe,
    training: CohortArrays,
    held_out: CohortArrays,
    regions: dict[str, np.ndarray],
    folder: Path,
    repeat: int,
) -> dict[bool, dict[str, np.ndarray]]:
    """Train, and measure the trained (True) and an untrained network (False) on the held-out
    heads."""
    from expert.training.stages import fit
    from studies.untrained_baseline import untrained

    task = fit(
        recipe, training, _claimed(folder, recipe, training), seed=recipe.schedule.seed + repeat
    )
    network = task.network.eval()
    blank, _ = untrained(network, recipe.input, training, seed=repeat)
    mean = float(training.labels.mean())
    return {
        learnt: measure_pointing(model, held_out, task.views, regions)
        | {"mean": np.abs(held_out.labels - mean)}
        for learnt, model in ((True, network), (False, blank))
    }


def _claimed(folder: Path, recipe: Recipe, cohort: CohortArrays) -> Path:
    """The folder of a training, a subfolder of its own for every recipe and every set of images and
    labels."""
    import hashlib

    identity = [
        recipe.model_dump(mode="json"),
        cohort.labels.tolist(),
        [entry.sha256 for entry in cohort.entries],
    ]
    return folder / hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]


def measure_pointing(
    network: PrototypeRegressor,
    cohort: CohortArrays,
    views: Sequence[int],
    regions: dict[str, np.ndarray],
) -> dict[str, np.ndarray]:
    """Predict and explain each head, and see where what speaks lies.

    Parameters
    ----------
    network : in evaluation mode
    cohort : N heads with labels
    views : indices of the V explained planes
    regions : by place, (N, V, M) bool

    Returns
    -------
    (N,) arrays, means over the views, NaN where there was nothing to measure: "error" (label
    units); "own place"; for "answer" and "pair" and each place "strongest" and "share", such as
    "pair ventricles share"; with " chance" appended, what chance gives
    """
    from expert.attribution import pull
    from expert.comparison import compare_images
    from expert.evaluation.matching_quality import mean_of
    from expert.patches import foreground_cells

    labels = network.prototype_labels.double().numpy()
    oldest, youngest = int(labels.argmax()), int(labels.argmin())
    rows: list[dict[str, float]] = []
    for n in range(len(cohort.labels)):
        images, content = cohort.images[n, list(views)], cohort.content[n, list(views)]
        result = compare_images(network, images, content)
        seen: dict[str, list[float]] = {}
        foreground, together = foreground_cells(content, network.grid), result.together is not None
        for v in range(len(images)):
            inside, mass = foreground[v], result.mass[v]
            shares = result.shares if together else result.view_shares[v]
            parts = result.scale * (result.flow[v] * result.cost[v]).sum(-1)
            spoken = {"pair": parts[youngest] - parts[oldest]}  # as `expert.attribution.between`
            if not (
                result.fallback if together else result.fallbacks[v]
            ):  # as `expert.attribution.for_answer`
                distances = result.mean_distances if together else result.distances[v]
                spoken["answer"] = pull(
                    distances,
                    shares,
                    parts / len(images) if together else parts,
                    labels,
                    result.radius,
                )
            for what, values in spoken.items():
                for place, region in regions.items():
                    for name, value in _in_region(
                        np.abs(values), mass, inside, region[n, v]
                    ).items():
                        seen.setdefault(f"{what} {place} {name}", []).append(value)
            stays = np.diagonal(result.flow[v], axis1=1, axis2=2) / np.maximum(
                result.flow[v].sum(-1), 1e-12
            )
            seen.setdefault("own place", []).append(float(shares @ stays[:, inside].mean(1)))
            seen.setdefault("own place chance", []).append(1 / max(int(inside.sum()), 1))
        rows.append({name: mean_of(values) for name, values in seen.items()})
        rows[-1]["error"] = abs(result.prediction - cohort.labels[n])
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {name: np.array([row.get(name, np.nan) for row in rows]) for name in names}


def _in_region(
    values: np.ndarray, mass: np.ndarray, foreground: np.ndarray, region: np.ndarray
) -> dict[str, float]:
    """Whether the largest of the foreground's values (M,) lies in the region, what share of them
    does, and chance."""
    there = region & foreground
    total = values[foreground].sum()
    if not there.any() or total <= 0:
        return {}
    return {
        "strongest": float(there[np.where(foreground, values, -1.0).argmax()]),
        "strongest chance": float(there.sum() / foreground.sum()),
        "share": float(values[there].sum() / total),
        "share chance": float(mass[there].sum() / mass[foreground].sum()),
    }


def _outcome(
    recipe: Recipe, cohort: Cohort, trained: bool, runs: list[dict[str, np.ndarray]]
) -> Outcome:
    def every(name: str) -> np.ndarray:
        """(repeats, N)."""
        return np.stack([run.get(name, np.full(len(run["error"]), np.nan)) for run in runs])

    def figure(name: str, chance: str | None = None) -> Figure | None:
        return over_both(every(name), None if chance is None else every(chance))

    def pointing(what: str) -> dict[str, Pointing]:
        out = {}
        for place in PLACES:
            strongest, share = (
                figure(f"{what} {place} {n}", f"{what} {place} {n} chance")
                for n in ("strongest", "share")
            )
            each = [
                row[np.isfinite(row)].mean()
                for row in every(f"{what} {place} strongest")
                if np.isfinite(row).any()
            ]
            least, most = (float(min(each)), float(max(each))) if each else (0.0, 0.0)
            out[place] = Pointing(strongest, share, least, most)
        return out

    return Outcome(
        recipe=recipe.name,
        cohort=cohort.name,
        planted=cohort.label if cohort.label in PLACES else None,
        trained=trained,
        repeats=len(runs),
        mae=figure("error"),
        mean_mae=figure("mean"),
        gain=over_both(every("mean") - every("error")),
        answer=pointing("answer"),
        pair=pointing("pair"),
        own_place=figure("own place", "own place chance"),
    )


def _write(folder: Path, outcomes: Sequence[Outcome], settings: dict[str, int]) -> None:
    try:
        (folder / "planted.json").write_text(
            json.dumps(
                {"settings": settings, "outcomes": [asdict(outcome) for outcome in outcomes]},
                indent=1,
            )
            + "\n",
            encoding="utf-8",
        )
        (folder / "planted.md").write_text(
            "\n".join(markdown(outcomes, settings)) + "\n", encoding="utf-8"
        )
    except OSError as error:
        raise InputError(
            f"The results could not be written to {folder}: {error.strerror}."
        ) from error


def markdown(outcomes: Sequence[Outcome], settings: dict[str, int]) -> list[str]:
    """Lines of `planted.md`: what was learnt, and where the explanations point."""
    out = [
        "# Planted effects",
        "",
        f"{settings['training']} heads train, {settings['held_out']} others are measured; "
        f"{settings['repeats']} trainings of "
        f"each cohort; seed {settings['seed']}. In brackets the 95 % interval over "
        "trainings and held-out heads.",
    ]
    for recipe in dict.fromkeys(outcome.recipe for outcome in outcomes):
        mine = [outcome for outcome in outcomes if outcome.recipe == recipe]
        out += [
            "",
            f"## {recipe}",
            "",
            "| cohort | | error, years | mean predictor | gain | own place, % (chance) |",
        ]
        out += ["|---|---|---:|---:|---:|---:|"]
        for o in mine:
            model = "trained" if o.trained else "untrained"
            out.append(
                f"| {o.cohort} | {model} | {_number(o.mae)} | "
                f"{_number(o.mean_mae, bare=True)} | {_number(o.gain)} "
                f"| {_percent(o.own_place)} |"
            )
        for place in PLACES:
            out += ["", f"Pointing at the {place}, % (chance):", ""]
            heads = [
                "",
                "planted here",
                "strongest, answer",
                "by training",
                "share, answer",
                "strongest, pair",
                "share, pair",
            ]
            out += [f"| cohort | {' | '.join(heads)} |", "|---|---|---|---:|---:|---:|---:|---:|"]
            for o in mine:
                a, p = o.answer[place], o.pair[place]
                cells = [
                    o.cohort,
                    "trained" if o.trained else "untrained",
                    "yes" if o.planted == place else "",
                    _percent(a.strongest),
                    f"{100 * a.least:.0f} – {100 * a.most:.0f}",
                    _percent(a.share),
                    _percent(p.strongest),
                    _percent(p.share),
                ]
                out.append(f"| {' | '.join(cells)} |")
    return out


def _number(figure: Figure | None, bare: bool = False) -> str:
    if figure is None:
        return ""
    return f"{figure.value:.1f}" + ("" if bare else f" ({figure.low:.1f} – {figure.high:.1f})")


def _percent(figure: Figure | None) -> str:
    if figure is None:
        return ""
    chance = "" if figure.chance is None else f"; {100 * figure.chance:.0f}"
    return f"{100 * figure.value:.0f} ({100 * figure.low:.0f} – {100 * figure.high:.0f}{chance})"
