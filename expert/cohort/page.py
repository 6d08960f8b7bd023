"""The page on a cohort: errors, flagged and failed images, predictions and nearest prototypes.

It is one HTML file that needs nothing else, and contains no names of inputs unless asked for.
"""

from __future__ import annotations

import datetime
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np

from expert.datasets.table import as_number
from expert.errors import InputError
from expert.explanation import SEVERITIES
from expert.files import replacing
from expert.report.document import Cell, Figure, Figures, Paragraph, Remark, Report, Section, table
from expert.schema import RESEARCH_USE

if TYPE_CHECKING:
    from expert.cohort.cells import Texts
    from expert.cohort.prediction import Outcome
    from expert.schema import ModelInfo

MOST_LISTED = 200
"""Longest list of images; the table has the others."""
MOST_PROTOTYPES = 12
PATHS = re.compile(r"\S*[/\\]\S*")
ENDINGS = (".html", ".htm")


@dataclass(frozen=True)
class Listed:
    """One image of the cohort."""

    number: int
    """Its row in the table, from 1."""
    row: Texts
    name: str
    """Of the input; empty unless asked for."""
    link: str
    """Of its report, relative to the page; empty if there is none."""

    @property
    def prediction(self) -> float:
        """NaN if the image was not predicted."""
        return as_number(self.row["prediction"])

    @property
    def label(self) -> float:
        """NaN if it is not known."""
        return as_number(self.row["label"])

    @property
    def flagged(self) -> bool:
        """Whether there is a warning; notes do not count."""
        text = self.row["warning_text"]
        return any(f"{SEVERITIES[kind]}:" in text for kind in ("warning", "refused"))

    def has(self, code: str) -> bool:
        """Whether the image has a warning.

        Parameters
        ----------
        code : str

        Returns
        -------
        bool
        """
        return code in self.row["warnings"].split("; ")

    def sentence(self, column: str) -> str:
        """Warnings or error in words, without the name and path of the input unless asked for.

        Parameters
        ----------
        column : str

        Returns
        -------
        str
        """
        text = self.row[column]
        if self.name:
            return text
        given = self.row["input"]
        for part in (given, PurePath(given).name):
            text = text.replace(part, "the input") if part else text
        return PATHS.sub("the input", text)

    def cell(self) -> Cell:
        """The image in a list; a link to its report, if there is one."""
        text = f"{self.number} · {self.name}" if self.name else str(self.number)
        return Cell(text, link=self.link)


def check_page(path: Path) -> None:
    """Check whether a page can be written, before the images are predicted.

    Parameters
    ----------
    path : pathlib.Path

    Raises
    ------
    InputError
        The name has another ending, or the folder does not exist.
    """
    if path.suffix.lower() not in ENDINGS:
        raise InputError(f"The page {path} must end in .html.")
    if not path.absolute().parent.is_dir() or path.is_dir():
        raise InputError(f"The page {path} could not be written: its folder does not exist.")


