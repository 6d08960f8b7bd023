"""What a benchmark found, from the folders of its folds: tables in Markdown, plots as SVG, all
figures as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from expert.schema import RESEARCH_USE
from studies.ablation import VARIANTS
from studies.outcome import Outcome, learning_curves, read_outcomes

if TYPE_CHECKING:
    from studies.cross_validation import Job


QUESTIONS = {variant.name: variant.question for variant in VARIANTS}


def write_results(folder: Path, groups: Sequence[Sequence[Job]]) -> Path:
    """Gather what is there and write `results.md`, `results.json` and the plots.

    Parameters
    ----------
    folder : the benchmark's
    groups : the jobs of each recipe

    Returns
    -------
    Path of `results.md`
    """
    from expert.training.splits import fold_rows
    from studies.plots import write_plots

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


# --- gathering ------------------------------------------------------------------------------------


# --- writing --------------------------------------------------------------------------------------
ERRORS = (
    "variant",
    "MAE (95 %)",
    "MAE minus the recipe's (95 %)",
    "RMSE",
    "r",
    "slope",
    "in radius",
    "interval covers",
    "effective prototypes",
    "distinct",
)
MATCHES = {
    "self-match": "self_match: mean",
    "follows": "between_subjects: follows",
    "displacement, mm": "prototypes: displacement_mm",
    "best share": "prototypes: best_share",
    "on background": "prototypes: background_mass",
    "wrong side": "prototypes: side_confusion",
}
TRUST = {
    "same five, noise": "stability: noise: prototypes",
    "same five, shift of 1": "stability: shift of 1: prototypes",
    "same five, flip": "stability: flip: prototypes",
    "same partner, noise": "stability: noise: matches",
    "deletion gain (95 %)": "deletion: gain",
    "response from outside": "outside_response",
}
TRANSPORTED = {
    "position",
    "sharper transport",
    "softer transport",
    "spatial prior",
    "no spatial prior",
}
"""Variants that a training by position does not see."""
SHARES = {
    "self-match",
    "follows",
    "on background",
    "wrong side",
    "same partner, noise",
    "response from outside",
}


def _section(jobs: Sequence[Job], labels: np.ndarray, outcomes: list[Outcome]) -> list[str]:
    recipe, base = jobs[0].recipe, outcomes[0]
    unit = recipe.label_unit
    folds = jobs[0].folds
    text = [
        f"## {recipe.name}",
        "",
        f"{len(labels)} images of {recipe.dataset}, {jobs[0].folds} folds by subject, seed "
        f"{recipe.schedule.seed}; "
        f"{recipe.warmup.epochs} epochs of regression, then {recipe.schedule.epochs} with "
        "prototypes. Every figure is of "
        f"held-out subjects, in {unit}; the training mean alone would be wrong by "
        f"{base.figures.mean_predictor_mae:.2f}. "
        "A negative difference is better than the recipe.",
        "",
    ]
    if recipe.architecture.weights == "relative":
        text += [
            "Weights are relative: prototypes beyond the radius "
            f"({recipe.architecture.radius:g} {unit}) have weight as well. "
            "How many images have a prototype in radius only says how near the nearest one is.",
            "",
        ]
    same = [outcome.variant for outcome in outcomes if outcome.variant in TRANSPORTED]
    if recipe.schedule.by_position and same:
        text += [
            "In training each patch is held against its own place: "
            f"{', '.join(f'*{name}*' for name in same)} "
            f"{'is' if len(same) == 1 else 'are'} the recipe's own network, matched "
            "otherwise afterwards.",
            "",
        ]
    if any(outcome.folds < folds for outcome in outcomes):
        text += [
            "**Not all folds are done**: errors of different folds are not comparable. The "
            "differences are: they are of the "
            "held-out images that a variant and the recipe have in common.",
            "",
        ]
    text += _table(ERRORS, [_error_row(outcome, folds) for outcome in outcomes])
    if base.corrected_mae is not None:
        text += [
            "Slope is that of the error (prediction - label) on the label. The 90 % "
            "interval of each fold comes from the other "
            f"folds' errors (± {base.half_width:.1f} {unit} on average). Corrected for "
            "regression to the mean, by a line "
            f"fitted on the other folds, the error would be {base.corrected_mae:.2f}, the "
            f"slope {base.corrected_slope:+.2f}: "
            "predictions are never corrected unless asked for.",
            "",
        ]
    measured = [outcome for outcome in outcomes if outcome.measures]
    if measured:
        subjects = max(figure.subjects for figure in measured[0].measures.values())
        text += [
            (
                f"What the matches mean, on {subjects} held-out subject{'s' * (subjects > 1)} "
                "(chance in brackets):"
            ),
            "",
        ]
        text += _table(
            ("variant", *MATCHES), [_measure_row(outcome, MATCHES) for outcome in measured]
        )
        text += [
            (
                f"How far the explanations can be trusted (deletion gain in {unit}, with its "
                "interval over folds):"
            ),
            "",
        ]
        text += _table(("variant", *TRUST), [_measure_row(outcome, TRUST) for outcome in measured])
    asked = [
        f"- *{o.variant}*: {QUESTIONS[o.variant]}" for o in outcomes if QUESTIONS.get(o.variant)
    ]
    return [*text, *asked, ""]


def _table(headings: Sequence[str], rows: list[list[str]]) -> list[str]:
    lines = [list(headings), ["---", *(["---:"] * (len(headings) - 1))], *rows]
    return [*(f"| {' | '.join(line)} |" for line in lines), ""]


def _error_row(outcome: Outcome, folds: int) -> list[str]:
    f, minus = outcome.figures, outcome.minus_base

    def share(value: float | None) -> str:
        return "" if value is None else f"{100 * value:.0f} %"

    done = "" if outcome.folds == folds else f" ({outcome.folds} of {folds} folds)"
    return [
        outcome.variant + done,
        f"{f.mae:.2f} ({f.mae_low:.2f} – {f.mae_high:.2f})",
        "" if minus is None else f"{minus.value:+.2f} ({minus.low:+.2f} – {minus.high:+.2f})",
        f"{f.rmse:.2f}",
        f"{f.r:.3f}",
        f"{f.slope:+.2f}",
        share(outcome.coverage),
        share(outcome.interval),
        "" if outcome.effective is None else f"{outcome.effective:.1f}",
        "" if outcome.distinct is None else f"{outcome.distinct:.0f}",
    ]


def _measure_row(outcome: Outcome, columns: dict[str, str]) -> list[str]:
    row = [outcome.variant]
    for heading, name in columns.items():
        figure = outcome.measures.get(name)
        if figure is None:
            row.append("")
            continue
        percent = heading in SHARES
        words = f"{100 * figure.value:.0f} %" if percent else f"{figure.value:.2f}"
        if "95 %" in heading and figure.high > figure.low:
            words += f" ({figure.low:+.2f} – {figure.high:+.2f})"
        if figure.chance is not None:
            words += f" ({100 * figure.chance:.0f} %)" if percent else f" ({figure.chance:.2f})"
        row.append(words)
    return row
