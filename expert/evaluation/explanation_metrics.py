"""All measures of explanations, over a cohort: the table of `expert evaluate --explanations`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from expert.errors import InputError
from expert.evaluation.bootstrap import Estimate, mean_over_subjects
from expert.evaluation.matching_quality import PlanMetrics, patch_centers
from expert.patches import EMPTY, foreground_patches

if TYPE_CHECKING:
    from expert.datasets.prepared_dataset import CohortArrays
    from expert.evaluation.fidelity import Exactness
    from expert.model import PrototypeRegressor
    from expert.schema import InputSettings

DEFAULT_SUBJECTS = 24
"""Default number of subjects to measure."""
CHANGES = ("noise", "shift of 1", "shift of 2", "flip")
"""Names of `expert.evaluation.perturbations.slight_changes`."""


@dataclass(frozen=True)
class ExplanationMeasures:
    """Measures of the explanations of a cohort: means over subjects, None where not defined."""

    subjects: int
    views: int
    """Views per subject, all of them measured (deletion and response from outside: the middle
    one)."""
    self_match: dict[str, Estimate | None]
    """By change: fraction of patches that are matched correctly in a changed copy of the same
    image, 0 to 1 (see `expert.evaluation.matching_quality.self_match`)."""
    prototypes: dict[str, Estimate | None]
    """By measure (see `expert.evaluation.matching_quality.PlanMetrics`): matches between an image
    and its prototypes, averaged by the prototypes' weights."""
    between_subjects: dict[str, Estimate | None]
    """The same between an image and that of another subject at the same height; and "follows":
    fraction of patches that are matched correctly in the other image after a shift by one patch, 0
    to 1."""
    own_left_out: int
    """Pairs of subject and prototype that are left out of `prototypes` because the prototype shows
    the subject itself."""
    exactness: Exactness
    """Largest values over all subjects."""
    effective_prototypes: Estimate | None
    """Number of prototypes that hold 80 % of the weight."""
    distinct_prototypes: int | None
    source_label_gap: float | None
    """Mean |label of a prototype - label of the image it shows|, label units."""
    stability: dict[str, dict[str, Estimate | None]]
    """By change, then by measure (see `expert.evaluation.fidelity.Stability`)."""
    deletion: dict[str, Estimate | None]
    """"ordered", "random" and "gain" (see `expert.evaluation.deletion.Deletion`), label units."""
    outside_response: Estimate | None
    """Fraction of a patch's response that comes from outside the patch, 0 to 1."""
    receptive_field: int
    """Receptive field of a feature, pixels per axis."""
    cell: tuple[int, ...]
    """Size of a patch, pixels per axis."""
    unit: str

    def lines(self) -> list[tuple[str, str]]:
        """Rows of the table.

        Returns
        -------
        list of (str, str)
            Name and value.
        """
        unit, e = self.unit, self.exactness
        out = [("subjects, views each", f"{self.subjects}, {self.views}")]
        out += [
            (f"self-match: {name}", _percent(estimate))
            for name, estimate in self.self_match.items()
        ]
        for what, measured in (
            ("to prototypes", self.prototypes),
            ("to other subjects", self.between_subjects),
        ):
            out += [
                (f"displacement {what}", _text(measured["displacement_mm"], "mm")),
                (f"best match {what} (fraction)", _text(measured["best_share"], digits=2)),
                (f"mass on background {what}", _percent(measured["background_mass"])),
                (f"left–right confusion {what}", _percent(measured["side_confusion"])),
            ]
        out.append(
            ("self-match: shift, in other subjects", _percent(self.between_subjects["follows"]))
        )
        if self.own_left_out:
            out.append(("prototypes left out (same subject)", str(self.own_left_out)))
        out += [
            ("largest error of Σ weights · labels", f"{e.prediction:.1e} {unit}"),
            ("largest error of Σ contributions", f"{e.distance:.1e} {unit}"),
            ("largest difference in single precision", f"{e.forward:.1e} {unit}"),
            ("largest error of a plan's marginals", f"{e.marginal_error:.1e}"),
            ("effective prototypes (80 % of weight)", _text(self.effective_prototypes)),
        ]
        if self.distinct_prototypes is not None:
            out.append(("distinct prototypes", str(self.distinct_prototypes)))
        if self.source_label_gap is not None:
            out.append(("source-label gap", f"{self.source_label_gap:.2f} {unit}"))
        for name, measured in self.stability.items():
            out += [
                (f"{name}: top five prototypes (Jaccard)", _text(measured["prototypes"], digits=2)),
                (f"{name}: same best match", _percent(measured["matches"])),
                (
                    f"{name}: contributions (rank correlation)",
                    _text(measured["contributions"], digits=2),
                ),
                (f"{name}: change of the prediction", _text(measured["prediction"], unit, 2)),
            ]
        size = "×".join(map(str, self.cell))
        return [
            *out,
            ("deletion: area, by contribution", _text(self.deletion["ordered"], unit, 2)),
            ("deletion: area, random order", _text(self.deletion["random"], unit, 2)),
            ("deletion: area between the two", _text(self.deletion["gain"], unit, 2)),
            ("response from outside the patch", _percent(self.outside_response)),
            ("receptive field, size of a patch", f"{self.receptive_field}, {size} pixels"),
        ]


def _text(estimate: Estimate | None, unit: str = "", digits: int = 1) -> str:
    if estimate is None:
        return "not available"
    chance = "" if estimate.chance is None else f"; chance {estimate.chance:.{digits}f}"
    return (
        f"{estimate.value:.{digits}f}{' ' * bool(unit)}{unit} (95 %: {estimate.low:.{digits}f} – "
        f"{estimate.high:.{digits}f}{chance})"
    )


