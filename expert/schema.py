"""What a model says about itself: the pydantic documents inside a model file and a recipe.

Everything that crosses a boundary (file, process, user) is one of these frozen documents; unknown
fields are refused, so a typo in a recipe is an error and not a silent default.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    model_validator,
)

SCHEMA_VERSION = 1
GUIDE_WIDTHS = (32, 64, 128)
"""Channels of a guide's residual stages, as many as its grid allows."""
RESEARCH_USE = "Research use only. Not for clinical decisions."


class Document(BaseModel):
    """Frozen, strict about names, finite numbers only."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def later(default: Any, **settings: Any) -> Any:
    """A field that is newer than the first files: not written where it holds its default.

    Models, recipes and prepared images from before keep their checksum, and older versions can read
    what they know.
    """
    return Field(default, exclude_if=lambda value: value == default, **settings)


class Label(Document):
    """The continuous quantity that is predicted."""

    name: str = "age"
    unit: str = "years"
    minimum: float = Field(description="smallest training label, in `unit`")
    maximum: float = Field(description="largest training label, in `unit`")

    @model_validator(mode="after")
    def _ordered(self) -> Label:
        if self.minimum >= self.maximum:
            raise ValueError("label minimum must be below its maximum")
        return self


class InputSettings(Document):
    """How a file becomes the network's input.

    `space` "mni": a head, registered to the MNI template; `positions_mm` are the axial planes (mm
    above the anterior commissure) that are each explained and whose predictions are averaged.
    `space` "image": a plain 2D image, resampled to `spacing_mm` where its pixel size is known and
    fitted into `shape`. `intensity` "robust": the darkest and (nearly) the brightest grey value
    become 0 and 1; "full" (plain images only): the file's whole range does, 0 to 255 of an 8-bit
    file; "white matter" (heads only): white matter has one and the same grey value everywhere in
    every head (`expert.imaging.bias_field`).
    """

    space: Literal["mni", "image"] = "mni"
    shape: tuple[int, ...] = Field(
        (192, 160), description="cells of the input, axes (A, R) or (row, column)"
    )
    spacing_mm: float = Field(1.0, gt=0, description="mm per cell of the input")
    center_mm: tuple[float, ...] = Field(
        (-17.0, 0.0), description="template mm at the centre of `shape`, axes (A, R)"
    )
    positions_mm: tuple[float, ...] = Field(
        (3.0, 5.0, 7.0, 9.0, 11.0), min_length=1, description="planes explained and averaged, mm S"
    )
    training_positions_mm: tuple[float, ...] = Field(
        (3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0),
        description="planes the network is trained on, mm S",
    )
    intensity: Literal["robust", "full", "white matter"] = later(
        "robust", description="grey values that become 0 and 1"
    )
    sized: bool = later(
        False, description="sizes matter: a plain image whose pixel size is unknown is refused"
    )

    @model_validator(mode="after")
    def _sized(self) -> InputSettings:
        if len(self.shape) not in (2, 3) or min(self.shape) < 8:
            raise ValueError("input shape must have 2 or 3 axes of at least 8 cells")
        if self.space == "mni" and len(self.center_mm) != len(self.shape):
            raise ValueError("center_mm must have one entry per axis of shape")
        if self.space == "image" and len(self.shape) != 2:
            raise ValueError("plain images are 2D: shape must have 2 axes")
        if self.intensity == "full" and self.space != "image":
            raise ValueError(
                "intensity full is for plain images: the grey values of a scan have no fixed range"
            )
        if self.sized and self.space != "image":
            raise ValueError(
                "sized is for plain images: a head without a voxel size is refused anyway"
            )
        if self.intensity == "white matter" and self.space != "mni":
            raise ValueError("intensity white matter is for heads: a plain image has none")
        return self


InputRecipe = InputSettings  # former name


class Architecture(Document):
    """Backbone, prototypes and matching (see docs/method.md for what departs from the published
    setting)."""

    dimensions: Literal[2, 3] = 2
    backbone: Literal["residual", "histogram"] = later(
        "residual",
        description="residual network (published), or a histogram of grey values in each patch",
    )
    bins: int = later(20, ge=2, description="of a cell's histogram")
    widths: tuple[int, ...] = Field(
        (64, 128, 256, 512),
        description=(
            "channels of each residual stage, two blocks each; hidden units for a histogram"
        ),
    )
    shrink: int = later(
        1,
        ge=1,
        description=(
            "input cells per axis averaged to one before the first stage of a residual network"
        ),
    )
    pool: int = Field(
        1,
        ge=1,
        description="average pooling after the last stage, cells per axis; a histogram's box",
    )
    channels: int = Field(512, ge=1, description="channels of the feature grid, values in (0, 1)")
    guide: int = later(
        0,
        ge=0,
        description=(
            "channels of a network without labels by which patches are matched; 0: by what "
            "they are compared by"
        ),
    )
    planes: int = later(
        1,
        ge=1,
        description="of a prototype; if not 1, it shows its subject in every "
        "explained plane, each is "
        "held against the same "
        "one, and their mean distance decides",
    )
    members: int = later(1, ge=1, description="networks trained one by one, their distances joined")
    prototypes: int = Field(100, ge=2)
    radius: float = Field(
        5.0,
        gt=0,
        description=(
            "label units; beyond it a prototype has no weight, or next to none: see weights"
        ),
    )
    weights: Literal["cut", "relative"] = later(
        "cut",
        description=(
            "0 beyond the radius (published), or never: relative to the nearest prototype's"
        ),
    )
    regularization: float = Field(0.1, gt=0, description="entropic regularisation of the transport")
    matching: Literal["transport", "position", "average"] = later(
        "transport",
        description=(
            "patches by optimal transport (published), each with its own place, or their averages"
        ),
    )
    prior: float = later(
        0.0,
        ge=0,
        description=(
            "added per cell of distance to the cost by which patches are matched, not to the "
            "distances"
        ),
    )
    marginals: Literal["uniform", "content"] = Field(
        "uniform",
        description="mass of each cell: equal (published), or its share of the brain's area",
    )
    mirrored: tuple[Literal[0, 1, 2], ...] = later(
        (), description="image axes the network reads from their far end (models trained elsewhere)"
    )

    @model_validator(mode="before")
    @classmethod
    def _without_floor(cls, data: Any) -> Any:
        if not isinstance(data, dict) or "floor" not in data:
            return data
        if data["floor"]:
            raise ValueError("floor is no longer supported: remove it and train the model again")
        return {name: value for name, value in data.items() if name != "floor"}

    @model_validator(mode="after")
    def _usable(self) -> Architecture:
        if self.guide and self.matching != "transport":
            raise ValueError(
                "guide is for matching by transport: nothing else asks which patches are alike"
            )
        return self

    def problem(self, recipe: InputSettings) -> str:
        """Why it cannot see what the recipe prepares; empty where it can."""
        if self.dimensions != len(recipe.shape):
            return "architecture and input differ in their number of axes"
        if any(n % self.stride for n in recipe.shape):
            return f"input shape {recipe.shape} is not a multiple of the stride {self.stride}"
        explained = (
            len(recipe.positions_mm) if recipe.space == "mni" and len(recipe.shape) == 2 else 1
        )
        if self.planes not in (1, explained):
            return (
                f"prototypes of {self.planes} planes need as many explained ones, not {explained}"
            )
        return ""

    def grid(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Cells per axis of the feature grid of an input of that shape."""
        return tuple(n // self.stride for n in shape)

    @property
    def planes_combined(self) -> bool:
        """Whether prototypes show every explained plane, and the mean distance decides."""
        return self.planes > 1

    @property
    def latent(self) -> int:
        """Channels of a patch: those of all members, then the guide's."""
        return self.members * self.channels + self.guide

    @property
    def joined(self) -> bool:
        """Whether the network is put together of parts that are trained one by one."""
        return self.members > 1 or self.guide > 0

    @property
    def guiding(self) -> Architecture:
        """Of the guide's network: of the same grid, as few stages as see what is around a cell.

        In three dimensions it reads the image at half its resolution, where the grid allows: an
        eighth of the work.
        """
        shrink = 2 if self.dimensions == 3 and self.stride >= 8 else 1
        left = max(4, self.stride // shrink)
        stages = min(3, max(1, int(math.log2(left)) - 1))
        return Architecture(
            dimensions=self.dimensions,
            shrink=shrink,
            widths=GUIDE_WIDTHS[:stages],
            pool=max(1, left // (4 * 2 ** (stages - 1))),
            channels=self.guide,
            mirrored=self.mirrored,
        )

    @property
    def stride(self) -> int:
        """Input cells per feature cell and axis: before the stem, 4 there, 2 for each stage after
        the first, the pooling."""
        if self.backbone == "histogram":
            return self.pool
        return self.shrink * 4 * int(2 ** (len(self.widths) - 1)) * self.pool


class ImageReference(Document):
    """Where a prototype's image comes from; never a person's name, and a path only relative to a
    public data set."""

    dataset: str
    subject: str
    file: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    position_mm: float | None = None
    template_to_subject: tuple[tuple[float, float, float, float], ...] | None = Field(
        None, description="4x4, template RAS mm to the subject's RAS mm"
    )
    pixel_size_mm: float | None = later(
        None, gt=0, description="of a plain 2D image, which does not tell it itself"
    )


class PrototypeInfo(Document):
    """One prototype: the label it votes with, and the training image it is."""

    label: float
    source_label: float | None = Field(
        description="the image's own label; None where the model does not tell"
    )
    reference: ImageReference | None = None


class Familiarity(Document):
    """What training images look like on average, and from which score on an image is unlike them
    (`expert.novelty`)."""

    histogram: tuple[float, ...] = Field(
        description="cumulated shares of the grey values inside the content, 0 to 1"
    )
    brightness: tuple[tuple[float, ...], ...] = Field(
        description="(V, M) mean grey of each cell, 0 to 1"
    )
    brightness_spread: tuple[tuple[float, ...], ...] = Field(
        description="(V, M) standard deviation over subjects"
    )
    detail: tuple[tuple[float, ...], ...] = Field(
        description="(V, M) log of the mean gradient of each cell"
    )
    detail_spread: tuple[tuple[float, ...], ...] = Field(
        description="(V, M) standard deviation over subjects"
    )
    center: dict[str, float] = Field(
        description="median of each sign in images kept out of the training"
    )
    spread: dict[str, float] = Field(description="from there to the 95th percentile")
    limit: float = Field(description="of the score: above it an image is unlike the training data")
    images: int = Field(gt=0, description="kept-out images these figures come from")


class Calibration(Document):
    """What validation images, never the training images, taught about the model's own error."""

    level: float = Field(0.9, gt=0, lt=1)
    half_width: float = Field(
        gt=0, description="split-conformal half width of the interval, label units"
    )
    nearest_distance_limit: float = Field(
        gt=0, description="above it an image is unlike the training data, label units"
    )
    images: int = Field(gt=0, description="validation subjects these figures come from")
    bias: tuple[float, float] | None = later(
        None,
        description=(
            "start (label units) and slope of the prediction as a line of the label: "
            "regression to the mean"
        ),
    )
    familiarity: Familiarity | None = later(
        None, description="None in models that know the nearest distance only"
    )


class TrainingInfo(Document):
    """Where the weights come from; None is unknown."""

    dataset: str
    licence: str
    subjects: int | None
    images: int | None
    seed: int | None
    recipe: dict[str, object]

    @property
    def people(self) -> str:
        """How many were trained on, for people: "145 subjects"."""
        return (
            "an unknown number of subjects"
            if self.subjects is None
            else f"{self.subjects} subjects"
        )


class ModelInfo(Document):
    """The one JSON document in the header of a model file."""

    schema_version: Literal[1] = 1
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    version: str = "1"
    label: Label
    input: InputSettings
    architecture: Architecture
    prototypes: tuple[PrototypeInfo, ...]
    training: TrainingInfo
    validation: dict[str, float] = Field(default_factory=dict)
    calibration: Calibration | None = None
    collapsed: str = Field(
        "", description="why the model counts as collapsed; empty when it does not"
    )
    versions: dict[str, str] = Field(default_factory=dict)
    card: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> ModelInfo:
        a, i = self.architecture, self.input
        if len(self.prototypes) != a.prototypes:
            raise ValueError(
                f"{len(self.prototypes)} prototypes are described, the architecture has "
                f"{a.prototypes}"
            )
        if a.problem(i):
            raise ValueError(a.problem(i))
        if any(axis >= a.dimensions for axis in a.mirrored):
            raise ValueError(f"mirrored names an axis the input has not: {a.mirrored}")
        return self

    @property
    def grid(self) -> tuple[int, ...]:
        """Cells per axis of the feature grid."""
        return self.architecture.grid(self.input.shape)

    @property
    def patches(self) -> int:
        """M, the number of cells of the feature grid."""
        return math.prod(self.grid)
