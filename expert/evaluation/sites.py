"""Accuracy by site: what a model predicted for each image, and figures of groups of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from expert.evaluation.metrics import Errors, errors
from expert.schema import SiteFigures

if TYPE_CHECKING:
    from expert.schema import Calibration

ALL = "all"
"""Name of the group of all images."""
COLUMNS = (
    "site",
    "heads",
    "refused",
    "MAE (95 %)",
    "mean error",
    "mean predictor",
    "r",
    "interval covers",
    "flagged",
)
"""Columns of a table by site, see `SiteEvaluation.cells`."""
FIGURE_COLUMNS = (
    "site",
    "kind",
    "subjects",
    "range",
    "MAE",
    "mean error",
    "interval covers",
)
"""Columns of a table of `expert.schema.SiteFigures`, see `figure_rows`."""
FEWEST = 3
"""Fewer images have no correlation."""
Kind = Literal["cross-validation", "site held out", "external"]


@dataclass(frozen=True)
class PredictedImage:
    """One row of a table with the model's prediction."""

    row: int
    """1 for the first image of the table."""
    subject: str
    site: str
    label: float
    prediction: float | None
    """Label units; None if the image was refused."""
    nearest_distance: float | None = None
    covered: bool | None = None
    """Whether the label is inside the interval; None without one."""
    unlike_training: bool = False
    """Flagged as out-of-distribution."""
    refused: str = ""
    """Why the image was not predicted; empty if it was."""

    def document(self) -> dict[str, object]:
        """The row for a JSON file; without the subject's name."""
        return {
            "row": self.row,
            "label": self.label,
            "prediction": self.prediction,
            "nearest_distance": self.nearest_distance,
            "site": self.site,
            "unlike_training": self.unlike_training,
            "refused": self.refused,
        }


@dataclass(frozen=True)
class SiteEvaluation:
    """Figures of one site, or of all images; label units unless stated."""

    name: str
    heads: int
    """All images, refused ones included."""
    refused: int
    """Images that were not predicted; no other figure contains them."""
    subjects: int
    """Subjects with a prediction."""
    errors: Errors | None
    """None if every image was refused."""
    interval_coverage: float | None
    """Fraction of labels inside the interval; None without one."""
    unlike_training: float | None
    """Fraction flagged as out-of-distribution."""
    label_range: tuple[float, float]
    """Smallest and largest label."""

    def cells(self) -> tuple[str, ...]:
        """Texts of a row of a table, see `COLUMNS`.

        Returns
        -------
        tuple of str
        """
        e = self.errors
        if e is None:
            return (self.name, str(self.heads), str(self.refused), *[""] * (len(COLUMNS) - 3))
        return (
            self.name,
            str(self.heads),
            str(self.refused),
            f"{e.mae:.2f} ({e.mae_low:.2f} – {e.mae_high:.2f})",
            f"{e.mean_error:+.2f}",
            f"{e.mean_predictor_mae:.2f}",
            f"{e.r:.2f}" if e.images >= FEWEST else "",
            "" if self.interval_coverage is None else f"{self.interval_coverage:.0%}",
            "" if self.unlike_training is None else f"{self.unlike_training:.0%}",
        )

    def figures(self, kind: Kind) -> SiteFigures | None:
        """The same for a model file.

        Parameters
        ----------
        kind : str
            "external" if the site's images did not train the model.

        Returns
        -------
        SiteFigures or None
            None if every image was refused.
        """
        if self.errors is None:
            return None
        return SiteFigures(
            name=self.name,
            kind=kind,
            subjects=self.subjects,
            mae=self.errors.mae,
            mean_error=self.errors.mean_error,
            interval_coverage=self.interval_coverage,
            label_range=self.label_range,
        )


def evaluate_site(
    name: str, images: Sequence[PredictedImage], training_mean: float
) -> SiteEvaluation:
    """Figures of a group of images.

    Parameters
    ----------
    name : str
        Of the site.
    images : sequence of PredictedImage
        At least one.
    training_mean : float
        Prediction of the mean predictor, label units.

    Returns
    -------
    SiteEvaluation
    """
    used = [image for image in images if image.prediction is not None]
    subjects = np.array([image.subject for image in used])
    labels = np.array([image.label for image in used])
    covered = [image.covered for image in used if image.covered is not None]
    every = [image.label for image in (used or images)]
    return SiteEvaluation(
        name=name,
        heads=len(images),
        refused=len(images) - len(used),
        subjects=len(set(subjects.tolist())),
        errors=errors(
            np.array([image.prediction for image in used], dtype=float),
            labels,
            training_mean,
            subjects,
        )
        if used
        else None,
        interval_coverage=float(np.mean(covered)) if covered else None,
        unlike_training=float(np.mean([image.unlike_training for image in used])) if used else None,
        label_range=(min(every), max(every)),
    )


def evaluate_sites(
    images: Sequence[PredictedImage], training_mean: float
) -> tuple[SiteEvaluation, ...]:
    """Figures of every site, in the order of the images.

    Parameters
    ----------
    images : sequence of PredictedImage
    training_mean : float
        Prediction of the mean predictor, label units.

    Returns
    -------
    tuple of SiteEvaluation
    """
    names = dict.fromkeys(image.site for image in images)
    return tuple(
        evaluate_site(name, [image for image in images if image.site == name], training_mean)
        for name in names
    )


def figure_rows(sites: Sequence[SiteFigures]) -> list[tuple[str, ...]]:
    """Texts of a table of the sites of a model, see `FIGURE_COLUMNS`; label units.

    Parameters
    ----------
    sites : sequence of SiteFigures

    Returns
    -------
    list of tuple of str
    """
    return [
        (
            site.name,
            site.kind,
            str(site.subjects),
            f"{site.label_range[0]:g} – {site.label_range[1]:g}",
            f"{site.mae:.2f}",
            f"{site.mean_error:+.2f}",
            "" if site.interval_coverage is None else f"{site.interval_coverage:.0%}",
        )
        for site in sites
    ]


def half_width(calibration: Calibration, unlike_training: bool) -> float:
    """Half width of the interval of an image, label units.

    Parameters
    ----------
    calibration : Calibration
        Of the model.
    unlike_training : bool
        Whether the image is flagged as out-of-distribution; its interval may be wider.

    Returns
    -------
    float
    """
    wide = calibration.shifted_half_width
    if unlike_training and wide is not None:
        return max(wide, calibration.half_width)
    return calibration.half_width
