"""All measures of explanations together, over the subjects of a cohort: what `expert evaluate
--explanations` shows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from expert.errors import InputError
from expert.evaluation.bootstrap import Figure, over_subjects
from expert.evaluation.matching_quality import (
    Matched,
    cell_centers,
    chance_of,
    encode,
    follows,
    mean_of,
    measure_plans,
    plans,
    self_match,
)
from expert.patches import EMPTY, foreground_cells

if TYPE_CHECKING:
    from expert.comparison import ViewsResult
    from expert.datasets.prepared_dataset import CohortArrays
    from expert.evaluation.fidelity import Exactness
    from expert.model import PrototypeRegressor
    from expert.schema import InputRecipe

SUBJECTS = 24
"""How many subjects are measured unless said otherwise."""
CHANGES = ("noise", "shift of 1", "shift of 2", "flip")
"""That an explanation should survive, see `expert.evaluation.perturbations.slight_changes`."""


@dataclass(frozen=True)
class ExplanationMeasures:
    """What the explanations of a cohort are worth; figures over subjects, None where there was
    nothing to measure."""

    subjects: int
    views: int
    """Views of each subject, all of them measured (deletion and response: the middle one)."""
    self_match: dict[str, Figure | None]
    """By change: share of cells that find themselves, 0 to 1 (see
    `expert.evaluation.matching_quality.self_match`)."""
    prototypes: dict[str, Figure | None]
    """By measure (see `expert.evaluation.matching_quality.Matched`): an image and its prototypes,
    weighted by their shares."""
    between_subjects: dict[str, Figure | None]
    """The same between an image and that of another subject at the same height; and "follows":
    share of cells that find their place in the other's image when that is shifted by a cell, 0 to
    1."""
    own_left_out: int
    """Pairs of subject and prototype left out of `prototypes` because the prototype shows the
    subject itself."""
    exactness: Exactness
    """The largest over all subjects."""
    effective_prototypes: Figure | None
    """How many prototypes hold 80 % of the weight."""
    distinct_prototypes: int | None
    source_label_gap: float | None
    """Mean |label a prototype votes with - label of the image it shows|, label units."""
    stability: dict[str, dict[str, Figure | None]]
    """By change, then by measure (see `expert.evaluation.fidelity.Stability`)."""
    deletion: dict[str, Figure | None]
    """"ordered", "random" and "gain" (see `expert.evaluation.deletion.Deletion`), label units."""
    outside_response: Figure | None
    """Part of a cell's response that comes from outside its box, 0 to 1."""
    receptive_field: int
    """Input cells per axis that a feature cell can see."""
    cell: tuple[int, ...]
    """Input cells per axis of a feature cell's box."""
    unit: str

    def lines(self) -> list[tuple[str, str]]:
        """(name, value) pairs for a table."""
        unit, e = self.unit, self.exactness
        out = [("subjects, views each", f"{self.subjects}, {self.views}")]
        out += [
            (f"self-match: {name}", _percent(figure)) for name, figure in self.self_match.items()
        ]
        for what, measured in (
            ("to prototypes", self.prototypes),
            ("to other subjects", self.between_subjects),
        ):
            out += [
                (f"displacement {what}", _text(measured["displacement_mm"], "mm")),
                (f"best share {what}", _text(measured["best_share"], digits=2)),
                (f"mass on background {what}", _percent(measured["background_mass"])),
                (f"left–right confusion {what}", _percent(measured["side_confusion"])),
            ]
        out.append(
            ("place found in shifted other subjects", _percent(self.between_subjects["follows"]))
        )
        if self.own_left_out:
            out.append(("prototypes left out: the subject itself", str(self.own_left_out)))
        out += [
            ("largest error of Σ shares·labels", f"{e.prediction:.1e} {unit}"),
            ("largest error of Σ contributions", f"{e.distance:.1e} {unit}"),
            ("largest difference to single precision", f"{e.forward:.1e} {unit}"),
            ("largest error of a plan's margins", f"{e.marginal_error:.1e}"),
            ("effective prototypes (80 % of weight)", _text(self.effective_prototypes)),
        ]
        if self.distinct_prototypes is not None:
            out.append(("distinct prototypes", str(self.distinct_prototypes)))
        if self.source_label_gap is not None:
            out.append(("source-label gap", f"{self.source_label_gap:.2f} {unit}"))
        for name, measured in self.stability.items():
            out += [
                (
                    f"{name}: same five prototypes (Jaccard)",
                    _text(measured["prototypes"], digits=2),
                ),
                (f"{name}: same partner", _percent(measured["matches"])),
                (f"{name}: prediction moves by", _text(measured["prediction"], unit, 2)),
            ]
        out += [
            ("deletion: area in the order of pull", _text(self.deletion["ordered"], unit, 2)),
            ("deletion: area in random order", _text(self.deletion["random"], unit, 2)),
            ("deletion: area between the two", _text(self.deletion["gain"], unit, 2)),
            ("response from outside a cell's box", _percent(self.outside_response)),
            (
                "receptive field, box of a cell",
                f"{self.receptive_field}, {'×'.join(map(str, self.cell))} pixels",
            ),
        ]
        return out


