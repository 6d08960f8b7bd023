"""Validation by site: errors of the cross-validation, and of sites that were held out entirely.

Prediction intervals from a cross-validation assume further images of the same sites. A new site has
a mean error of its own: for images unlike the training images, the largest one at a site that the
training did not contain is added to the half width.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from expert.datasets.prepared_dataset import CohortArrays
from expert.schema import Calibration, SiteFigures
from expert.training.recipe import Recipe


def held_out_sites(recipe: Recipe, cohort: CohortArrays) -> dict[str, np.ndarray]:
    """Sites that can be held out: the others have subjects enough to train the model.

    Parameters
    ----------
    recipe : Recipe
        Its number of prototypes is used.
    cohort : CohortArrays
        All subjects, with the sites of the table.

    Returns
    -------
    dict of str to numpy.ndarray
        Name of a site to its rows; empty if the table has fewer than two sites.
    """
    sites = np.array([entry.site for entry in cohort.entries])
    names = sorted(set(sites.tolist()) - {""})
    if len(names) < 2:
        return {}
    found = {name: np.flatnonzero(sites == name) for name in names}
    needed = recipe.architecture.prototypes
    return {
        name: rows
        for name, rows in found.items()
        if len(np.unique(np.delete(cohort.subjects, rows))) >= needed
    }


def site_figures(
    recipe: Recipe,
    cohort: CohortArrays,
    parts: Sequence[np.ndarray],
    folder: Path,
    calibration: Calibration,
) -> tuple[tuple[SiteFigures, ...], float | None]:
    """Errors by site, and the half width of intervals under shift.

    Parameters
    ----------
    recipe : Recipe
        Of the training.
    cohort : CohortArrays
        All subjects.
    parts : sequence of numpy.ndarray
        Rows held out by each fold, then by each site of `held_out_sites`.
    folder : pathlib.Path
        Folder of the run, which holds the finished folds.
    calibration : Calibration
        From the folds.

    Returns
    -------
    figures : tuple of SiteFigures
        Of each site in the cross-validation, then of each held-out site.
    half_width : float or None
        Half width of the cross-validation, plus the largest absolute mean error at a held-out
        site, label units; None if no site could be held out.
    """
    sites = np.array([entry.site for entry in cohort.entries])
    held_out = held_out_sites(recipe, cohort)
    folds = len(parts) - len(held_out)
    across = np.full(len(sites), np.nan)
    away = np.full(len(sites), np.nan)
    for number, rows in enumerate(parts):
        found = json.loads((folder / f"fold{number}" / "result.json").read_text())["prediction"]
        (across if number < folds else away)[rows] = found
    out = [
        _figures(name, "cross-validation", across, cohort, sites == name, calibration.half_width)
        for name in sorted(set(sites.tolist()) - {""})
        if len(set(sites.tolist())) > 1
    ]
    if not held_out:
        return tuple(out), None
    error = away - cohort.labels
    half = calibration.half_width + max(abs(error[rows].mean()) for rows in held_out.values())
    out += [_figures(name, "site held out", away, cohort, sites == name, half) for name in held_out]
    return tuple(out), float(half)


def _figures(
    name: str,
    kind: Literal["cross-validation", "site held out"],
    prediction: np.ndarray,
    cohort: CohortArrays,
    rows: np.ndarray,
    half_width: float,
) -> SiteFigures:
    labels = cohort.labels[rows]
    error = prediction[rows] - labels
    return SiteFigures(
        name=name,
        kind=kind,
        subjects=len(np.unique(cohort.subjects[rows])),
        mae=float(np.abs(error).mean()),
        mean_error=float(error.mean()),
        interval_coverage=float((np.abs(error) <= half_width).mean()),
        label_range=(float(labels.min()), float(labels.max())),
    )
