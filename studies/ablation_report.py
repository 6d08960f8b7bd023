"""Results of an ablation, from its folders: tables in Markdown, plots as SVG, values as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from expert.schema import RESEARCH_USE
from studies.ablation import PLAIN, VARIANTS
from studies.outcome import Outcome, learning_curves, read_outcomes
from studies.plots import write_plots

if TYPE_CHECKING:
    from studies.cross_validation import Job


QUESTIONS = {variant.name: variant.question for variant in VARIANTS}
NAMES = {PLAIN: "regression baseline"}
"""Names of rows, where these differ from the variant's name."""
ERRORS = (
    "variant",
    "MAE (95 %)",
    "MAE minus the recipe's (95 %)",
    "RMSE",
    "r",
    "slope",
    "within radius",
    "interval coverage",
    "effective prototypes",
    "distinct",
)
MATCHES = {
    "self-match": "self_match: mean",
    "shift, other subjects": "between_subjects: follows",
    "displacement, mm": "prototypes: displacement_mm",
    "best match (fraction)": "prototypes: best_share",
    "on background": "prototypes: background_mass",
    "left–right confusion": "prototypes: side_confusion",
}
RELIABILITY = {
    "top five, noise": "stability: noise: prototypes",
    "top five, shift of 1": "stability: shift of 1: prototypes",
    "top five, flip": "stability: flip: prototypes",
    "same best match, noise": "stability: noise: matches",
    "deletion gain (95 %)": "deletion: gain",
    "response from outside": "outside_response",
}
MATCHING_ONLY = {
    "position",
    "sharper transport",
    "softer transport",
    "spatial prior",
    "no spatial prior",
}
"""Variants that do not affect a training by position."""
PERCENT = {
    "self-match",
    "shift, other subjects",
    "on background",
    "left–right confusion",
    "same best match, noise",
    "response from outside",
}
"""Headings of columns in percent."""


def write_results(folder: Path, groups: Sequence[Sequence[Job]]) -> Path:
    """Write `results.md`, `results.json` and the plots from the finished folds.

    Parameters
    ----------
    folder : Path
        Folder of the ablation.
    groups : sequence of sequences of Job
        The jobs of each recipe.

    Returns
    -------
    Path
        Of `results.md`.
    """
    from expert.training.splits import fold_rows

    text = ["# Results", "", RESEARCH_USE, ""]
    document: dict[str, Any] = {"statement": RESEARCH_USE, "recipes": {}}
    for jobs in groups:
        cohort = fold_rows(jobs[0].recipe, jobs[0].table, jobs[0].folds)
        labels, outcomes = cohort[0], read_outcomes(jobs, *cohort)
        name = jobs[0].recipe.name
        text += _section(jobs, labels, outcomes)
        plots = write_plots(
            folder, name, labels, outcomes, learning_curves(jobs), jobs[0].recipe.label_unit
        )
        text += [*(f"![{plot.stem.replace('-', ' ')}]({plot.name})" for plot in plots), ""]
        document["recipes"][name] = {
            "recipe": jobs[0].recipe.model_dump(mode="json", exclude={"card"}),
            "labels": labels.tolist(),
            "variants": [
                {**asdict(outcome), "prediction": outcome.prediction.tolist()}
                for outcome in outcomes
            ],
        }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(document, indent=1), encoding="utf-8")
    target = folder / "results.md"
    target.write_text("\n".join(text), encoding="utf-8")
    return target


