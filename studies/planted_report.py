"""Results of the study of planted effects, and their report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from expert.evaluation.bootstrap import Estimate
from studies.planted_data import PLACES


@dataclass(frozen=True)
class Pointing:
    """Whether explanations point to a region in which an effect can be planted."""

    strongest: Estimate | None
    """Fraction of heads whose strongest foreground patch is in the region; chance level: the
    region's fraction of the foreground patches."""
    share: Estimate | None
    """Fraction of the foreground's absolute values inside the region; chance level: its fraction of
    the foreground's mass."""
    least: float
    """Lowest `strongest` of the single trainings, 0 to 1."""
    most: float
    """Highest `strongest` of the single trainings, 0 to 1."""


@dataclass(frozen=True)
class CohortOutcome:
    """Results of one cohort and one recipe, trained or untrained.

    The fields are those of `planted.json`.
    """

    recipe: str
    cohort: str
    planted: str | None
    """Region in which the label was planted; None if it was not, and for ageing, which acts in both
    and in the right cortex."""
    trained: bool
    repeats: int
    mae: Estimate | None
    """Mean absolute error, label units."""
    mean_mae: Estimate | None
    """Mean absolute error of the mean predictor."""
    gain: Estimate | None
    """Mean over heads of the second minus the first: above 0 if the label was learned."""
    answer: dict[str, Pointing]
    """By region: contribution to the prediction (`expert.attribution.for_prediction`)."""
    pair: dict[str, Pointing]
    """By region: similarity to the prototype with the highest label minus similarity to that with
    the lowest (`expert.attribution.between`)."""
    own_place: Estimate | None
    """Fraction of a foreground patch's mass that is matched to the same patch of the prototypes,
    averaged by the prototypes' weights."""


def markdown(outcomes: Sequence[CohortOutcome], settings: dict[str, int]) -> list[str]:
    """The report: errors, and where the explanations point.

    Parameters
    ----------
    outcomes : sequence of CohortOutcome
    settings : dict of str to int
        "training", "held_out", "repeats" and "seed".

    Returns
    -------
    list of str
        Lines of `planted.md`.
    """
    out = [
        "# Planted effects",
        "",
        f"{settings['training']} training heads, {settings['held_out']} held-out heads; "
        f"{settings['repeats']} trainings of each cohort; seed {settings['seed']}. In brackets the "
        "95 % interval over trainings and held-out heads.",
    ]
    for recipe in dict.fromkeys(outcome.recipe for outcome in outcomes):
        of_recipe = [outcome for outcome in outcomes if outcome.recipe == recipe]
        out += ["", f"## {recipe}", "", *_errors(of_recipe)]
        for place in PLACES:
            out += ["", f"Pointing to the {place}, % (chance level):", ""]
            out += _pointing(of_recipe, place)
    return out


def _errors(outcomes: Sequence[CohortOutcome]) -> list[str]:
    out = [
        "| cohort | network | MAE, years | mean predictor | gain | same patch, % (chance) |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for o in outcomes:
        values = [_number(o.mae), _number(o.mean_mae, bare=True), _number(o.gain)]
        out.append(f"| {' | '.join([o.cohort, _network(o), *values, _percent(o.own_place)])} |")
    return out


def _pointing(outcomes: Sequence[CohortOutcome], place: str) -> list[str]:
    headings = [
        "cohort",
        "network",
        "planted here",
        "strongest patch, prediction",
        "range over trainings",
        "fraction, prediction",
        "strongest patch, pair",
        "fraction, pair",
    ]
    out = [f"| {' | '.join(headings)} |", "|---|---|---|---:|---:|---:|---:|---:|"]
    for o in outcomes:
        prediction, pair = o.answer[place], o.pair[place]
        values = [
            o.cohort,
            _network(o),
            "yes" if o.planted == place else "",
            _percent(prediction.strongest),
            f"{100 * prediction.least:.0f} – {100 * prediction.most:.0f}",
            _percent(prediction.share),
            _percent(pair.strongest),
            _percent(pair.share),
        ]
        out.append(f"| {' | '.join(values)} |")
    return out


def _network(outcome: CohortOutcome) -> str:
    return "trained" if outcome.trained else "untrained"


def _number(estimate: Estimate | None, bare: bool = False) -> str:
    if estimate is None:
        return ""
    return f"{estimate.value:.1f}" + (
        "" if bare else f" ({estimate.low:.1f} – {estimate.high:.1f})"
    )


def _percent(estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    chance = "" if estimate.chance is None else f"; {100 * estimate.chance:.0f}"
    return (
        f"{100 * estimate.value:.0f} ({100 * estimate.low:.0f} – {100 * estimate.high:.0f}{chance})"
    )
