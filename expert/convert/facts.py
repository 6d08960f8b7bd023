"""What a checkpoint does not contain: unit, image space, training data, licence."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from expert.errors import InputError, first_problem
from expert.schema import Document
from expert.untrusted.documents import read_yaml


class Facts(Document):
    """What a checkpoint does not contain; the defaults are those of the published adult brain MR.

    `first_pixel` is the corner of an axial slice where row 0 and column 0 of the published images
    meet: posterior or anterior, then the patient's left or right. Slices of this software begin
    with "PL".
    """

    name: str | None = Field(None, description="name of the model; None: that of the file to write")
    version: str = "1"
    label_name: str = "age"
    label_unit: str = Field(min_length=1, description="of the labels, distances and radius")
    dataset: str = "unknown"
    licence: str = "unknown"
    subjects: int | None = Field(
        None, gt=0, description="number of training subjects; None: unknown"
    )
    space: Literal["mni", "image"] = "mni"
    spacing_mm: float = Field(1.0, gt=0, description="mm per pixel")
    center_mm: tuple[float, float] = Field(
        (-17.0, 0.0), description="template mm at the middle of the image, axes (A, R)"
    )
    positions_mm: tuple[float, ...] = Field(
        (7.0,), min_length=1, description="axial planes, mm S; 7 is slice 79 of MNI 1 mm"
    )
    training_positions_mm: tuple[float, ...] = Field(
        tuple(float(n) for n in range(3, 13)),
        description="planes of the training, mm S; slices 75 to 84 of MNI 1 mm",
    )
    intensity: Literal["robust", "full"] | None = Field(
        None, description="see `InputSettings`; None: robust, for plain images full"
    )
    first_pixel: Literal["PL", "PR", "AL", "AR"] = "PL"
    prototype_images: Literal["none", "value"] = Field(
        "none", description="whether the file holds the prototypes' images"
    )
    card: str = Field("", description="first paragraph of the model card")


def read_facts(path: str | os.PathLike[str] | None, **options: object) -> Facts:
    """Read facts from a YAML file, from options, or from both.

    Parameters
    ----------
    path : str or os.PathLike, optional
        YAML file with lines such as ``label_unit: years``.
    **options : object
        Fields of `Facts`; an option that is not None takes precedence over the file.

    Returns
    -------
    Facts
        With defaults for what is not given.

    Raises
    ------
    InputError
        The file cannot be read, a field is unknown or invalid, or the unit is missing.
    """
    document: object = {}
    if path is not None:
        try:
            document = read_yaml(Path(path)) or {}
        except OSError as error:
            raise InputError(f"The facts in {path} could not be read: {error.strerror}.") from error
        except ValueError as error:
            raise InputError(f"The facts in {path} could not be read: {error}.") from error
    if not isinstance(document, dict):
        raise InputError(
            f"The facts in {path} must be 'name: value' lines, such as 'label_unit: years'."
        )
    try:
        return Facts.model_validate(
            {**document, **{key: value for key, value in options.items() if value is not None}}
        )
    except ValidationError as error:
        first = error.errors()[0]
        if (first["loc"], first["type"]) == (("label_unit",), "missing"):
            raise InputError(
                "A checkpoint does not contain the unit of the labels: give it, for example with "
                "--unit years."
            ) from error
        raise InputError(f"These facts cannot be used: {first_problem(error)}.") from error