def _percent(estimate: Estimate | None) -> str:
    if estimate is None:
        return "not available"
    chance = "" if estimate.chance is None else f"; chance {estimate.chance:.1%}"
    return f"{estimate.value:.1%} (95 %: {estimate.low:.1%} – {estimate.high:.1%}{chance})"


def measure_explanations(
    network: PrototypeRegressor,
    settings: InputSettings,
    cohort: CohortArrays,
    *,
    subjects: int = DEFAULT_SUBJECTS,
    seed: int = 0,
    source_subjects: Sequence[str] | None = None,
    source_labels: np.ndarray | None = None,
    unit: str = "",
    progress: Callable[[str, float], None] | None = None,
) -> ExplanationMeasures:
    """Measure the explanations of a network, preferably on subjects it was not trained on.

    Parameters
    ----------
    network : PrototypeRegressor
        On the CPU: `Model.network`, or that of a fold. It is measured in evaluation mode, and its
        mode is restored.
    settings : InputSettings
        How `cohort` was prepared; its explained planes are measured.
    cohort : CohortArrays
        From `expert.datasets.prepared_dataset.load_cohort`. One image of each subject is measured;
        all images are used for the mean images.
    subjects : int
        How many subjects to draw; all if there are fewer.
    seed : int
        Of the draw, the noise, the pairs and the random orders. The same arguments give the same
        result.
    source_subjects : sequence of str, optional
        (P,) subject that each prototype shows, named as in `cohort.entries`; None if unknown. A
        prototype of the measured subject is left out of the measures between a subject and its
        prototypes.
    source_labels : (P,) ndarray, optional
        Labels of the images the prototypes show; None if unknown.
    unit : str
        Of the label.
    progress : callable, optional
        Called with "explain" and a fraction.

    Returns
    -------
    ExplanationMeasures

    Raises
    ------
    InputError
        `subjects` is less than 1.
    """
    from expert.evaluation.deletion import receptive_field
    from expert.evaluation.fidelity import Exactness
    from expert.evaluation.subject_metrics import SubjectEvaluator

    if subjects < 1:
        raise InputError(f"At least one subject must be measured, not {subjects}.")
    planes = cohort.explained_planes(settings)
    names = np.array([entry.subject for entry in cohort.entries])
    images, content = cohort.images[:, planes], cohort.content[:, planes]
    rows = _drawn(names, subjects, seed)
    evaluator = SubjectEvaluator(
        network,
        images,
        content,
        names,
        [patch_centers(settings, network.grid, cohort.positions_mm[plane]) for plane in planes],
        _prototype_foreground(network, content),
        source_subjects,
    )
    values: dict[str, list[float]] = defaultdict(list)
    chances: dict[str, list[float]] = defaultdict(list)
    exact, left_out = [], 0
    was_training = network.training
    network.eval()
    for number, row in enumerate(rows):
        # The draw's order is random, and so are the pairs.
        other = rows[(number + 1) % len(rows)] if len(rows) > 1 else None
        found, chance, exactly = evaluator.measure(int(row), other, seed)
        exact.append(exactly)
        left_out += int(evaluator.same_subject(int(row)).sum())
        for name, value in found.items():
            values[name].append(value)
            chances[name].append(chance.get(name, np.nan))
        if progress is not None:
            progress("explain", (number + 1) / len(rows))
    network.train(was_training)

    def estimate(name: str) -> Estimate | None:
        known = name in chances and np.isfinite(chances[name]).any()
        return mean_over_subjects(values.get(name, []), chances[name] if known else None)

    def group(prefix: str) -> dict[str, Estimate | None]:
        return {
            name.removeprefix(prefix + " "): estimate(name)
            for name in values
            if name.startswith(prefix + " ")
        }

    matched = [field.name for field in fields(PlanMetrics)]
    labels = network.prototype_labels.double().numpy()
    return ExplanationMeasures(
        subjects=len(rows),
        views=len(planes),
        self_match=group("self"),
        prototypes={name: estimate(f"prototype {name}") for name in matched},
        between_subjects={name: estimate(f"between {name}") for name in ("follows", *matched)},
        own_left_out=left_out,
        exactness=Exactness(
            **{f.name: max(getattr(one, f.name) for one in exact) for f in fields(Exactness)}
        ),
        effective_prototypes=estimate("effective"),
        distinct_prototypes=None if source_subjects is None else len({*source_subjects}),
        source_label_gap=None
        if source_labels is None
        else float(np.abs(labels - source_labels).mean()),
        stability={change: group(f"stable {change}") for change in CHANGES},
        deletion={name: estimate(f"deletion {name}") for name in ("ordered", "random", "gain")},
        outside_response=estimate("outside"),
        receptive_field=receptive_field(network.architecture),
        cell=tuple(n // g for n, g in zip(images.shape[2:], network.grid, strict=True)),
        unit=unit,
    )


def _drawn(names: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Rows of some subjects in random order: the first row of each."""
    subjects, first = np.unique(names, return_index=True)
    return np.asarray(first[np.random.default_rng(seed).permutation(len(subjects))[:count]])


def _prototype_foreground(network: PrototypeRegressor, content: np.ndarray) -> np.ndarray:
    """(planes * P, M) bool, from the prototypes' masses or else the cohort's mean content."""
    mass = network.prototype_mass.double().numpy()
    if network.architecture.marginals == "content":
        return np.asarray(mass >= EMPTY / mass.shape[1])
    average = content.reshape(-1, *content.shape[2:]).mean(axis=0, dtype=np.float32)
    return np.repeat(foreground_patches(average[None], network.grid), len(mass), axis=0)