def _section(jobs: Sequence[Job], labels: np.ndarray, outcomes: list[Outcome]) -> list[str]:
    recipe, base = jobs[0].recipe, outcomes[0]
    unit = recipe.label_unit
    folds = jobs[0].folds
    text = [
        f"## {recipe.name}",
        "",
        f"{len(labels)} images of {recipe.dataset}, {folds} folds by subject, seed "
        f"{recipe.schedule.seed}; {recipe.warmup.epochs} epochs of regression, then "
        f"{recipe.schedule.epochs} with prototypes. All values are for held-out subjects, in "
        f"{unit}; the mean predictor has an MAE of {base.figures.mean_predictor_mae:.2f}. A "
        "negative difference is an improvement over the recipe.",
        "",
    ]
    if recipe.architecture.weights == "relative":
        text += [
            "Weights are relative: prototypes beyond the radius "
            f"({recipe.architecture.radius:g} {unit}) have a weight as well. "
            "*Within radius* only shows how close the nearest prototype is.",
            "",
        ]
    same = [outcome.variant for outcome in outcomes if outcome.variant in MATCHING_ONLY]
    if recipe.schedule.by_position and same:
        text += [
            "In training, each patch is compared with the patch at the same position: "
            f"{', '.join(f'*{name}*' for name in same)} "
            f"{'is' if len(same) == 1 else 'are'} the recipe's own network, with another matching "
            "afterwards.",
            "",
        ]
    if any(outcome.folds < folds for outcome in outcomes):
        text += [
            "**Not all folds are finished.** Errors on different folds are not comparable. "
            "Differences are: they use the held-out images that a variant and the recipe have in "
            "common.",
            "",
        ]
    text += _table(ERRORS, [_error_row(outcome, folds) for outcome in outcomes])
    if base.corrected_mae is not None:
        text += [
            "Slope: of the error (prediction − label) on the label. The 90 % interval of each "
            f"fold comes from the other folds' errors (± {base.half_width:.1f} {unit} on average). "
            "Corrected for regression to the mean by a line fitted on the other folds, the MAE "
            f"would be {base.corrected_mae:.2f} and the slope {base.corrected_slope:+.2f}; "
            "predictions are corrected only on request.",
            "",
        ]
    measured = [outcome for outcome in outcomes if outcome.measures]
    if measured:
        subjects = max(figure.subjects for figure in measured[0].measures.values())
        text += [
            f"Quality of the matches, on {subjects} held-out subject{'s' * (subjects > 1)} "
            "(chance level in brackets):",
            "",
            *_table(
                ("variant", *MATCHES), [_measure_row(outcome, MATCHES) for outcome in measured]
            ),
            "Reliability of the explanations (*top five*: Jaccard index of the five prototypes "
            f"with the largest weights; deletion gain in {unit}, with its interval over folds):",
            "",
            *_table(
                ("variant", *RELIABILITY),
                [_measure_row(outcome, RELIABILITY) for outcome in measured],
            ),
        ]
    asked = [
        f"- *{o.variant}*: {QUESTIONS[o.variant]}" for o in outcomes if QUESTIONS.get(o.variant)
    ]
    return [*text, *asked, ""]


def _table(headings: Sequence[str], rows: list[list[str]]) -> list[str]:
    lines = [list(headings), ["---", *(["---:"] * (len(headings) - 1))], *rows]
    return [*(f"| {' | '.join(line)} |" for line in lines), ""]


def _error_row(outcome: Outcome, folds: int) -> list[str]:
    f, minus = outcome.figures, outcome.minus_base

    def percent(value: float | None) -> str:
        return "" if value is None else f"{100 * value:.0f} %"

    done = "" if outcome.folds == folds else f" ({outcome.folds} of {folds} folds)"
    return [
        NAMES.get(outcome.variant, outcome.variant) + done,
        f"{f.mae:.2f} ({f.mae_low:.2f} – {f.mae_high:.2f})",
        "" if minus is None else f"{minus.value:+.2f} ({minus.low:+.2f} – {minus.high:+.2f})",
        f"{f.rmse:.2f}",
        f"{f.r:.3f}",
        f"{f.slope:+.2f}",
        percent(outcome.coverage),
        percent(outcome.interval),
        "" if outcome.effective is None else f"{outcome.effective:.1f}",
        "" if outcome.distinct is None else f"{outcome.distinct:.0f}",
    ]


def _measure_row(outcome: Outcome, columns: dict[str, str]) -> list[str]:
    row = [outcome.variant]
    for heading, name in columns.items():
        estimate = outcome.measures.get(name)
        if estimate is None:
            row.append("")
            continue
        in_percent = heading in PERCENT
        value = f"{100 * estimate.value:.0f} %" if in_percent else f"{estimate.value:.2f}"
        if "95 %" in heading and estimate.high > estimate.low:
            value += f" ({estimate.low:+.2f} – {estimate.high:+.2f})"
        if estimate.chance is not None:
            value += (
                f" ({100 * estimate.chance:.0f} %)" if in_percent else f" ({estimate.chance:.2f})"
            )
        row.append(value)
    return row
