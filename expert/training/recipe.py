"""`Recipe`: everything a training depends on besides the data, as one checked YAML document."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from expert.errors import RecipeError, first_problem
from expert.schema import Architecture, Document, InputSettings, later


class Warmup(Document):
    """Regression before the prototypes: the backbone learns the label through a plain head."""

    epochs: int = Field(25, ge=0)
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(1e-2, ge=0)
    flip: float = Field(0.5, ge=0, le=1, description="probability of a left-right mirrored image")


class Losses(Document):
    """Weights and settings of the losses (see `expert.losses`); a weight of 0 leaves a loss out."""

    metric: float = Field(1.0, ge=0)
    sigma: float = Field(1.0, gt=0, description="label units")
    leak: float = Field(0.05, ge=0)
    own: bool = later(
        True,
        description=(
            "a training image is also held against the prototype of its own subject "
            "(published); no new image has one"
        ),
    )
    consistency: float = Field(10.0, ge=0)
    margin: float = Field(0.1, ge=0)
    prediction: float = Field(0.0, ge=0, description="not in the published method")
    alignment: float = Field(
        0.0, ge=0, description="not in the published method; registered images only"
    )
    temperature: float = Field(
        0.1, gt=0, description="of alignment and equivariance, feature distance"
    )
    equivariance: float = later(
        0.0, ge=0, description="not in the published method: cells find themselves in a moved copy"
    )
    copies: int = later(10, ge=2, description="images of a batch that are copied and moved for it")
    mirrored: float = later(0.5, ge=0, le=1, description="share of the copies that are mirrored")


class Projection(Document):
    """When prototypes become training images, and which ones (see `expert.projection`)."""

    epochs: tuple[int, ...] = Field((0, 75, 100), description="before these epochs")
    every: int = Field(25, ge=1, description="then every so many epochs, and after the last")
    window: float | None = Field(None, gt=0, description="label units; None: any label (published)")
    distinct: bool = Field(False, description="no subject is shown by two prototypes")
    relabel: bool = Field(
        False, description="the prototype votes with the label of the image it shows"
    )


class Schedule(Document):
    """Optimisation of the prototype stage."""

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
        0.0, ge=0, lt=1, description="share of subjects kept aside to choose the epoch; 0: the last"
    )
    patience: int = Field(
        6, ge=1, description="projections without a better validation error before stopping early"
    )
    by_position: bool = later(
        False,
        description=(
            "train with each patch matched to its own place: the limit of a strong prior, much "
            "faster"
        ),
    )
    steps: tuple[int, int] = later(
        (15, 10), description="of a plan in training: without, and with its gradient"
    )
    mixed_precision: bool = Field(False, description="train the residual stages in bfloat16")
    seed: int = 1


class Augmentation(Document):
    """Random changes of the training images."""

    rotation_deg: float = Field(5.0, ge=0)
    scale: float = Field(0.05, ge=0, lt=1)
    shift: float = Field(0.02, ge=0, lt=1, description="share of the image's size")
    gamma: float = Field(0.0, ge=0, description="intensities to the power of exp(+-gamma)")
    bias: float = Field(0.0, ge=0, description="smooth gain of exp(+-bias) across the image")
    noise: float = Field(0.0, ge=0, description="standard deviation, of full scale")
    copies: int = later(
        8, ge=0, description="changed copies of each image, where they are made once for all epochs"
    )


class Guide(Document):
    """Training of the network by which patches are matched, where `architecture.guide` asks for one
    (`expert.training.guide_module`)."""

    epochs: int = Field(30, ge=1)
    batch: int = Field(30, ge=4)
    views: int = Field(3, ge=1, description="planes drawn per subject and epoch")
    learning_rate: float = Field(1e-3, gt=0)
    temperature: float = Field(0.1, gt=0, description="feature distance")
    equivariance: float = Field(
        1.0,
        ge=0,
        description="weight of finding itself in a moved copy, beside its place in others",
    )


class Recipe(Document):
    """A training, whole."""

    name: str
    version: str = "1"
    label_name: str = "age"
    label_unit: str = "years"
    label_column: str | None = Field(
        None, description="column of the table; None: age_years or label"
    )
    dataset: str = Field(description="what the model card calls the training data")
    licence: str
    prototype_images: Literal["none", "reference", "value"] = Field(
        "none",
        description=(
            "what the model file says of its prototypes' images: nothing, where they are, or "
            "the images"
        ),
    )
    start: Literal["uniform", "subjects"] = Field(
        "uniform", description="random latents (published) or training subjects"
    )
    calibrate_scale: bool = Field(
        False, description="start with the scale at which distances match label differences"
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
        description=(
            "the model card's text: what it is for, what it is not, what is known of its errors"
        ),
    )

    @model_validator(mode="after")
    def _fits(self) -> Recipe:
        if self.architecture.problem(self.input):
            raise ValueError(self.architecture.problem(self.input))
        if self.architecture.backbone == "histogram" and (
            self.losses.equivariance or self.losses.consistency
        ):
            raise ValueError(
                "losses.equivariance and losses.consistency need images in training: a "
                "histogram is counted before"
            )
        told = self.architecture
        if (
            self.schedule.by_position
            and told.matching == "transport"
            and not (told.prior or told.guide)
        ):
            raise ValueError(
                "schedule.by_position stands in for a spatial prior or a guide: set one in "
                "architecture"
            )
        if self.schedule.by_position and told.matching == "average":
            raise ValueError(
                "schedule.by_position would train patches one by one where "
                "architecture.matching averages them"
            )
        if self.architecture.guide and self.input.space != "mni":
            raise ValueError("architecture.guide needs registered images: input.space must be mni")
        if self.losses.alignment and self.input.space != "mni":
            raise ValueError("losses.alignment needs registered images: input.space must be mni")
        if self.losses.alignment and self.schedule.batch < 2 * told.planes:
            raise ValueError(
                "losses.alignment needs two subjects in a batch: schedule.batch must be at "
                "least 2 x planes"
            )
        if self.architecture.joined and self.schedule.validation:
            raise ValueError(
                "architecture.members and architecture.guide need schedule.validation: 0"
            )
        return self

    @property
    def settings(self) -> dict[str, Any]:
        """All that a training's numbers depend on: everything but names and words."""
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
        """Cells per axis of the feature grid."""
        return self.architecture.grid(self.input.shape)

    @property
    def member(self) -> Recipe:
        """The recipe that each member of `architecture.members` is trained by."""
        return self.model_copy(
            update={"architecture": self.architecture.model_copy(update={"members": 1, "guide": 0})}
        )


def read_recipe(path: str | os.PathLike[str]) -> Recipe:
    """Read and check a recipe.

    Raises
    ------
    RecipeError
        The file is missing, not YAML, or says something no recipe says; the message names the first
        field.
    """
    import yaml

    source = Path(path)
    try:
        document = yaml.safe_load(source.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"The recipe {source} could not be read: {error}.") from error
    except yaml.YAMLError as error:
        raise RecipeError(
            f"The recipe {source} is not valid YAML: {' '.join(str(error).split())}."
        ) from error
    try:
        return Recipe.model_validate(document)
    except ValidationError as error:
        raise RecipeError(f"The recipe {source} cannot be used: {first_problem(error)}.") from error
