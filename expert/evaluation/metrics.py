"""Metrics of predictions: error, correlation, age bias, and a check for collapsed models."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from expert.evaluation.bootstrap import mean_interval


@dataclass(frozen=True)
class Errors:
    """Errors of predictions; label units unless stated."""

    images: int
    mae: float
    mae_low: float
    """Lower limit of the 95 % bootstrap interval of the MAE over subjects
    (`expert.evaluation.bootstrap.mean_interval`)."""
    mae_high: float
    rmse: float
    r: float
    """Pearson correlation."""
    r2: float
    mean_predictor_mae: float
    """MAE of always predicting the training mean."""
    slope: float
    """Slope of (prediction - label) on label: 0 is unbiased, -1 is the mean predictor."""
    mean_error: float = 0.0
    """Mean of prediction - label; 0 is unbiased."""


def errors(
    prediction: np.ndarray,
    labels: np.ndarray,
    training_mean: float,
    subjects: np.ndarray | None = None,
) -> Errors:
    """Errors of predictions.

    Parameters
    ----------
    prediction, labels : (N,) ndarray
        Label units.
    training_mean : float
        Prediction of the mean predictor, label units.
    subjects : (N,) ndarray, optional
        Subject of each image. If None, every image is of another subject.

    Returns
    -------
    Errors
    """
    residual = prediction - labels
    absolute = np.abs(residual)
    low, high = mean_interval(absolute, subjects)
    varied = len(labels) > 1 and labels.std() > 0
    r = float(np.corrcoef(prediction, labels)[0, 1]) if varied and prediction.std() > 0 else 0.0
    r2 = float(1 - (residual**2).sum() / ((labels - labels.mean()) ** 2).sum()) if varied else 0.0
    return Errors(
        images=len(labels),
        mae=float(absolute.mean()),
        mae_low=low,
        mae_high=high,
        rmse=float(np.sqrt((residual**2).mean())),
        r=r,
        r2=r2,
        mean_predictor_mae=float(np.abs(labels - training_mean).mean()),
        slope=float(np.polyfit(labels, residual, 1)[0]) if varied else 0.0,
        mean_error=float(residual.mean()),
    )


def bias_line(prediction: np.ndarray, labels: np.ndarray) -> tuple[float, float] | None:
    """Linear fit of held-out predictions on labels, for the correction of the age bias.

    Parameters
    ----------
    prediction, labels : (N,) ndarray
        Of held-out images, label units.

    Returns
    -------
    (intercept, slope) or None
        Intercept in label units; 0 and 1 without a bias. None if the line is too flat to be
        inverted.
    """
    if len(labels) < 3 or labels.std() == 0:
        return None
    slope, intercept = np.polyfit(labels, prediction, 1)
    return (float(intercept), float(slope)) if slope > 0.1 else None


def bias_corrected(prediction: np.ndarray, line: tuple[float, float] | None) -> np.ndarray:
    """Predictions corrected for the age bias.

    They are unbiased on average at every label, with larger errors for single images.

    Parameters
    ----------
    prediction : (N,) ndarray
        Label units.
    line : (intercept, slope) or None
        From `bias_line`; None leaves the predictions as they are.

    Returns
    -------
    (N,) ndarray
        Label units.

    References
    ----------
    .. [1] de Lange and Cole, "Commentary: Correction procedures in brain-age prediction",
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
    """The reason why a model has collapsed, or an empty string.

    Parameters
    ----------
    prediction, labels : (N,) ndarray
        Label units.
    mean_predictor_mae : float or None
        Label units; None if unknown.
    distinct : int
        Number of different subjects among the prototypes.
    prototypes : int
        Number of prototypes.

    Returns
    -------
    str
    """
    mae = float(np.abs(prediction - labels).mean())
    if mean_predictor_mae is not None and mae > 0.9 * mean_predictor_mae:
        return (
            f"its error ({mae:.1f}) is no better than that of the mean predictor "
            f"({mean_predictor_mae:.1f})"
        )
    if prediction.std() < 0.3 * labels.std():
        return (
            f"its predictions hardly vary (standard deviation {prediction.std():.1f}, labels "
            f"{labels.std():.1f})"
        )
    if distinct < max(2, 0.25 * prototypes):
        return f"its {prototypes} prototypes show only {distinct} different subjects"
    return ""
