"""Predictions of changed copies of heads, by name of the change, in one or several processes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from expert.errors import ExpertError, InputError
from expert.imaging.volume import Volume, read_volume

if TYPE_CHECKING:
    from expert.datasets.table import Entry
    from expert.model_file import Model

Progress = Callable[[str, float], None]
Change = Callable[[Volume, str, int], Volume]
"""Takes a head, the name of a change and a seed; a function of a module."""
ORIGINAL = "original"
"""Name of the unchanged head."""
FILE_NAME = re.compile(r"\S+\.(nii(\.gz)?|nrrd|nhdr|img|hdr|png|tiff?|jpe?g|bmp)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Task:
    """One copy of a head."""

    head: int
    """Number of the head, from 0."""
    name: str
    """Of the change, or `ORIGINAL`."""
    seed: int = 0


@dataclass(frozen=True)
class Answer:
    """What the model said about one copy of a head."""

    task: Task
    prediction: float | None
    """Label units; None if the copy was refused."""
    flagged: bool = False
    """Out-of-distribution, or an incomplete brain."""
    refused: str = ""
    """The reason; empty if the copy was predicted."""


@dataclass(frozen=True)
class Heads:
    """Heads of a study, with the model's predictions of their copies."""

    model: str
    unit: str
    labels: tuple[float, ...]
    answers: tuple[Answer, ...]
    prototypes: int = 0
    """Number of heads that are prototypes of the model."""

    @property
    def trained_note(self) -> list[str]:
        """Lines of a page on heads that are prototypes; empty if there are none."""
        if not self.prototypes:
            return []
        return [
            "",
            f"**{self.prototypes} of the heads are prototypes of the model. Their copies are near "
            "themselves, so that their predictions change less than those of other heads.**",
        ]

    def of(self, name: str, head: int | None = None) -> tuple[Answer, ...]:
        """Answers to one change, of one head or of all."""
        return tuple(
            answer
            for answer in self.answers
            if answer.task.name == name and head in (None, answer.task.head)
        )

    def original(self, head: int) -> float | None:
        """Prediction of an unchanged head; None if it was refused."""
        return next(answer.prediction for answer in self.of(ORIGINAL, head))

    def differences(self, answers: Sequence[Answer]) -> np.ndarray:
        """Prediction minus that of the unchanged head, where both were predicted.

        Parameters
        ----------
        answers : sequence of Answer

        Returns
        -------
        (N,) ndarray
            Label units.
        """
        pairs = [(answer.prediction, self.original(answer.task.head)) for answer in answers]
        return np.array([a - b for a, b in pairs if a is not None and b is not None], dtype=float)


def predict_copies(
    model: str,
    heads: Sequence[Entry],
    tasks: Sequence[Task],
    change: Change,
    *,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Heads:
    """Predict copies of heads.

    Parameters
    ----------
    model : str
        Name of a shipped model, or a model file; for heads.
    heads : sequence of Entry
        Rows of a table.
    tasks : sequence of Task
        The copies; the unchanged heads are added.
    change : callable
        Makes a copy.
    jobs : int
        Number of processes.
    progress : callable, optional
        Called with "heads" and a fraction.

    Returns
    -------
    Heads
        With the answers in the order of the tasks, after those of the unchanged heads.

    Raises
    ------
    InputError
        The model is not for heads.
    """
    info = _model(model).info
    if info.input.space != "mni":
        raise InputError(
            f"The model {info.name} is for plain 2D images: this study needs a model for 3D heads."
        )
    every = [*(Task(n, ORIGINAL) for n in range(len(heads))), *tasks]
    # Head by head, so that each is read once per process.
    order = sorted(range(len(every)), key=lambda n: every[n].head)
    files = [heads[task.head].file for task in every]
    found: dict[int, Answer] = {}

    def collect(n: int, answer: Answer) -> None:
        found[n] = answer
        if progress is not None:
            progress("heads", len(found) / len(every))

    if jobs == 1:
        for n in order:
            collect(n, answer_task(model, files[n], every[n], change))
    else:
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            running = {
                pool.submit(answer_task, model, files[n], every[n], change): n for n in order
            }
            for future in as_completed(running):
                collect(running[future], future.result())
    return Heads(
        model=info.name,
        unit=info.label.unit,
        labels=tuple(head.label for head in heads),
        answers=tuple(found[n] for n in range(len(every))),
        prototypes=sum(
            head.sha256 in {p.reference.sha256 for p in info.prototypes if p.reference is not None}
            for head in heads
        ),
    )


def answer_task(model: str, file: Path, task: Task, change: Change) -> Answer:
    """Predict one copy of a head, as `expert predict` does.

    Parameters
    ----------
    model : str
    file : pathlib.Path
        Of the unchanged head.
    task : Task
    change : callable

    Returns
    -------
    Answer
        An error in the program counts as refused, with its type as the reason.

    Raises
    ------
    ExpertError
        The model cannot be used.
    """
    loaded = _model(model)
    try:
        volume = _volume(file)
        if task.name != ORIGINAL:
            volume = change(volume, task.name, task.seed)
        prediction, flagged = _predict(loaded, volume)
    except InputError as error:
        return Answer(task, None, refused=without_names(str(error)))
    except ExpertError:  # of the model: no copy can be predicted
        raise
    except Exception as error:  # a long study goes on, and reports it
        return Answer(task, None, refused=f"Program error: {type(error).__name__}.")
    return Answer(task, prediction, flagged)


def _predict(model: Model, volume: Volume) -> tuple[float, bool]:
    from expert.comparison import compare_views
    from expert.errors import RefusedError
    from expert.imaging.preprocessing import prepare
    from expert.novelty import out_of_distribution_text

    prepared = prepare(volume, model.info.input)
    if prepared.refusal:
        raise RefusedError(prepared.refusal)
    registration = prepared.registration
    quality = float("nan") if registration is None else registration.quality
    result = compare_views(model, prepared.images, prepared.content)
    unlike = out_of_distribution_text(
        model.info, prepared.images, prepared.content, quality, result
    )
    return float(result.prediction), bool(unlike or prepared.incomplete)


@lru_cache(1)
def _model(name: str) -> Model:
    from expert.model_file import load_model

    return load_model(name)


@lru_cache(1)
def _volume(file: Path) -> Volume:
    return read_volume(file)


def without_names(sentence: str) -> str:
    """A sentence without names of image files, which may be those of subjects.

    Parameters
    ----------
    sentence : str

    Returns
    -------
    str
    """
    return FILE_NAME.sub("the file", sentence)


def reasons(sentences: Sequence[str]) -> list[str]:
    """Reasons why images were refused, as a Markdown list with the number of each.

    Parameters
    ----------
    sentences : sequence of str
        Empty ones are left out.

    Returns
    -------
    list of str
        Lines; empty if nothing was refused.
    """
    counts = Counter(without_names(sentence) for sentence in sentences if sentence)
    if not counts:
        return []
    return ["", "Refused:", "", *(f"- {count} ×: {text}" for text, count in counts.most_common())]


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table; the first column is of names, the others are of numbers.

    Parameters
    ----------
    header : sequence of str
    rows : sequence of sequence of str

    Returns
    -------
    list of str
        Lines, with an empty one before.
    """
    line = "|---|" + "---:|" * (len(header) - 1)
    body = [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows]
    return ["", f"| {' | '.join(header)} |", line, *body]


def number(value: float, sign: bool = False) -> str:
    """A number with two decimals; a dash for NaN."""
    if not np.isfinite(value):
        return "–"
    return f"{value:+.2f}" if sign else f"{value:.2f}"
