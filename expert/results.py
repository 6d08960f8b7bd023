"""What a benchmark found, from the folders of its folds: tables in Markdown, plots as SVG, all
figures as JSON."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from expert.ablation import BASE, PLAIN, VARIANTS
from expert.evaluation import Errors, bias_corrected, bias_line, errors
from expert.intervals import Figure, over_subjects
from expert.schema import RESEARCH_USE
from expert.validation import LEVEL, covered

if TYPE_CHECKING:
    from expert.benchmark import Job


QUESTIONS = {variant.name: variant.question for variant in VARIANTS}


@dataclass(frozen=True)
class Outcome:
    """One variant of one recipe, all held-out folds together."""

    variant: str
    folds: int
    """Folds that are done."""
    prediction: np.ndarray
    """(N,) label units; NaN in folds that are not done."""
    figures: Errors
    minus_base: Figure | None
    """Mean over subjects of |error| less that of the recipe itself, on the same held-out subjects;
    label units."""
    coverage: float | None
    effective: float | None
    distinct: float | None
    interval: float | None
    """Share of subjects inside the 90 % interval that the other folds' errors give."""
    half_width: float | None
    corrected_mae: float | None
    """After a line fitted to the other folds' errors was taken away."""
    corrected_slope: float | None
    measures: dict[str, Figure]
    """Mean over the folds' measured subjects."""


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
    from expert.result_plots import write_plots
    from expert.training import fold_rows

    text = ["# Results", "", RESEARCH_USE, ""]
    document: dict[str, Any] = {"statement": RESEARCH_USE, "recipes": {}}
    for jobs in groups:
        cohort = fold_rows(jobs[0].recipe, jobs[0].table, jobs[0].folds)
        labels, outcomes = cohort[0], _outcomes(jobs, *cohort)
        name = jobs[0].recipe.name
        text += _section(jobs, labels, outcomes)
        plots = write_plots(
            folder, name, labels, outcomes, _curves(jobs), jobs[0].recipe.label_unit
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
def _outcomes(
    jobs: Sequence[Job], labels: np.ndarray, subjects: np.ndarray, parts: list[np.ndarray]
) -> list[Outcome]:
    tables = {job.variant: _read(job, parts, len(labels)) for job in jobs if job.fold == 0}
    base = next(job.folder for job in jobs if job.variant == BASE)
    plain = np.full(len(labels), np.nan)
    for number, rows in enumerate(parts):
        beside = base / f"fold{number}" / "plain.json"
        if beside.exists():
            plain[rows] = json.loads(beside.read_text())["prediction"]
    own = tables[BASE]
    cohort = labels, subjects, parts
    out = [_outcome(name, table, cohort, own["prediction"]) for name, table in tables.items()]
    if np.isfinite(plain).any():
        out.insert(
            1,
            _outcome(PLAIN, {"prediction": plain, "mean": own["mean"]}, cohort, own["prediction"]),
        )
    return [outcome for outcome in out if outcome.folds]


def _read(job: Job, parts: list[np.ndarray], count: int) -> dict[str, Any]:
    """All folds of the job's variant."""
    place = job.folder
    table: dict[str, Any] = {
        name: np.full(count, np.nan)
        for name in ("prediction", "covered", "effective", "mean", "distinct")
    }
    table["measures"] = []
    for number, rows in enumerate(parts):
        done, measured = (
            place / f"fold{number}" / "result.json",
            place / f"fold{number}" / "measures.json",
        )
        if done.exists():
            out = json.loads(done.read_text())
            for name in ("prediction", "effective"):
                table[name][rows] = out[name]
            table["covered"][rows] = covered(out, job.recipe)
            table["mean"][rows], table["distinct"][rows] = out["training_mean"], out["distinct"]
        if measured.exists():
            table["measures"].append(json.loads(measured.read_text()))
    return table


def _outcome(
    name: str,
    table: dict[str, Any],
    cohort: tuple[np.ndarray, np.ndarray, list[np.ndarray]],
    base: np.ndarray,
) -> Outcome:
    prediction, (labels, subjects, parts) = table["prediction"], cohort
    there = np.isfinite(prediction)
    done = [rows for rows in parts if np.isfinite(prediction[rows]).all()]
    if not done:
        return Outcome(
            name,
            0,
            prediction,
            errors(labels, labels, 0.0),
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            {},
        )
    figures = errors(prediction[there], labels[there], 0.0, subjects[there])
    mean_mae = float(np.abs(table["mean"][there] - labels[there]).mean())
    figures = Errors(**{**asdict(figures), "mean_predictor_mae": mean_mae})
    both = there & np.isfinite(base)
    difference = np.abs(prediction - labels)[both] - np.abs(base - labels)[both]
    inside, half, corrected = _crossed(prediction, labels, done)
    residual = corrected - labels[there] if corrected is not None else None

    def mean(column: str) -> float | None:
        values = table.get(column)
        return (
            None if values is None or not np.isfinite(values).any() else float(np.nanmean(values))
        )

    return Outcome(
        variant=name,
        folds=len(done),
        prediction=prediction,
        figures=figures,
        minus_base=None
        if name == BASE or not both.any()
        else over_subjects(difference, subjects=subjects[both]),
        coverage=mean("covered"),
        effective=mean("effective"),
        distinct=mean("distinct"),
        interval=inside,
        half_width=half,
        corrected_mae=None if residual is None else float(np.abs(residual).mean()),
        corrected_slope=None
        if residual is None
        else float(np.polyfit(labels[there], residual, 1)[0]),
        measures=_pooled(table.get("measures", [])),
    )


def _crossed(
    prediction: np.ndarray, labels: np.ndarray, done: list[np.ndarray]
) -> tuple[float | None, float | None, np.ndarray | None]:
    """Interval coverage, its mean half width, and bias-corrected predictions: each fold by what the
    *other* folds teach."""
    if len(done) < 2:
        return None, None, None
    inside, halves, corrected = [], [], prediction.copy()
    for rows in done:
        others = np.concatenate([other for other in done if other is not rows])
        residual = np.sort(np.abs(prediction[others] - labels[others]))
        half = residual[min(int(np.ceil((len(others) + 1) * LEVEL)), len(others)) - 1]
        inside += (np.abs(prediction[rows] - labels[rows]) <= half).tolist()
        halves.append(half)
        corrected[rows] = bias_corrected(
            prediction[rows], bias_line(prediction[others], labels[others])
        )
    return float(np.mean(inside)), float(np.mean(halves)), corrected[np.isfinite(prediction)]


def _pooled(folds: list[dict[str, Any]]) -> dict[str, Figure]:
    """Figures of several folds as one: means weighted by subjects.

    Each fold is a model of its own: intervals are of the mean over folds (Student's t), of a single
    fold its own.
    """
    from scipy.stats import t as student

    found: dict[str, list[dict[str, Any]]] = {}
    for fold in folds:
        for name, figure in _flat(fold):
            found.setdefault(name, []).append(figure)
    out = {}
    for name, figures in found.items():
        counts, values = (
            np.array([figure[part] for figure in figures], dtype=float)
            for part in ("subjects", "value")
        )
        weights = counts / counts.sum()
        value = float(weights @ values)
        low, high = figures[0]["low"], figures[0]["high"]
        if len(values) > 1:
            half = float(
                student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
            )
            low, high = value - half, value + half
        chances = [figure["chance"] for figure in figures]
        chance = None if None in chances else float(weights @ chances)
        out[name] = Figure(value, low, high, int(counts.sum()), chance)
    return out


def _flat(part: dict[str, Any], prefix: str = "") -> list[tuple[str, dict[str, Any]]]:
    out = []
    for name, value in part.items():
        if isinstance(value, dict) and "value" in value:
            out.append((prefix + name, value))
        elif isinstance(value, dict):
            out += _flat(value, f"{prefix}{name}: ")
    return out


def _curves(jobs: Sequence[Job]) -> dict[str, np.ndarray]:
    """Stage to (folds and members, epochs) training error of the recipe itself, label units."""
    from expert.training import members

    out = {}
    folders = [
        folder
        for job in jobs if job.variant == BASE
        for folder, _ in members(job.recipe, job.folder / f"fold{job.fold}", 0)
    ]  # fmt: skip
    for stage in ("warmup", "prototypes", PLAIN):
        columns = []
        for folder in folders:
            log = folder / stage / "metrics.csv"
            if log.exists():
                with log.open(encoding="utf-8", newline="") as file:
                    columns.append(
                        [float(row["mae"]) for row in csv.DictReader(file) if row.get("mae")]
                    )
        if columns:
            longest = max(
                map(len, columns)
            )  # the log of a run that was killed begins where it went on
            out[stage] = np.array([column for column in columns if len(column) == longest])
    return out


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
