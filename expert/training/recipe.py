"""`Recipe`: complete training configuration, read from a YAML file and checked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from expert.errors import RecipeError, first_problem
from expert.schema import Architecture, Document, InputSettings, later
from expert.untrusted.documents import read_yaml


class Warmup(Document):
    """Regression before the prototypes: the backbone learns the label with a linear head."""

    epochs: int = Field(25, ge=0)
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(1e-2, ge=0)
    flip: float = Field(
        0.5, ge=0, le=1, description="probability of mirroring an image left to right"
    )


class Losses(Document):
    """Weights and settings of the losses (see `expert.losses`); weight 0 switches a loss off."""

    metric: float = Field(1.0, ge=0)
    sigma: float = Field(1.0, gt=0, description="label units")
    leak: float = Field(0.05, ge=0)
    own: bool = later(
        True,
        description=(
            "compare a training image with the prototype of its own subject, too (published); "
            "a new image has no such prototype"
        ),
    )
    consistency: float = Field(10.0, ge=0)
    margin: float = Field(0.1, ge=0)
    prediction: float = Field(0.0, ge=0, description="not in the published method")
    radius: float = later(
        0.0,
        ge=0,
        description="radius of the prediction loss, label units; 0: that of the architecture",
    )
    alignment: float = Field(
        0.0, ge=0, description="not in the published method; registered images only"
    )
    temperature: float = Field(
        0.1, gt=0, description="of alignment and equivariance, feature distance"
    )
    equivariance: float = later(
        0.0,
        ge=0,
        description="not in the published method: patches are found again in a moved copy",
    )
    copies: int = later(10, ge=2, description="images of a batch with a moved copy")
    mirrored: float = later(0.5, ge=0, le=1, description="fraction of the copies that are mirrored")


class Projection(Document):
    """When and how prototypes become training images, see `expert.training.projection`."""

    epochs: tuple[int, ...] = Field((0, 75, 100), description="project before these epochs")
    every: int = Field(25, ge=1, description="then every N epochs, and after the last")
    window: float | None = Field(None, gt=0, description="label units; None: any label (published)")
    distinct: bool = Field(False, description="every prototype shows another subject")
    relabel: bool = Field(False, description="a prototype takes the label of the image it shows")
    every_step: bool = later(
        False,
        description="in every step, other training images are the prototypes; needs a histogram "
        "backbone",
    )

    def due(self, epoch: int) -> bool:
        """Whether prototypes are projected before an epoch (0-based)."""
        last = max(self.epochs, default=0)
        return epoch in self.epochs or (epoch > last and (epoch - last) % self.every == 0)


class Schedule(Document):
    """Optimisation in the prototype stage."""

    epochs: int = Field(300, ge=1)
    batch: int = Field(30, ge=2)
    views: int = Field(5, ge=1, description="planes drawn per subject and epoch")
    optimizer: Literal["adam", "adamw"] = "adam"
    decay: Literal["step", "cosine"] = "step"
    backbone_rate: float = Field(5e-4, gt=0)
    head_rate: float = Field(5e-4, gt=0, description="1x1 convolutions and prototypes")
    scale_rate: float = Field(0.01, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    validation: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="fraction of subjects held out to choose the epoch; 0: the last",
    )
    patience: int = Field(
        6, ge=1, description="projections without a lower validation loss before stopping early"
    )
    by_position: bool = later(
        False,
        description=(
            "in training, match each patch with the same place: the limit of a strong prior, "
            "much faster"
        ),
    )
    steps: tuple[int, int] = later(
        (15, 10),
        description="iterations of a plan in training: at most their sum; the second also is that "
        "of its gradient",
    )
    mixed_precision: bool = Field(False, description="train the residual stages in bfloat16")
    seed: int = 1


class Augmentation(Document):
    """Random changes of the training images."""

    rotation_deg: float = Field(5.0, ge=0)
    scale: float = Field(0.05, ge=0, lt=1)
    shift: float = Field(0.02, ge=0, lt=1, description="fraction of the image's size")
    gamma: float = Field(0.0, ge=0, description="grey values to the power of exp(±gamma)")
    bias: float = Field(0.0, ge=0, description="smooth gain of exp(±bias) across the image")
    noise: float = Field(0.0, ge=0, description="standard deviation, of full scale")
    copies: int = later(
        8, ge=0, description="copies of each image, where they are made once for all epochs"
    )
    scanners: int = later(
        0,
        ge=0,
        description="simulated scanners of each head, each with its own copies; needs a histogram "
        "backbone",
    )


class Guide(Document):
    """Training of the matching network (`architecture.guide`, `expert.training.guide_module`)."""

    epochs: int = Field(30, ge=1)
    batch: int = Field(30, ge=4)
    views: int = Field(3, ge=1, description="planes drawn per subject and epoch")
    learning_rate: float = Field(1e-3, gt=0)
    temperature: float = Field(0.1, gt=0, description="feature distance")
    equivariance: float = Field(
        1.0,
        ge=0,
        description="weight of the task on moved copies; that on other subjects has weight 1",
    )


class Recipe(Document):
    """Complete training configuration."""

    name: str
    version: str = "1"
    label_name: str = "age"
    label_unit: str = "years"
    label_column: str | None = Field(
        None, description="column of the table; None: age_years or label"
    )
    dataset: str = Field(description="name of the training data on the model card")
    licence: str
    prototype_images: Literal["none", "average", "reference", "value"] = Field(
        "none",
        description=(
            "what the model file holds of the prototypes' images: nothing; average heads; average "
            "heads and a reference to each image; or the images"
        ),
    )
    start: Literal["uniform", "subjects", "quantiles"] = Field(
        "uniform",
        description="initial prototypes: random (published), training subjects with labels at even "
        "distances, or at even quantiles of all labels",
    )
    calibrate_scale: bool = Field(
        False, description="initial scale at which distances match label differences"
    )
    input: InputSettings = InputSettings()
    architecture: Architecture = Architecture()
    augmentation: Augmentation = Augmentation()
    warmup: Warmup = Warmup()
    schedule: Schedule = Schedule()
    losses: Losses = Losses()
    projection: Projection = Projection()
    guide: Guide = later(Guide())
    card: str = Field(
        "",
        description=("text of the model card: intended use, limits, known errors"),
    )

    @model_validator(mode="after")
    def _fits(self) -> Recipe:
        """Refuse combinations of settings that cannot be trained."""
        settings, losses, schedule = self.architecture, self.losses, self.schedule
        registered, by_position = self.input.space == "mni", schedule.by_position
        aligned = registered or self.input.space == "ellipse"
        if settings.problem(self.input):
            raise ValueError(settings.problem(self.input))
        if settings.backbone == "histogram" and (losses.equivariance or losses.consistency):
            raise ValueError(
                "losses.equivariance and losses.consistency need images in training, but a "
                "histogram backbone trains on histograms: set both to 0"
            )
        unfit = self.start == "uniform" or settings.planes_combined or schedule.validation
        if self.projection.every_step and (settings.backbone != "histogram" or losses.own or unfit):
            raise ValueError(
                "projection.every_step needs a histogram backbone, prototypes of one plane, "
                "losses.own: false, schedule.validation: 0, and start: subjects or quantiles"
            )
        if self.augmentation.scanners and not (registered and settings.backbone == "histogram"):
            raise ValueError("augmentation.scanners is for heads and a histogram backbone")
        guided = settings.prior or settings.guide or settings.coordinates
        if by_position and settings.matching == "transport" and not guided:
            raise ValueError(
                "schedule.by_position replaces a spatial prior or a guide in training: set "
                "architecture.prior or architecture.guide"
            )
        if by_position and settings.matching == "average":
            raise ValueError(
                "schedule.by_position matches single patches, but architecture.matching: average "
                "averages them: use one of the two"
            )
        if settings.guide and not aligned:
            raise ValueError("architecture.guide needs aligned images: not input.space: image")
        if losses.alignment and not aligned:
            raise ValueError("losses.alignment needs aligned images: not input.space: image")
        if losses.alignment and schedule.batch < 2 * settings.planes:
            raise ValueError(
                "losses.alignment needs two subjects in a batch: schedule.batch must be at "
                "least 2 x planes"
            )
        if settings.joined and schedule.validation:
            raise ValueError(
                "architecture.members and architecture.guide need schedule.validation: 0"
            )
        return self

    @property
    def settings(self) -> dict[str, Any]:
        """All settings that a training's result depends on: everything except names and texts."""
        words = {
            "name",
            "version",
            "label_name",
            "label_unit",
            "dataset",
            "licence",
            "prototype_images",
            "card",
        }
        return self.model_dump(mode="json", exclude=words)

    @property
    def grid(self) -> tuple[int, ...]:
        """Patches per axis of the feature grid."""
        return self.architecture.grid(self.input.shape)

    @property
    def member(self) -> Recipe:
        """The recipe of a single ensemble member."""
        single = {"members": 1, "guide": 0, "reach": 0.0, "coordinates": False, "relaxation": 0.0}
        return self.model_copy(update={"architecture": self.architecture.model_copy(update=single)})


def read_recipe(path: str | os.PathLike[str]) -> Recipe:
    """Read and check a recipe.

    Parameters
    ----------
    path : str or os.PathLike
        YAML file.

    Returns
    -------
    Recipe
        With defaults for what the file leaves out.

    Raises
    ------
    RecipeError
        The file cannot be read, is not YAML, or has an unknown or invalid field; the message names
        the first one.
    """
    source = Path(path)
    try:
        document = read_yaml(source)
    except OSError as error:
        raise RecipeError(f"The recipe {source} could not be read: {error.strerror}.") from error
    except ValueError as error:
        raise RecipeError(f"The recipe {source} could not be read: {error}.") from error
    try:
        return Recipe.model_validate(document)
    except ValidationError as error:
        raise RecipeError(f"The recipe {source} cannot be used: {first_problem(error)}.") from error
