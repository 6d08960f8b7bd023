"""Warnings that accompany a prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from expert.comparison import ViewsResult
from expert.explanation import (
    Notice,
    PrototypeMatch,
)
from expert.imaging.preprocessing import Prepared
from expert.imaging.volume import Volume
from expert.model_file import Model
from expert.novelty import unlike_training

if TYPE_CHECKING:
    pass


def _shows(image: np.ndarray, prepared: Prepared) -> bool:
    """Whether a prototype's image is one of the prepared views, but for a grey value or two."""
    views = prepared.images[None] if image.ndim == prepared.images.ndim else prepared.images
    return any(np.abs(view.astype(int) - image.astype(int)).mean() < 1 for view in views)


def collect_notices(
    model: Model,
    volume: Volume,
    prepared: Prepared,
    result: ViewsResult,
    prototypes: list[PrototypeMatch],
) -> tuple[Notice, ...]:
    info, unit = model.info, model.info.label.unit
    out = []
    if info.collapsed:
        out.append(
            Notice(code="collapsed_model", message=f"This model has collapsed: {info.collapsed}.")
        )
    if prepared.registration is not None and not prepared.registration.acceptable:
        out.append(Notice(code="poor_registration", message=prepared.registration.message))
    if prepared.incomplete:
        out.append(Notice(code="brain_incomplete", message=prepared.incomplete))
    quality = float("nan") if prepared.registration is None else prepared.registration.quality
    strange = unlike_training(info, prepared.images, prepared.content, quality, result)
    if strange:
        out.append(Notice(code="unlike_training", message=strange))
    same = [p.rank for p in prototypes if p.image is not None and _shows(p.image, prepared)]
    if same:
        out.append(
            Notice(
                code="training_image",
                message=(
                    f"This image is itself prototype #{same[0]}: the model was trained on it, "
                    "and is farther off for others."
                ),
            )
        )
    if result.fallback:
        views = int(result.fallbacks.sum())
        where = (
            f"in {views} of {len(result.fallbacks)} views: there"
            if result.together is None
            else "on average of the views"
        )
        out.append(
            Notice(
                code="no_prototype_in_radius",
                message=(
                    f"No prototype within {result.radius:g} {unit} {where}, the nearest "
                    "prototype's label is the answer."
                ),
            )
        )
    if volume.ndim == 3 and volume.space == "unknown":
        out.append(
            Notice(
                code="orientation_unknown",
                message=(
                    "Orientation unknown: the image does not say which side is left, so left "
                    "and right may be swapped."
                ),
            )
        )
    if not volume.spacing_known:
        out.append(
            Notice(
                code="spacing_unknown",
                message=(
                    "Pixel size unknown: the image was fitted into the frame, its size is unseen."
                ),
            )
        )
    spread = float(np.ptp(result.predictions))
    if info.calibration is not None and spread > 2 * info.calibration.half_width:
        out.append(
            Notice(
                code="views_disagree",
                message=(
                    f"The views disagree: their predictions differ by up to {spread:.1f} {unit}."
                ),
            )
        )
    if any(
        p.image is None and p.image_message and "not asked" not in p.image_message
        for p in prototypes
    ):
        missing = next(p.image_message for p in prototypes if p.image is None)
        out.append(Notice(code="prototype_image_missing", message=missing))
    return tuple(out)
