"""Documents in model files and recipes: settings of the input and the network, model metadata.

They are frozen pydantic models. Unknown fields are refused, so that a misspelt setting is an error.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from expert.untrusted.limits import architecture_excess, input_excess

SCHEMA_VERSION = 1
RESEARCH_USE = "Research use only. Not for clinical decisions."


class Document(BaseModel):
    """Base class: frozen, no unknown fields, finite numbers only."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def later(default: Any, **settings: Any) -> Any:
    """A field that was added later: it is not written while it has its default.

    Older models, recipes and prepared images keep their checksums.
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
    """How an image is prepared as input of the network.

    `space` "mni": a head, registered to the MNI template; `positions_mm` are the axial planes (mm
    above the anterior commissure) that are each explained and whose predictions are averaged.
    `space` "image": a plain 2D image, resampled to `spacing_mm` where its pixel size is known and
    fitted into `shape`. `space` "ellipse": a fetal head in an ultrasound image, found, turned and
    scaled so that its ellipse lies along the rows of `shape` (`expert.features.head_frame`).
    `intensity` "robust": the darkest and (nearly) the brightest grey value become 0 and 1; "full"
    (2D images): the whole range of the file's data type does. For heads in 3D, "white matter":
    white matter has the same grey value everywhere (`expert.imaging.bias_field`); "tissue": fluid,
    grey and white matter do, on every scanner (`expert.imaging.tissue_values`).
    """

    space: Literal["mni", "image", "ellipse"] = "mni"
    shape: tuple[int, ...] = Field(
        (192, 160), description="pixels of the input, axes (A, R) or (row, column)"
    )
    spacing_mm: float = Field(1.0, gt=0, description="mm per pixel of the input")
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
    intensity: Literal["robust", "full", "white matter", "tissue"] = later(
        "robust", description="grey values that become 0 and 1"
    )
    sized: bool = later(False, description="refuse plain images of unknown pixel size")
    blur_mm: float = later(0.0, ge=0, le=10, description="see `equal_blur`; 0: as of 2 mm voxels")
    sharpness: float = later(0.0, ge=0, le=10, description="see `expert.imaging.sharpness`; 0: any")
    refined: bool = later(False, description="see `expert.imaging.refinement`")

    @model_validator(mode="after")
    def _sized(self) -> InputSettings:
        if len(self.shape) not in (2, 3) or min(self.shape) < 8:
            raise ValueError("input shape must have 2 or 3 axes of at least 8 pixels")
        if excess := input_excess(self):
            raise ValueError(excess)
        if self.space == "mni" and len(self.center_mm) != len(self.shape):
            raise ValueError("center_mm must have one entry per axis of shape")
        if self.space != "mni" and len(self.shape) != 2:
            raise ValueError("plain images are 2D: shape must have 2 axes")
        if self.intensity == "full" and self.space == "mni":
            raise ValueError("intensity full is for plain images")
        if self.sized and self.space != "image":
            raise ValueError("sized is for plain images: all others always need a pixel size")
        if self.intensity in ("white matter", "tissue") and self.space != "mni":
            raise ValueError(f"intensity {self.intensity} is for heads")
        if (self.blur_mm or self.refined) and self.intensity != "tissue":
            raise ValueError("blur_mm and refined are for intensity tissue")
        if self.sharpness and not self.blur_mm:
            raise ValueError("sharpness needs blur_mm")
        return self


InputRecipe = InputSettings  # former name


class Architecture(Document):
    """Backbone, prototypes and matching; docs/method.md lists what differs from the paper."""

    dimensions: Literal[2, 3] = 2
    backbone: Literal["residual", "histogram"] = later(
        "residual",
        description="residual network (published), or a histogram of grey values in each patch",
    )
    bins: int = later(20, ge=2, description="bins of a histogram")
    places: tuple[int, ...] = later(
        (), description="patches per axis, for a linear map of each patch's histogram; no widths"
    )
    widths: tuple[int, ...] = Field(
        (64, 128, 256, 512),
        description="channels of the residual stages; hidden units for a histogram",
    )
    shrink: int = later(
        1, ge=1, description="input pixels per axis averaged to one before a residual network"
    )
    pool: int = Field(
        1, ge=1, description="average pooling after the last stage, per axis; box of a histogram"
    )
    channels: int = Field(512, ge=1, description="channels of the feature grid, values in (0, 1)")
    guide: int = later(
        0, ge=0, description="channels of the matching network, trained without labels; 0: none"
    )
    planes: int = later(
        1, ge=1, description="planes of a prototype; if not 1, it shows every explained plane"
    )
    members: int = later(1, ge=1, description="ensemble members, trained separately")
    prototypes: int = Field(100, ge=2)
    radius: float = Field(5.0, gt=0, description="label units; see weights")
    weights: Literal["cut", "relative"] = later(
        "cut", description="0 beyond the radius (published), or relative to the nearest prototype's"
    )
    regularization: float = Field(0.1, gt=0, description="entropic regularisation of the transport")
    matching: Literal["transport", "position", "average"] = later(
        "transport", description="optimal transport (published), same place, or mean features"
    )
    prior: float = later(
        0.0, ge=0, description="added to the cost of the matching per patch of distance"
    )
    reach: float = later(
        0.0, ge=0, description="partners are at most this many patches apart; 0: anywhere"
    )
    coordinates: bool = later(False, description="patches are matched by anatomical coordinates")
    relaxation: float = later(
        0.0, ge=0, description="cost per mass that a prototype's marginals differ; with reach"
    )
    weighted_patches: bool = later(False, description="see `expert.features.patch_weights`")
    marginals: Literal["uniform", "content"] = Field(
        "uniform", description="mass of the patches: equal (published), or by their brain content"
    )
    ellipse: bool = later(False, description="for input.space ellipse")
    mirrored: tuple[Literal[0, 1, 2], ...] = later(
        (), description="image axes that are flipped for the network (converted models)"
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
        if excess := architecture_excess(self):
            raise ValueError(excess)
        if self.guide and self.matching != "transport":
            raise ValueError("guide is for matching by transport")
        if self.reach and not (self.places and self.matching == "transport"):
            raise ValueError("reach is for places and matching by transport")
        if self.coordinates and (not self.reach or self.guide or self.dimensions == 2):
            raise ValueError("coordinates need three dimensions and reach, and no guide")
        if self.weighted_patches and not self.places:
            raise ValueError("weighted_patches is for places")
        if self.ellipse and (self.backbone != "residual" or self.mirrored):
            raise ValueError("ellipse is for residual networks without mirrored")
        misplaced = self.places and self.backbone != "histogram"
        if misplaced or bool(self.places) == bool(self.widths):
            raise ValueError("an architecture has either widths or, with histograms, places")
        return self

    def problem(self, settings: InputSettings) -> str:
        """Why the network does not fit these input settings; empty if it does."""
        if self.dimensions != len(settings.shape):
            return "architecture and input differ in their number of axes"
        if self.ellipse != (settings.space == "ellipse"):
            return "architecture.ellipse and input.space: ellipse go together"
        if any(n % self.stride for n in settings.shape):
            return f"input shape {settings.shape} is not a multiple of the stride {self.stride}"
        if self.places and self.places != self.grid(settings.shape):
            return f"places must be the grid, {self.grid(settings.shape)}"
        planar = settings.space == "mni" and len(settings.shape) == 2
        planes, explained = self.planes, len(settings.positions_mm) if planar else 1
        if planes not in (1, explained):
            return f"prototypes of {planes} planes need {planes} explained planes, not {explained}"
        return ""

    def grid(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Patches per axis, for an input of this shape."""
        return tuple(n // self.stride for n in shape)

    @property
    def planes_combined(self) -> bool:
        """Whether prototypes show every explained plane, and the mean distance decides."""
        return self.planes > 1

    @property
    def trunk(self) -> int:
        """Channels before the 1×1 convolutions; `ellipse` adds the size and its square."""
        return (self.widths[-1] if self.widths else self.channels) + 2 * self.ellipse

    @property
    def n_compared_channels(self) -> int:
        """Channels that patches are compared by: those of all members."""
        return self.members * self.channels

    @property
    def latent(self) -> int:
        """Channels of a patch: those it is compared by, then those of the matching network."""
        return self.n_compared_channels + (3 if self.coordinates else self.guide)

    @property
    def joined(self) -> bool:
        """Whether the network has several parts that are trained separately."""
        return self.members > 1 or self.guide > 0 or self.reach > 0

    @property
    def stride(self) -> int:
        """Input pixels per patch and axis."""
        if self.backbone == "histogram":
            return self.pool
        return self.shrink * 4 * int(2 ** (len(self.widths) - 1)) * self.pool


class ImageReference(Document):
    """Where the image of a prototype is: no patient names, paths relative to a data set."""

    dataset: str
    subject: str
    file: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    position_mm: float | None = None
    template_to_subject: tuple[tuple[float, float, float, float], ...] | None = Field(
        None, min_length=4, max_length=4, description="template RAS mm to the subject's RAS mm"
    )
    pixel_size_mm: float | None = later(
        None, gt=0, description="of a plain 2D image, which does not store it"
    )
    pixels_sha256: str | None = later(
        None, description="of a plain 2D image: `expert.datasets.derived_images.pixels_checksum`"
    )


class PrototypeInfo(Document):
    """One prototype: its label, and the training image it shows."""

    label: float
    source_label: float | None = Field(description="label of the image; None if unknown")
    reference: ImageReference | None = None


class Familiarity(Document):
    """Statistics of the training images, and limit of the OOD score (`expert.novelty`)."""

    histogram: tuple[float, ...] = Field(
        description="cumulative distribution of the grey values inside the content"
    )
    brightness: tuple[tuple[float, ...], ...] = Field(
        description="(V, M) mean grey value of each patch, 0 to 1"
    )
    brightness_spread: tuple[tuple[float, ...], ...] = Field(
        description="(V, M) standard deviation over subjects"
    )
    detail: tuple[tuple[float, ...], ...] = Field(
        description="(V, M) log of the mean gradient of each patch"
    )
    detail_spread: tuple[tuple[float, ...], ...] = Field(
        description="(V, M) standard deviation over subjects"
    )
    center: dict[str, float] = Field(description="median of each indicator in held-out images")
    spread: dict[str, float] = Field(description="from the median to the 95th percentile")
    limit: float = Field(description="above it an image is out of distribution")
    images: int = Field(gt=0, description="number of held-out images")


class Calibration(Document):
    """Interval and limits, from validation images that are not training images."""

    level: float = Field(0.9, gt=0, lt=1)
    half_width: float = Field(
        gt=0, description="split-conformal half width of the interval, label units"
    )
    nearest_distance_limit: float = Field(
        gt=0, description="above it an image is out of distribution, label units"
    )
    images: int = Field(gt=0, description="number of validation subjects")
    shifted_half_width: float | None = later(
        None,
        gt=0,
        description="half width for images unlike the training images, label units: with the "
        "largest mean error at a site that the training did not contain",
    )
    bias: tuple[float, float] | None = later(
        None,
        description="intercept (label units) and slope of prediction against label",
    )
    familiarity: Familiarity | None = later(
        None, description="None: the nearest distance alone decides"
    )


class SiteFigures(Document):
    """Errors of a model on the images of one site."""

    name: str
    kind: Literal["cross-validation", "site held out", "external"] = Field(
        description="whether images of this site, or of this and others, trained the model measured"
    )
    subjects: int = Field(gt=0)
    mae: float = Field(ge=0, description="mean absolute error, label units")
    mean_error: float = Field(description="mean of prediction minus label, label units")
    interval_coverage: float | None = Field(
        None, ge=0, le=1, description="fraction of labels inside the interval"
    )
    label_range: tuple[float, float] = Field(description="smallest and largest label of the site")


class TrainingInfo(Document):
    """Training data and recipe; None is unknown."""

    dataset: str
    licence: str
    subjects: int | None
    images: int | None
    seed: int | None
    recipe: dict[str, object]

    @property
    def subjects_text(self) -> str:
        """Number of training subjects as text: "145 subjects"."""
        if self.subjects is None:
            return "an unknown number of subjects"
        return f"{self.subjects} subjects"


class ModelInfo(Document):
    """The JSON document in the header of a model file."""

    schema_version: Literal[1] = 1
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    version: str = "1"
    label: Label
    input: InputSettings
    architecture: Architecture
    prototypes: tuple[PrototypeInfo, ...]
    training: TrainingInfo
    validation: dict[str, float] = Field(default_factory=dict)
    sites: tuple[SiteFigures, ...] = later((), description="validation by site")
    calibration: Calibration | None = None
    collapsed: str = Field("", description="why the model has collapsed; empty if it has not")
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
            raise ValueError(
                f"mirrored contains an axis that the input does not have: {a.mirrored}"
            )
        return self

    @property
    def grid(self) -> tuple[int, ...]:
        """Patches per axis."""
        return self.architecture.grid(self.input.shape)
