"""Warnings beside a prediction.

Each warning is one function of a `Case`, which returns one or two sentences or nothing. The
function's name is the warning's code. To add a warning, write such a function and add it to
`CHECKS`, with its severity.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from expert.comparison import ViewsResult
from expert.explanation import Interval, Notice, PrototypeMatch, Severity
from expert.imaging.preprocessing import Prepared
from expert.imaging.volume import Volume
from expert.model_file import Model
from expert.novelty import Novelty, measure_novelty

NEAR_END = 0.1
"""A prediction this near to the smallest or largest label of a prototype is said to be at the end
of the range; fraction of the range."""
NOT_REQUESTED = "The images were not requested."
"""Message of a prototype whose image was not looked up; no warning."""
SAME = 0.02
"""Images are the same if their distance in place is less than this part of the radius."""


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

    @property
    def forced(self) -> str:
        """Why the image must not be predicted, in one sentence; empty if it may be."""
        return self.prepared.refusal

    @cached_property
    def novelty(self) -> Novelty:
        """How unlike the training images the image is."""
        prepared, registration = self.prepared, self.prepared.registration
        quality = float("nan") if registration is None else registration.quality
        return measure_novelty(
            self.model.info, prepared.images, prepared.content, quality, self.result
        )

    @cached_property
    def interval(self) -> Interval | None:
        """The prediction interval, wider for images unlike the training images.

        None without a calibration, for refused images, and for images strongly unlike the training
        images if the model has no half width for these.
        """
        calibration = self.model.info.calibration
        if calibration is None or self.forced:
            return None
        half, wide = calibration.half_width, calibration.shifted_half_width
        if wide is None and self.novelty.strong:
            return None
        shifted = wide is not None and bool(self.novelty.text) and wide > half
        if wide is not None and shifted:
            half = wide
        middle, level = self.result.prediction, calibration.level
        return Interval(lower=middle - half, upper=middle + half, level=level, shifted=shifted)

    @property
    def label_range(self) -> tuple[float, float]:
        """Smallest and largest label of a prototype: no prediction is outside."""
        labels = self.model.network.prototype_labels
        return float(labels.min()), float(labels.max())

    @property
    def range_end(self) -> Literal["", "low", "high"]:
        """The end of the range of labels that the prediction is near to."""
        (low, high), prediction = self.label_range, self.result.prediction
        margin = NEAR_END * (high - low)
        if margin <= 0:
            return ""
        if prediction >= high - margin:
            return "high"
        return "low" if prediction <= low + margin else ""


def forced_prediction(case: Case) -> str:
    """The image was refused, and predicted because the user insisted."""
    if not case.forced:
        return ""
    return f"The image was refused: the result is probably wrong and has no interval. {case.forced}"


def collapsed_model(case: Case) -> str:
    """The training of the model failed."""
    reason = case.model.info.collapsed
    return f"This model has collapsed: {reason}." if reason else ""


def poor_registration(case: Case) -> str:
    """The registration to the template failed or is doubtful."""
    registration = case.prepared.registration
    if registration is None or registration.acceptable:
        return ""
    if registration.message == case.forced:  # which is said already
        return f"The registration is not acceptable (quality {registration.quality:.2f} of 1)."
    return registration.message


def brain_incomplete(case: Case) -> str:
    """The volume does not contain the whole brain."""
    return case.prepared.incomplete


def extracted_tightly(case: Case) -> str:
    """A part of the brain was removed with the skull."""
    return case.prepared.extracted_tightly


def pixel_size_doubtful(case: Case) -> str:
    """A fetal head was measured with an unusual pixel size."""
    return "" if case.prepared.outline is None else case.prepared.outline.doubt


def unlike_training(case: Case) -> str:
    """The image is out of distribution."""
    text = case.novelty.text
    if not text or case.forced:
        return text
    if case.interval is None:
        return f"{text} No interval is given: the image is too unlike the training images."
    if case.interval.shifted:
        return (
            f"{text} The interval is wider because the image is unlike the training images: it "
            "includes the largest mean error at a site that the training did not contain."
        )
    return text


def range_limit(case: Case) -> str:
    """The prediction is near the smallest or largest label of a prototype."""
    if not case.range_end:
        return ""
    value = f"{case.result.prediction:.1f} {case.unit}"
    (low, high), name = case.label_range, case.model.info.label.name
    if case.range_end == "high":
        return f"{value} means {value} or more: no prototype's {name} is above {high:.1f}."
    return f"{value} means {value} or less: no prototype's {name} is below {low:.1f}."


def training_image(case: Case) -> str:
    """The image is the training image of one of the prototypes: their patches are the same."""
    same = case.result.distances_in_place().min(axis=0) < SAME * case.result.radius
    if not same.any():
        return ""
    ranks = [match.rank for match in case.prototypes if same[match.index]]
    which = f"prototype #{ranks[0]}" if ranks else "one of the prototypes"
    return f"This image is the training image of {which}: expect a larger error on new images."


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


def reading_doubtful(case: Case) -> str:
    """The reader found something that may be wrong with the image."""
    return " ".join(case.volume.doubts)


def reading_assumed(case: Case) -> str:
    """The reader chose, repaired or assumed something."""
    return " ".join(case.volume.assumed)


def views_disagree(case: Case) -> str:
    """The predictions of the views differ by more than the prediction interval."""
    calibration = case.model.info.calibration
    spread = float(np.ptp(case.result.predictions))
    if calibration is None or spread <= 2 * calibration.half_width:
        return ""
    return f"The views disagree: their predictions differ by up to {spread:.1f} {case.unit}."


def prototype_image_missing(case: Case) -> str:
    """The image of a prototype is not available; the prediction does not need it."""
    missing = [match for match in case.prototypes if match.own_image is None]
    averages = sum(match.average is not None for match in missing)
    messages = (match.image_message for match in missing)
    message = next((one for one in messages if one and one != NOT_REQUESTED), "")
    if not averages or not message:
        return message
    return (
        f"{averages} of {len(case.prototypes)} prototypes are shown as the average of at least ten "
        f"training subjects of their {case.model.info.label.name}. {message}"
    )


CHECKS: dict[Callable[[Case], str], Severity] = {
    forced_prediction: "refused",
    collapsed_model: "warning",
    poor_registration: "warning",
    brain_incomplete: "warning",
    extracted_tightly: "warning",
    pixel_size_doubtful: "warning",
    unlike_training: "warning",
    training_image: "warning",
    no_prototype_in_radius: "warning",
    reading_doubtful: "warning",
    orientation_unknown: "warning",
    spacing_unknown: "warning",
    views_disagree: "warning",
    range_limit: "note",
    reading_assumed: "note",
    prototype_image_missing: "note",
}
"""All warnings with their severity, in the order in which they are shown."""


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
    found = [(check, check(case), severity) for check, severity in CHECKS.items()]
    return tuple(
        Notice(code=check.__name__, message=message, severity=severity)
        for check, message, severity in found
        if message
    )