def _text(figure: Figure | None, unit: str = "", digits: int = 1) -> str:
    if figure is None:
        return "nothing to measure"
    chance = "" if figure.chance is None else f"; chance {figure.chance:.{digits}f}"
    return (
        f"{figure.value:.{digits}f}{' ' * bool(unit)}{unit} (95 %: {figure.low:.{digits}f} – "
        f"{figure.high:.{digits}f}{chance})"
    )


def _percent(figure: Figure | None) -> str:
    if figure is None:
        return "nothing to measure"
    chance = "" if figure.chance is None else f"; chance {figure.chance:.1%}"
    return f"{figure.value:.1%} (95 %: {figure.low:.1%} – {figure.high:.1%}{chance})"


def measure_explanations(
    network: PrototypeRegressor,
    recipe: InputRecipe,
    cohort: CohortArrays,
    *,
    subjects: int = SUBJECTS,
    seed: int = 0,
    source_subjects: Sequence[str] | None = None,
    source_labels: np.ndarray | None = None,
    unit: str = "",
    progress: Callable[[str, float], None] | None = None,
) -> ExplanationMeasures:
    """Measure the explanations of a network on subjects, at best on such that it was not trained
    on.

    Parameters
    ----------
    network : on the CPU: `Model.network`, or that of a fold; measured in evaluation mode, and left
        in the mode it came in
    recipe : how `cohort` was prepared; its explained planes are measured
    cohort : from `expert.datasets.prepared_dataset.load_cohort`; one image of each subject is
        measured, all serve the mean pictures
    subjects : how many to measure, drawn by `seed`; all where there are fewer
    seed : of the draw, the noise, the pairs and the random orders
    source_subjects : (P,) the subject each prototype shows, as `cohort.entries` call it: a
        subject's own prototype is left out of the measures between it and its prototypes; None
        where it is unknown
    source_labels : (P,) labels of the images the prototypes show; None where they are unknown
    unit : of the label
    progress : called with "explain" and a fraction

    Returns
    -------
    ExplanationMeasures; the same for the same arguments

    Raises
    ------
    InputError
        Fewer than one subject is asked for.

    Source: each measure's own module (`expert.evaluation.matching_quality`,
    `expert.evaluation.fidelity`, `expert.evaluation.deletion`).
    """
    from expert.evaluation.deletion import receptive_field
    from expert.evaluation.fidelity import Exactness

    if subjects < 1:
        raise InputError(f"At least one subject must be measured, not {subjects}.")
    planes = cohort.planes(recipe.positions_mm) if len(cohort.positions_mm) > 1 else [0]
    names = np.array([entry.subject for entry in cohort.entries])
    images, content = cohort.images[:, planes], cohort.content[:, planes]
    rows = _drawn(names, subjects, seed)
    centers = [cell_centers(recipe, network.grid, cohort.positions_mm[plane]) for plane in planes]
    study = _Study(
        network,
        images,
        content,
        names,
        centers,
        _prototype_foreground(network, content),
        source_subjects,
    )
    values: dict[str, list[float]] = defaultdict(list)
    chances: dict[str, list[float]] = defaultdict(list)
    exact, left_out = [], 0
    was_training = network.training
    network.eval()
    for number, row in enumerate(rows):
        other = (
            rows[(number + 1) % len(rows)] if len(rows) > 1 else None
        )  # the draw's order is random: so are the pairs
        found, chance, exactly = study.subject(int(row), other, seed)
        exact.append(exactly)
        left_out += int(study.own(int(row)).sum())
        for name, value in found.items():
            values[name].append(value)
            chances[name].append(chance.get(name, np.nan))
        if progress is not None:
            progress("explain", (number + 1) / len(rows))
    network.train(was_training)

    def figure(name: str) -> Figure | None:
        known = np.isfinite(chances[name]).any() if name in chances else False
        return (
            over_subjects(values[name], chances[name] if known else None)
            if name in values
            else None
        )

    def group(prefix: str) -> dict[str, Figure | None]:
        return {
            name.removeprefix(prefix + " "): figure(name)
            for name in values
            if name.startswith(prefix + " ")
        }

    matched = [field.name for field in fields(Matched)]
    labels = network.prototype_labels.double().numpy()
    return ExplanationMeasures(
        subjects=len(rows),
        views=len(planes),
        self_match=group("self"),
        prototypes={name: figure(f"prototype {name}") for name in matched},
        between_subjects={name: figure(f"between {name}") for name in ("follows", *matched)},
        own_left_out=left_out,
        exactness=Exactness(
            **{f.name: max(getattr(one, f.name) for one in exact) for f in fields(Exactness)}
        ),
        effective_prototypes=figure("effective"),
        distinct_prototypes=None if source_subjects is None else len({*source_subjects}),
        source_label_gap=None
        if source_labels is None
        else float(np.abs(labels - source_labels).mean()),
        stability={change: group(f"stable {change}") for change in CHANGES},
        deletion={name: figure(f"deletion {name}") for name in ("ordered", "random", "gain")},
        outside_response=figure("outside"),
        receptive_field=receptive_field(network.architecture),
        cell=tuple(n // g for n, g in zip(images.shape[2:], network.grid, strict=True)),
        unit=unit,
    )


def _drawn(names: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Rows of some subjects in random order: the first row of each."""
    people, first = np.unique(names, return_index=True)
    return np.asarray(first[np.random.default_rng(seed).permutation(len(people))[:count]])


def _prototype_foreground(network: PrototypeRegressor, content: np.ndarray) -> np.ndarray:
    """(planes * P, M) bool: from the prototypes' masses where these tell of content, else the
    cohort's mean foreground."""
    mass = network.prototype_mass.double().numpy()
    if network.architecture.marginals == "content":
        return np.asarray(mass >= EMPTY / mass.shape[1])
    average = content.reshape(-1, *content.shape[2:]).mean(axis=0, dtype=np.float32)
    return np.repeat(foreground_cells(average[None], network.grid), len(mass), axis=0)


@dataclass(frozen=True, eq=False)
class _Study:
    """What every subject is measured with."""

    network: PrototypeRegressor
    images: np.ndarray
    """(N, V, *shape) 0 to 255."""
    content: np.ndarray
    names: np.ndarray
    """(N,) subjects."""
    centers: list[np.ndarray | None]
    """Per view."""
    shown: np.ndarray
    """(planes * P, M) bool, foreground of the prototypes, as `PrototypeRegressor.prototypes` are
    ordered."""
    sources: Sequence[str] | None

    def own(self, row: int) -> np.ndarray:
        """(P,) bool: prototypes that show the subject itself."""
        count = self.network.architecture.prototypes
        return (
            np.zeros(count, dtype=bool)
            if self.sources is None
            else np.array(self.sources) == self.names[row]
        )

    def subject(
        self, row: int, other: int | None, seed: int
    ) -> tuple[dict[str, float], dict[str, float], Exactness]:
        """Every measure of one subject (means over its views), what chance gives, and how exact it
        is."""
        from expert.comparison import compare_images
        from expert.evaluation.fidelity import exactness, stability
        from expert.explanation import effective_prototypes

        network, images, content = self.network, self.images[row], self.content[row]
        result = compare_images(network, images, content)
        found: dict[str, list[float]] = defaultdict(list)
        blind: dict[str, list[float]] = defaultdict(list)
        for n, centers in enumerate(self.centers):
            itself, chance = self_match(network, images[n], content[n])
            for name in itself:
                found[f"self {name}"].append(itself[name])
                blind[f"self {name}"].append(chance[name])
            plan = {"prototype": self._to_prototypes(result, n, row)}
            if other is not None:
                plan["between"] = self._to_subject(n, row, other)
                place, blindly = follows(
                    network, images[n], content[n], self.images[other, n], self.content[other, n]
                )
                found["between follows"].append(place)
                blind["between follows"].append(blindly)
            for kind, (flow, own, partners, weights) in plan.items():
                if not weights.any():
                    continue
                measured, chances = (
                    asdict(f)
                    for f in (
                        measure_plans(flow, own, partners, weights, centers),
                        chance_of(own, partners, weights, centers),
                    )
                )
                for name in measured:
                    found[f"{kind} {name}"].append(measured[name])
                    blind[f"{kind} {name}"].append(chances[name])
        values = {name: mean_of(every) for name, every in found.items()}
        values["effective"] = effective_prototypes(result.shares[None])
        for change, steady in stability(network, images, content, result, _seed(seed, row)).items():
            values |= {f"stable {change} {name}": value for name, value in asdict(steady).items()}
        values |= self._occluded(result, row, seed)
        return (
            values,
            {n: mean_of(e) for n, e in blind.items()},
            exactness(network, images, content, result),
        )

    def _to_prototypes(self, result: ViewsResult, view: int, row: int) -> tuple[np.ndarray, ...]:
        """Plans to the prototypes, the image's and their foreground, and what each counts: its
        share, but itself nothing."""
        own = self.own(row)
        shares, near = result.view_shares[view], result.distances[view]
        if result.together is not None:
            shares, near = result.shares, result.mean_distances
        weights = np.where(own, 0.0, shares)
        if weights.sum() < 1e-9 and not own.all():
            # All the weight lay on the subject itself: the nearest of the others would answer.
            weights[np.where(own, np.inf, near).argmin()] = 1.0
        there = foreground_cells(self.content[row, view][None], self.network.grid)[0]
        used = weights > 0
        first = view * len(used) if self.network.architecture.planes > 1 else 0
        return (
            result.flow[view][used],
            there,
            self.shown[first : first + len(used)][used],
            weights[used],
        )

    def _to_subject(self, view: int, row: int, other: int) -> tuple[np.ndarray, ...]:
        """The same for the plan to another subject's image of the same height."""
        one = encode(self.network, self.images[row, view][None], self.content[row, view][None])
        two = encode(self.network, self.images[other, view][None], self.content[other, view][None])
        return (
            plans(self.network, one, two, guided=True),
            one.foreground[0],
            two.foreground,
            np.ones(1),
        )

    def _occluded(self, result: ViewsResult, row: int, seed: int) -> dict[str, float]:
        """Deletion and the response from outside, in the view nearest the middle (the deletion: in
        which prototypes pull)."""
        from expert.evaluation.deletion import deletion, mean_pictures, outside_response

        if len(np.unique(self.names)) < 2:
            return {}
        order = np.argsort(
            np.abs(np.arange(len(self.centers)) - (len(self.centers) - 1) / 2), kind="stable"
        )
        replacement = mean_pictures(self.images, self.names, row)
        images, content = self.images[row], self.content[row]
        fell = result.fallbacks if result.together is None else np.full(len(order), result.fallback)
        view = next((int(n) for n in order if not fell[n]), int(order[0]))
        gone = deletion(
            self.network,
            images[view],
            content[view],
            replacement[view],
            result,
            view,
            _seed(seed, row),
        )
        areas = (
            {}
            if gone is None
            else {"ordered": gone.ordered, "random": gone.random, "gain": gone.gain}
        )
        middle = order[0]
        return {
            **{
                f"deletion {name}": areas.get(name, np.nan)
                for name in ("ordered", "random", "gain")
            },
            "outside": outside_response(
                self.network, images[middle], content[middle], replacement[middle]
            ),
        }


def _seed(seed: int, row: int) -> int:
    """Another stream for every row; far enough apart that views may count on from it."""
    return (seed * 1_000_003 + row) * 1_000
