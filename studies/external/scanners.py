"""How much a prediction depends on the scanner: the same heads through simulated scanners."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from expert.datasets.table import read_table
from expert.imaging.scanner_simulation import EFFECTS, apply_effect, simulate_scanner
from expert.imaging.volume import Volume
from expert.schema import RESEARCH_USE
from studies.corrupted.inputs import draw_heads
from studies.external.predictions import (
    Answer,
    Heads,
    Progress,
    Task,
    number,
    predict_copies,
    reasons,
    table,
)

SCANNER = "scanner"
"""Name of the change with all effects."""
DRAWS = 5
"""Number of draws of each effect alone."""


def run_study(
    model: str,
    data: str | Path,
    *,
    subjects: int,
    scanners: int = 50,
    draws: int = DRAWS,
    seed: int = 0,
    label_column: str | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Heads:
    """Predict heads from simulated scanners.

    Parameters
    ----------
    model : str
        Name of a shipped model, or a model file; for heads.
    data : path-like
        Table of heads, see `expert.datasets.table.read_table`.
    subjects : int
        Number of heads, one of each subject, drawn by `seed`; all if the table has fewer.
    scanners : int
        Number of simulated scanners, the same for every head.
    draws : int
        Number of draws of each effect alone.
    seed : int
        Of the choice of heads, and of the first scanner.
    label_column : str, optional
        Column of the label; found by name if None.
    jobs : int
        Number of processes.
    progress : callable, optional
        Called with "heads" and a fraction.

    Returns
    -------
    Heads

    Raises
    ------
    InputError
        The model is not for heads, or the table cannot be used.
    """
    heads = draw_heads(read_table(data, label_column=label_column), subjects, seed)
    first = 1000 * seed
    tasks = []
    for head in range(len(heads)):
        tasks += [Task(head, SCANNER, first + n) for n in range(scanners)]
        tasks += [Task(head, name, first + n) for name in EFFECTS for n in range(draws)]
    return predict_copies(model, heads, tasks, change, jobs=jobs, progress=progress)


def change(volume: Volume, name: str, seed: int) -> Volume:
    """A copy of a head from another scanner.

    Parameters
    ----------
    volume : Volume
    name : str
        `SCANNER`, or one of `expert.imaging.scanner_simulation.EFFECTS`.
    seed : int

    Returns
    -------
    Volume
    """
    return simulate_scanner(volume, seed) if name == SCANNER else apply_effect(volume, name, seed)


def markdown(found: Heads) -> str:
    """The report. It contains no subject names and no file paths.

    Parameters
    ----------
    found : Heads
        From `run_study`.

    Returns
    -------
    str
        Markdown.
    """
    count, unit = len(found.labels), found.unit
    scanners = len(found.of(SCANNER, 0))
    out = [
        "# Simulated scanners",
        "",
        f"Model {found.model}, {count} heads, each from {scanners} simulated scanners "
        f"(`expert.imaging.scanner_simulation`). All numbers are in {unit}, except fractions. *SD* "
        "and *range*: standard deviation and range of the predictions of one head over the "
        "scanners. *Difference*: mean |prediction − prediction of the unchanged head|. *Flagged*: "
        "as out-of-distribution or as an incomplete brain, as a fraction of the predicted copies. "
        "SD, range and difference are of the predicted copies.",
    ]
    header = ("head", "label", "unchanged", "SD", "range", "difference", "refused", "flagged")
    out += table(header, [_head_row(found, head) for head in range(count)])
    spreads = np.array([_spread(found.of(SCANNER, head)) for head in range(count)])
    known = spreads[np.isfinite(spreads)]
    everything = found.of(SCANNER)
    moved = np.abs(found.differences(everything))
    out += [
        "",
        f"All heads: mean SD {number(_mean(known))}, 95th percentile of the SD "
        f"{number(_percentile(known))}; mean difference {number(_mean(moved))}, 95th percentile "
        f"{number(_percentile(moved))}; refused {_refused(everything)}, flagged "
        f"{_flagged(everything)}.",
        "",
        "## Single effects",
        "",
        f"Each effect alone, {len(found.of(next(iter(EFFECTS)), 0))} draws per head, in the order "
        "of their mean difference. *Shift*: mean of prediction − prediction of the unchanged head.",
    ]
    rows = sorted(
        ((name, found.of(name)) for name in EFFECTS),
        key=lambda pair: -_mean(np.abs(found.differences(pair[1])), 0.0),
    )
    columns = ("effect", "difference", "largest", "shift", "refused", "flagged")
    out += table(columns, [_effect_row(found, name, answers) for name, answers in rows])
    out += found.trained_note
    out += reasons([answer.refused for answer in found.answers])
    return "\n".join([*out, "", RESEARCH_USE, ""])


def _head_row(found: Heads, head: int) -> tuple[str, ...]:
    answers, own = found.of(SCANNER, head), found.original(head)
    values = [answer.prediction for answer in answers if answer.prediction is not None]
    return (
        str(head + 1),
        number(found.labels[head]),
        "refused" if own is None else number(own),
        number(_spread(answers)),
        f"{min(values):.2f} – {max(values):.2f}" if values else "–",
        number(_mean(np.abs(found.differences(answers)))),
        _refused(answers),
        _flagged(answers),
    )


def _effect_row(found: Heads, name: str, answers: Sequence[Answer]) -> tuple[str, ...]:
    moved = found.differences(answers)
    return (
        name,
        number(_mean(np.abs(moved))),
        number(float(np.abs(moved).max()) if moved.size else np.nan),
        number(_mean(moved), sign=True),
        _refused(answers),
        _flagged(answers),
    )


def _spread(answers: Sequence[Answer]) -> float:
    """Standard deviation of the predictions; NaN of fewer than two."""
    values = [answer.prediction for answer in answers if answer.prediction is not None]
    return float(np.std(values, ddof=1)) if len(values) > 1 else np.nan


def _mean(values: np.ndarray, empty: float = np.nan) -> float:
    return float(values.mean()) if values.size else empty


def _percentile(values: np.ndarray) -> float:
    return float(np.percentile(values, 95)) if values.size else np.nan


def _refused(answers: Sequence[Answer]) -> str:
    return f"{np.mean([answer.prediction is None for answer in answers]):.0%}" if answers else "–"


def _flagged(answers: Sequence[Answer]) -> str:
    predicted = [answer.flagged for answer in answers if answer.prediction is not None]
    return f"{np.mean(predicted):.0%}" if predicted else "–"
