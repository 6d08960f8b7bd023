"""Warnings beside a prediction.

Each warning is one function of a `Case`, which returns one sentence or nothing. The function's name
is the warning's code. To add a warning, write such a function and add it to `CHECKS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from expert.comparison import ViewsResult
from expert.explanation import Notice, PrototypeMatch
from expert.imaging.preprocessing import Prepared
from expert.imaging.volume import Volume
from expert.model_file import Model
from expert.novelty import out_of_distribution_text

NOT_REQUESTED = "The images were not requested."
"""Message of a prototype whose image was not looked up; no warning."""


@dataclass(frozen=True)
class Case:
    """One prediction, and everything it was computed from."""

    model: Model
    volume: Volume
    """The image as it was read."""
    prepared: Prepared
    """The image as the network gets it."""
    result: ViewsResult
    """Distances, weights and prediction."""
    prototypes: tuple[PrototypeMatch, ...]
    """The prototypes that are explained in full, by rank."""

    @property
    def unit(self) -> str:
        """Unit of the label."""
        return self.model.info.label.unit


def collapsed_model(case: Case) -> str:
    """The training of the model failed."""
    reason = case.model.info.collapsed
    return f"This model has collapsed: {reason}." if reason else ""


def poor_registration(case: Case) -> str:
    """The registration to the template failed or is doubtful."""
    registration = case.prepared.registration
    return "" if registration is None or registration.acceptable else registration.message


def brain_incomplete(case: Case) -> str:
    """The volume does not contain the whole brain."""
    return case.prepared.incomplete


def unlike_training(case: Case) -> str:
    """The image is out of distribution."""
    prepared = case.prepared
    quality = float("nan") if prepared.registration is None else prepared.registration.quality
    return out_of_distribution_text(
        case.model.info, prepared.images, prepared.content, quality, case.result
    )


def training_image(case: Case) -> str:
    """The image is the training image of one of the prototypes."""
    views = case.prepared.images
    for match in case.prototypes:
        if match.image is None:
            continue
        candidates = views[None] if match.image.ndim == views.ndim else views
        if any(np.abs(one.astype(int) - match.image.astype(int)).mean() < 1 for one in candidates):
            return (
                f"This image is the training image of prototype #{match.rank}: expect a larger "
                "error on new images."
            )
    return ""


def no_prototype_in_radius(case: Case) -> str:
    """No prototype has a weight: the prediction is the label of the nearest one."""
    result = case.result
    if not result.fallback:
        return ""
    where = (
        "on average over the views"
        if result.planes_combined
        else f"in {int(result.fallbacks.sum())} of {len(result.fallbacks)} views"
    )
    return (
        f"No prototype is within {result.radius:g} {case.unit} {where}: the nearest "
        "prototype's label is used instead."
    )


def orientation_unknown(case: Case) -> str:
    """The file does not state which side is left."""
    if case.volume.ndim != 3 or case.volume.space != "unknown":
        return ""
    return (
        "Orientation unknown: the image does not state which side is left. Left and right may be "
        "swapped."
    )


def spacing_unknown(case: Case) -> str:
    """The file does not state the size of its pixels."""
    if case.volume.spacing_known:
        return ""
    return (
        "Pixel size unknown: the image was scaled to fit the model's input, its physical size is "
        "not used."
    )


def views_disagree(case: Case) -> str:
    """The predictions of the views differ by more than the prediction interval."""
    calibration = case.model.info.calibration
    spread = float(np.ptp(case.result.predictions))
    if calibration is None or spread <= 2 * calibration.half_width:
        return ""
    return f"The views disagree: their predictions differ by up to {spread:.1f} {case.unit}."


def prototype_image_missing(case: Case) -> str:
    """The image of a prototype is not available; the prediction does not need it."""
    messages = [match.image_message for match in case.prototypes if match.image is None]
    return next((one for one in messages if one and one != NOT_REQUESTED), "")


CHECKS: tuple[Callable[[Case], str], ...] = (
    collapsed_model,
    poor_registration,
    brain_incomplete,
    unlike_training,
    training_image,
    no_prototype_in_radius,
    orientation_unknown,
    spacing_unknown,
    views_disagree,
    prototype_image_missing,
)
"""All warnings, in the order in which they are shown."""


def collect_notices(case: Case) -> tuple[Notice, ...]:
    """All warnings that apply to a prediction.

    Parameters
    ----------
    case : Case

    Returns
    -------
    tuple[Notice, ...]
        In the order of `CHECKS`; the code of each is the name of its function.
    """
    found = [(check.__name__, check(case)) for check in CHECKS]
    return tuple(Notice(code=code, message=message) for code, message in found if message)
