"""Error, correlation, age bias and collapse of predictions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from expert.evaluation.bootstrap import mean_interval

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Errors:
    """Figures of predictions against true labels; label units unless said."""

    images: int
    mae: float
    mae_low: float
    """95 % bootstrap interval of the MAE over subjects
    (`expert.evaluation.bootstrap.mean_interval`)."""
    mae_high: float
    rmse: float
    r: float
    """Pearson correlation."""
    r2: float
    mean_predictor_mae: float
    """MAE of always answering the training mean."""
    slope: float
    """Of (prediction - label) on label: 0 is unbiased, -1 is the mean predictor."""


def errors(
    prediction: np.ndarray,
    labels: np.ndarray,
    training_mean: float,
    subjects: np.ndarray | None = None,
) -> Errors:
    """Error figures.

    Parameters
    ----------
    prediction, labels : (N,) label units
    training_mean : what the mean predictor answers
    subjects : (N,) whose image each is; every image is another subject's if None
    """
    residual = prediction - labels
    absolute = np.abs(residual)
    low, high = mean_interval(absolute, subjects)
    varied = len(labels) > 1 and labels.std() > 0
    r = float(np.corrcoef(prediction, labels)[0, 1]) if varied and prediction.std() > 0 else 0.0
    return Errors(
        images=len(labels),
        mae=float(absolute.mean()),
        mae_low=low,
        mae_high=high,
        rmse=float(np.sqrt((residual**2).mean())),
        r=r,
        r2=float(1 - (residual**2).sum() / ((labels - labels.mean()) ** 2).sum())
        if varied
        else 0.0,
        mean_predictor_mae=float(np.abs(labels - training_mean).mean()),
        slope=float(np.polyfit(labels, residual, 1)[0]) if varied else 0.0,
    )


def bias_line(prediction: np.ndarray, labels: np.ndarray) -> tuple[float, float] | None:
    """Start and slope of the line of predictions (N,) over labels (N,), of images kept out of the
    training.

    Returns
    -------
    start in label units, slope : 0 and 1 without a bias; None where the line is too flat to be
        turned around
    """
    if len(labels) < 3 or labels.std() == 0:
        return None
    slope, start = np.polyfit(labels, prediction, 1)
    return (float(start), float(slope)) if slope > 0.1 else None


def bias_corrected(prediction: np.ndarray, line: tuple[float, float] | None) -> np.ndarray:
    """The labels whose average prediction these are: on average right at every label, and farther
    off for each image.

    Source: de Lange and Cole, "Commentary: Correction procedures in brain-age prediction",
    NeuroImage: Clinical 2020.
    """
    return prediction if line is None else (prediction - line[0]) / line[1]


def collapse(
    prediction: np.ndarray,
    labels: np.ndarray,
    mean_predictor_mae: float | None,
    distinct: int,
    prototypes: int,
) -> str:
    """Why these predictions are those of a collapsed model; empty if they are not.

    Parameters
    ----------
    prediction, labels : (N,) label units
    mean_predictor_mae : label units; None where it is not known
    distinct : number of different subjects among the prototypes
    prototypes : number of prototypes
    """
    mae = float(np.abs(prediction - labels).mean())
    if mean_predictor_mae is not None and mae > 0.9 * mean_predictor_mae:
        return (
            f"its error ({mae:.1f}) is that of always answering the mean ({mean_predictor_mae:.1f})"
        )
    if prediction.std() < 0.3 * labels.std():
        return (
            f"its predictions hardly differ (standard deviation {prediction.std():.1f}, labels "
            f"{labels.std():.1f})"
        )
    if distinct < max(2, 0.25 * prototypes):
        return f"its {prototypes} prototypes show only {distinct} different subjects"
    return ""
