"""Accuracy of a model on several data sets, by site: a page with a table and a plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from expert.errors import InputError
from expert.evaluation.accuracy import evaluate, mean_prediction
from expert.evaluation.sites import ALL, COLUMNS, SiteEvaluation, evaluate_site, evaluate_sites
from expert.report.style import write_svg
from expert.schema import RESEARCH_USE
from studies.external.predictions import Progress, reasons, table
from studies.plots import scatter_by_site

if TYPE_CHECKING:
    from expert.evaluation.sites import PredictedImage
    from expert.model_file import Model


@dataclass(frozen=True)
class SiteResults:
    """Results of `run_study`."""

    model: str
    unit: str
    images: tuple[PredictedImage, ...]
    """Of all tables."""
    sites: tuple[SiteEvaluation, ...]
    """Of every site, then of all images."""
    prototype_images: int
    """Number of images that are prototypes of the model."""


def run_study(
    model: Model,
    tables: Sequence[str | Path],
    *,
    label_column: str | None = None,
    arrays: str | Path | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> SiteResults:
    """Evaluate a model on several tables.

    Parameters
    ----------
    model : Model
    tables : sequence of path-like
        Tables of images with labels. A table without the column `site` is one site, named after
        its folder.
    label_column : str, optional
        Column of the label; found by name if None.
    arrays : path-like, optional
        Folder that keeps the prepared images.
    jobs : int, optional
        Number of processes that prepare images.
    progress : callable, optional
        Called with a stage and a fraction.

    Returns
    -------
    SiteResults

    Raises
    ------
    InputError
        There is no table, or one cannot be used.
    """
    if not tables:
        raise InputError("There is no table: name at least one with --data.")
    found = [
        evaluate(
            model, path, label_column=label_column, arrays=arrays, jobs=jobs, progress=progress
        )
        for path in tables
    ]
    # Subjects of different tables are different ones, whatever their names.
    images = tuple(
        replace(image, subject=f"{n}/{image.subject}")
        for n, one in enumerate(found)
        for image in one.images
    )
    middle = mean_prediction(model.info)
    return SiteResults(
        model=model.info.name,
        unit=model.info.label.unit,
        images=images,
        sites=(*evaluate_sites(images, middle), evaluate_site(ALL, images, middle)),
        prototype_images=sum(one.prototype_images for one in found),
    )


def write_page(found: SiteResults, out: Path) -> Path:
    """Write the page, and the plot next to it with the ending .svg.

    Parameters
    ----------
    found : SiteResults
    out : pathlib.Path
        Markdown file.

    Returns
    -------
    pathlib.Path
        The plot.
    """
    groups = {}
    for site in dict.fromkeys(image.site for image in found.images):
        used = [
            image for image in found.images if image.site == site and image.prediction is not None
        ]
        if used:
            groups[site] = (
                np.array([image.label for image in used]),
                np.array([image.prediction for image in used], dtype=float),
            )
    figure = scatter_by_site(groups, found.unit)
    plot = write_svg(figure, out.with_suffix(".svg"), figure.axes[0].get_title())
    out.write_text(markdown(found, plot.name), encoding="utf-8")
    return plot


def markdown(found: SiteResults, plot: str) -> str:
    """The page. It contains no subject names and no file paths.

    Parameters
    ----------
    found : SiteResults
    plot : str
        File name of the plot.

    Returns
    -------
    str
        Markdown.
    """
    out = [
        "# External validation",
        "",
        f"Model {found.model}. Errors are in {found.unit}, of the heads that were not refused. "
        "*MAE*: mean absolute error, with its 95 % bootstrap interval over subjects. *Mean error*: "
        "mean of prediction minus label. *Mean predictor*: MAE of always predicting the mean "
        "training label. *r*: correlation with the label. *Interval covers*: fraction of labels "
        "inside the prediction interval. *Flagged*: fraction flagged as out-of-distribution.",
        *table(COLUMNS, [site.cells() for site in found.sites]),
    ]
    if found.prototype_images:
        out += [
            "",
            f"**{found.prototype_images} of the images are prototypes of the model: it was trained "
            "on their site, and these figures are too good.**",
        ]
    out += reasons([image.refused for image in found.images])
    out += ["", f"![Predicted against true label, by site]({plot})"]
    return "\n".join([*out, "", RESEARCH_USE, ""])
