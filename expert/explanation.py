"""`Explanation`: one prediction and everything it is computed from, frozen and serialisable.

The decomposition is exact (to float precision):

* ``prediction == sum_p share_p * label_p`` over *all* prototypes; the shares sum to 1;
* ``distance_vp == sum_i contribution_vpi`` for every view v and prototype p, over the patches i of
  the image;
* a row of ``flow`` divided by its sum gives the patches of the prototype that a patch of the image
  is matched to.

A *view* is one input of the network: an axial plane of a head, a 2D image, or a 3D volume. Heads
are explained in several planes. The share of a prototype is the mean of its shares in the views;
where prototypes show every view (`together`), it is computed from the mean distance over the views.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from expert.errors import InputError
from expert.files import replacing
from expert.json_arrays import Array
from expert.schema import RESEARCH_USE, ImageReference, later
from expert.untrusted.explanation_arrays import read_explanation


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Interval(_Frozen):
    """Split-conformal prediction interval in label units, with its nominal coverage (0 to 1)."""

    lower: float
    upper: float
    level: float
    shifted: bool = Field(
        False,
        description=(
            "wider because the image is unlike the training images: with the largest mean error at "
            "a site that the training did not contain"
        ),
    )


Severity = Literal["refused", "warning", "note"]
SEVERITIES: dict[Severity, str] = {
    "refused": "Forced prediction",
    "warning": "Warning",
    "note": "Note",
}
"""How serious a notice is, and the words before its message."""


class Notice(_Frozen):
    """One warning: a stable code for programs (see `expert.notices`), one sentence for users."""

    code: str
    message: str
    severity: Severity = "warning"

    @property
    def text(self) -> str:
        """The severity and the message, as users see them."""
        return f"{SEVERITIES[self.severity]}: {self.message}"


class View(_Frozen):
    """One input of the network, with its own prediction."""

    name: str = Field(description='display name: "z = +7 mm" or "image"')
    position_mm: float | None = Field(
        description="height of an axial plane above the AC, template mm; else None"
    )
    image: Array = Field(
        description="(*shape) uint8, axes (A, R) increasing for heads, (row, column) for images"
    )
    affine: Array = Field(
        description="(4, 4) indices (i, j[, k]) padded with 0, to template RAS mm or image mm"
    )
    mass: Array = Field(description="(M,) fraction of the mass in each patch; sums to 1")
    prediction: float
    fallback: bool = Field(
        description="no prototype in radius: the label of the nearest one is used"
    )
    distances: Array = Field(description="(P,) label units")
    shares: Array = Field(
        description="(P,) share of each prototype in this view's prediction; sums to 1"
    )
    contributions: Array = Field(
        description=(
            "(P, M) contribution of each patch to the distance from each prototype, label units; "
            "rows sum to `distances`"
        )
    )


class ViewMatch(_Frozen):
    """How one view was matched to one prototype."""

    distance: float
    share: float
    flow: Array = Field(
        description=(
            "(M, M) transport plan, rows: the image's patches, columns: the prototype's; sums to 1"
        )
    )
    cost: Array = Field(description="(M, M) feature distance of each pair of patches")
    scale: float = Field(description="label units per unit of transported cost")
    marginal_error: float = Field(description="largest deviation of the plan's row and column sums")

    @property
    def contributions(self) -> np.ndarray:
        """(M,) contribution of each patch to `distance`, label units; sums to it."""
        return np.asarray(self.scale * (self.flow.astype(float) * self.cost).sum(axis=1))

    @property
    def prototype_contributions(self) -> np.ndarray:
        """(M,) the same for the patches of the prototype; sums to `distance`."""
        return np.asarray(self.scale * (self.flow.astype(float) * self.cost).sum(axis=0))

    def matches(self, patch: int) -> np.ndarray:
        """Patches of the prototype that a patch of the image is matched to.

        Parameters
        ----------
        patch : int

        Returns
        -------
        (M,) ndarray
            Fractions that sum to 1, or all 0 for a patch without mass.
        """
        row = self.flow[patch].astype(float)
        total = row.sum()
        return np.asarray(row / total if total > 0 else row)


class AverageOf(_Frozen):
    """Whom an average image shows: at least ten people, by their labels."""

    people: int = Field(ge=10)
    low: float = Field(description="smallest label, label units")
    high: float = Field(description="largest label, label units")
    noun: Literal["people", "fetuses"] = "people"

    @property
    def text(self) -> str:
        """For titles: "average of 12 people of 43–47"."""
        low, high = f"{self.low:.0f}", f"{self.high:.0f}"
        return f"average of {self.people} {self.noun} of {low if low == high else f'{low}–{high}'}"


class PrototypeMatch(_Frozen):
    """One of the prototypes with the largest weights: a training image with its label."""

    rank: int = Field(description="1 for the largest share")
    index: int = Field(description="0-based index into the model's prototypes")
    label: float = Field(description="the label used in the prediction")
    source_label: float | None = Field(
        description="the label of the training image it shows; None if unknown"
    )
    share: float = Field(description="its weight in the prediction, 0 to 1")
    distance: float = Field(description="mean distance over the views, label units")
    reference: ImageReference | None
    image: Array | None = Field(
        description=(
            "(*shape) uint8 as `View.image`, (V, *shape) where it shows every view; None if it is "
            "not available; see `average`"
        )
    )
    average: AverageOf | None = Field(
        None,
        exclude_if=lambda value: value is None,
        description="of whom `image` is the average, instead of the prototype's own image",
    )
    image_message: str = Field("", description="why its own image is missing, how to get it")
    position_mm: float | None = None
    views: tuple[ViewMatch, ...] = Field(description="one per view of the explanation")

    @property
    def own_image(self) -> np.ndarray | None:
        """The image of this prototype; None if it is not available, even if an average is."""
        return self.image if self.average is None else None

    @property
    def own_label(self) -> float:
        """The label of the image it shows, if known; else the label used in the prediction."""
        return self.label if self.source_label is None else self.source_label


class RegistrationSummary(_Frozen):
    """The registration of the head to the template."""

    template_to_subject: Array = Field(description="(4, 4) template RAS mm to the subject's RAS mm")
    quality: float = Field(description="0 to 1, see `expert.imaging.registration`")
    acceptable: bool


class HeadSize(_Frozen):
    """The ellipse of a fetal head: its circumference, and its axes from end to end."""

    circumference_mm: float
    axes_mm: tuple[float, float]

    @property
    def text(self) -> str:
        """As "Head circumference 183 mm (ellipse of 66 × 51 mm)."."""
        axes = " × ".join(f"{axis:.0f}" for axis in self.axes_mm)
        return f"Head circumference {self.circumference_mm:.0f} mm (ellipse of {axes} mm)."


class Explanation(_Frozen):
    """A prediction and what it is computed from; the module's docstring lists what is exact."""

    schema_version: Literal[1] = 1
    statement: str = RESEARCH_USE
    forced: str = Field(
        "", description="why the image was refused, if it was predicted all the same; else empty"
    )
    label_name: str
    unit: str
    prediction: float
    range_end: Literal["", "low", "high"] = Field(
        "", description="near the smallest (largest) label of a prototype: or less (or more)"
    )
    interval: Interval | None
    together: bool = Field(
        False, description="by the mean distances over the views, not the mean of predictions"
    )
    fallback: bool = Field(
        description="whether any view (or the combined views) found no prototype in radius"
    )
    nearest_distance: float = Field(
        description="smallest mean distance over the views, label units"
    )
    prototypes_in_radius: int
    prototypes: tuple[PrototypeMatch, ...] = Field(description="the `top` prototypes by share")
    labels: Array = Field(description="(P,) labels of all prototypes")
    source_labels: Array = Field(
        description="(P,) labels of the images they show; NaN where unknown"
    )
    distances: Array = Field(description="(P,) mean distance over the views")
    shares: Array = Field(description="(P,) share in the prediction; sums to 1")
    radius: float
    views: tuple[View, ...]
    grid: tuple[int, ...] = Field(
        description="patches per axis of the grid; M is their product, in C order"
    )
    registration: RegistrationSummary | None
    head_size: HeadSize | None = later(None, description="of a fetal head, shown in its frame")
    warnings: tuple[Notice, ...]
    prior: float = Field(
        0.0,
        description="cost per patch of distance in the matching; not part of the distances",
    )
    guide: bool = Field(
        False,
        description=("patches were matched by a separate network that was trained without labels"),
    )
    coordinates: bool = Field(
        False, description="patches were matched by their place in the average brain"
    )
    confined: bool | None = Field(
        None,
        description=(
            "whether the features of a patch depend on nothing outside its box; None: not known "
            "(saved by an earlier version)"
        ),
    )
    norms: dict[str, Array] = Field(
        default_factory=dict,
        description=(
            "tissue fractions of the training images by label, see "
            "`expert.evidence.tissue_norms`; empty if the model has none"
        ),
    )
    summary: str = Field("", description="what moved the prediction, in a sentence")
    input_sha256: str = Field("", description="`Volume.fingerprint` of the image")
    model_name: str
    model_version: str
    model_sha256: str
    versions: dict[str, str]

    @property
    def range_text(self) -> str:
        """Text after the prediction: " or more", " or less", or nothing; see `range_end`."""
        return {"": "", "low": " or less", "high": " or more"}[self.range_end]

    @property
    def prediction_text(self) -> str:
        """The prediction in words: "79.3 years or more"."""
        return f"{self.prediction:.1f} {self.unit}{self.range_text}"

    @property
    def forced_text(self) -> str:
        """What every output of a forced prediction says first; empty for all others."""
        return next((notice.text for notice in self.warnings if notice.severity == "refused"), "")

    @property
    def interval_missing(self) -> str:
        """Why there is no interval, in a few words; empty if there is one."""
        if self.interval is not None:
            return ""
        if self.forced:
            return "no interval: the image was refused"
        if any(notice.code == "unlike_training" for notice in self.warnings):
            return "no interval: the image is too unlike the training images"
        return "no interval: the model is not calibrated"

    @property
    def view_shape(self) -> tuple[int, ...]:
        """Pixels per axis of each view."""
        return tuple(self.views[0].image.shape)

    @property
    def spread(self) -> float:
        """Largest difference between the views' predictions, label units."""
        each = [view.prediction for view in self.views]
        return max(each) - min(each)

    def patch_box(self, patch: int) -> tuple[tuple[float, float], ...]:
        """Start and stop of a patch along each axis of a view.

        Parameters
        ----------
        patch : int

        Returns
        -------
        tuple[tuple[float, float], ...]
            In pixels; pixel 0 extends from 0 to 1.
        """
        cell = np.unravel_index(patch, self.grid)
        step = [n / g for n, g in zip(self.view_shape, self.grid, strict=True)]
        return tuple((float(c * s), float((c + 1) * s)) for c, s in zip(cell, step, strict=True))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the explanation as JSON, with images but without names or paths of the patient.

        Parameters
        ----------
        path : path-like

        Returns
        -------
        pathlib.Path
            The file.

        Raises
        ------
        InputError
            The file cannot be written.
        """
        target = Path(path)
        try:
            with replacing(target) as temporary:
                temporary.write_text(self.model_dump_json(), encoding="utf-8")
        except OSError as error:
            raise InputError(
                f"The explanation could not be written to {target}: {error.strerror}."
            ) from error
        return target

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Explanation:
        """Read an explanation written by `save`.

        Parameters
        ----------
        path : path-like

        Returns
        -------
        Explanation

        Raises
        ------
        InputError
            The file is missing, too large, damaged, or not an explanation of a known version.
        """
        source = Path(path)
        try:
            return read_explanation(cls, source)
        except OSError as error:
            raise InputError(
                f"The explanation {source.name} could not be read: {error.strerror}."
            ) from error
        except ValueError as error:
            raise InputError(
                f"{source.name} is not an explanation saved by napari-expert, or is damaged or of "
                "a newer version: save it again, or update napari-expert."
            ) from error