def write_page(
    outcome: Outcome,
    path: Path,
    model: ModelInfo,
    *,
    subjects: Mapping[str, str] | None = None,
    show_names: bool = False,
) -> Path:
    """Write the page on a cohort.

    Parameters
    ----------
    outcome : Outcome
        From `expert.cohort.prediction.predict_cohort`.
    path : pathlib.Path
        File to write; ends in .html.
    model : ModelInfo
    subjects : mapping of str to str, optional
        Subject of each input; intervals are over subjects. If None, every image is of another one.
    show_names : bool
        Write the names of the inputs.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    from expert.report.report import html_page

    check_page(path)
    report = compose_page(outcome, path, model, subjects or {}, show_names)
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(html_page(report))
    except OSError as error:
        raise InputError(f"The page {path} could not be written: {error.strerror}.") from error
    return path


def compose_page(
    outcome: Outcome, path: Path, model: ModelInfo, subjects: Mapping[str, str], show_names: bool
) -> Report:
    """The content of the page.

    Parameters
    ----------
    outcome, path, model, subjects, show_names
        As in `write_page`.

    Returns
    -------
    Report
    """
    images = [
        Listed(
            number,
            row,
            row["input"] if show_names else "",
            _link(row["explanation"], outcome.table, path),
        )
        for number, row in enumerate(outcome.rows, 1)
    ]
    predicted = [image for image in images if not image.row["error"]]
    failed = [image for image in images if image.row["error"]]
    flagged = [image for image in predicted if image.flagged]
    sections = (
        _accuracy(predicted, model, subjects),
        _distribution(predicted, model),
        _prototypes(predicted, model),
        _list("Flagged images", flagged, "warning_text", model),
        _list("Images that were not predicted", failed, "error", model),
        _links(predicted),
        _origin(images, model),
    )
    forced = sum(image.has("forced_prediction") for image in predicted)
    trained = sum(image.has("training_image") for image in predicted)
    remarks = []
    if trained:
        remarks.append(
            Remark(
                f"Warning: {trained} of the images were used for the training of the model: errors "
                "on new images are larger."
            )
        )
    text = f"Forced prediction: {forced} of the images were refused and predicted all the same."
    return Report(
        title=f"{model.label.name.capitalize()}: predictions of a cohort",
        statement=RESEARCH_USE,
        origin=(
            f"Cohort · model {model.name} {model.version} · {datetime.date.today().isoformat()}"
        ),
        headline=f"{len(predicted)} of {len(images)} images predicted",
        aside=f"{len(flagged)} flagged, {len(failed)} not predicted",
        lead=(
            f"Predicted {model.label.name} in {model.label.unit}. An image is named by its row in "
            f"the table{', and by its input' if show_names else ''}."
        ),
        warnings=tuple(remarks),
        sections=tuple(section for section in sections if section is not None),
        forced=(Remark(text, "refused"),) if forced else (),
    )


def _link(report: str, table_file: Path, page: Path) -> str:
    """Path of a report relative to the page, as in an address."""
    if not report:
        return ""
    place = table_file.absolute().parent / report
    try:
        relative = os.path.relpath(place, page.absolute().parent)
    except ValueError:  # on another drive
        return place.as_uri()
    return quote(Path(relative).as_posix())


def _accuracy(
    predicted: Sequence[Listed], model: ModelInfo, subjects: Mapping[str, str]
) -> Section | None:
    from expert.cohort.drawings import predicted_and_true
    from expert.evaluation.bootstrap import mean_interval
    from expert.evaluation.metrics import errors

    labelled = [image for image in predicted if not np.isnan(image.label)]
    if not labelled:
        return None
    labels = np.array([image.label for image in labelled])
    predictions = np.array([image.prediction for image in labelled])
    names = (image.row["input"] for image in labelled)
    whose = np.array([subjects.get(name, name) for name in names])
    e = errors(predictions, labels, float(labels.mean()), whose)
    low, high = mean_interval(predictions - labels, whose)
    unit = model.label.unit
    rows: list[tuple[str | Cell, ...]] = [
        ("images with a label", str(e.images)),
        ("mean absolute error", f"{e.mae:.2f} {unit} (95 %: {e.mae_low:.2f} – {e.mae_high:.2f})"),
        ("mean error", f"{e.mean_error:+.2f} {unit} (95 %: {low:+.2f} – {high:+.2f})"),
    ]
    if e.images >= 3:
        rows += [("r", f"{e.r:.3f}"), ("slope of error on label", f"{e.slope:+.2f}")]
    inside = [
        as_number(image.row["lower"]) <= image.label <= as_number(image.row["upper"])
        for image in labelled
        if image.row["lower"]
    ]
    if inside and model.calibration is not None:
        covered = f"{np.mean(inside):.1%} of {len(inside)} labels"
        rows.append((f"{model.calibration.level:.0%} interval covers", covered))
    drawing = predicted_and_true(labels, predictions, model.label.name, unit)
    note = (
        "Error: prediction minus label. Intervals: bootstrap over subjects. The line: prediction "
        "and label are the same."
    )
    return Section(
        "Predicted and true",
        (table(("", ""), rows), Figures(2, (Figure("Prediction and label", drawing, note),))),
    )


def _distribution(predicted: Sequence[Listed], model: ModelInfo) -> Section | None:
    from expert.cohort.drawings import histogram

    values = np.array([image.prediction for image in predicted])
    if not len(values):
        return None
    quartiles = np.percentile(values, [0, 25, 50, 75, 100])
    names = ("smallest", "lower quartile", "median", "upper quartile", "largest")
    rows: list[tuple[str | Cell, ...]] = [
        (name, f"{value:.1f} {model.label.unit}")
        for name, value in zip(names, quartiles, strict=True)
    ]
    figure = Figure("Predictions", histogram(values, model.label.name, model.label.unit))
    return Section(
        "Distribution of the predictions", (table(("", ""), rows), Figures(2, (figure,)))
    )


def _prototypes(predicted: Sequence[Listed], model: ModelInfo) -> Section | None:
    nearest = Counter(image.row["nearest_prototype"] for image in predicted)
    if not nearest:
        return None
    labels = {image.row["nearest_prototype"]: image.row["nearest_label"] for image in predicted}
    rows: list[tuple[str | Cell, ...]] = [
        (number, f"{as_number(labels[number]):.1f} {model.label.unit}", str(count),
         f"{count / len(predicted):.1%}")
        for number, count in nearest.most_common(MOST_PROTOTYPES)
    ]  # fmt: skip
    text = (
        f"{len(nearest)} of {len(model.prototypes)} prototypes are the nearest of some image. "
        "Numbers are those of the model file, from 0."
    )
    head = (">prototype", ">label", ">images", ">fraction")
    return Section("Nearest prototypes", (Paragraph(text), table(head, rows)))


def _list(title: str, images: Sequence[Listed], column: str, model: ModelInfo) -> Section | None:
    if not images:
        return None
    shown = images[:MOST_LISTED]
    unit = model.label.unit
    rows: list[tuple[str | Cell, ...]] = [
        (image.cell(), _number(image.prediction), _number(image.label), image.sentence(column))
        for image in shown
    ]
    head = ("image", f">predicted ({unit})", ">label", "why")
    return Section(title, (table(head, rows), *_more(images)))


def _number(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.1f}"


def _more(images: Sequence[Listed]) -> list[Paragraph]:
    left = len(images) - MOST_LISTED
    return [Paragraph(f"{left} more are in the table.")] if left > 0 else []


def _links(predicted: Sequence[Listed]) -> Section | None:
    linked = [image for image in predicted if image.link]
    if not linked:
        return None
    rows: list[tuple[str | Cell, ...]] = [
        (image.cell(), _number(image.prediction), _number(image.label))
        for image in linked[:MOST_LISTED]
    ]
    head = ("report of image", f">predicted ({linked[0].row['unit']})", ">label")
    return Section("Explanations", (table(head, rows), *_more(linked)))


def _origin(images: Sequence[Listed], model: ModelInfo) -> Section:
    checksums = {image.row["model_sha256"] for image in images}
    rows: list[tuple[str | Cell, ...]] = [
        ("model", f"{model.name} {model.version}"),
        *(("checksum", Cell(text, mono=True)) for text in sorted(checksums)),
        ("trained on", f"{model.training.dataset} ({model.training.subjects_text})"),
    ]
    return Section("Model", (table(("", ""), rows),))
