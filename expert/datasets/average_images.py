"""Average heads of training subjects, shown instead of prototype images that are not available.

An average is a statistic of at least ten people of similar labels, on the model's own grid. No
subject is in two averages of a model: the difference of two averages shows nobody either.
"""

from __future__ import annotations

import functools
import os
import zlib
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from expert.datasets.prepared_dataset import CohortArrays
from expert.datasets.prototype_images import prototype_image
from expert.errors import InputError, ModelError
from expert.explanation import AverageOf
from expert.features.head_frame import without_rim
from expert.json_arrays import inflate
from expert.model_file import AVERAGES, WEIGHTS, Model, save_model
from expert.schema import ModelInfo

PEOPLE = 12
"""Subjects of an average, at least; there is none of fewer."""
MOST = 13
"""Averages of a model, at most."""
STEP = 4
"""Grey values are stored in steps of this size: a third less to store, and not visible."""
LONGEST_HEADER = 100_000
"""Bytes."""


class _Group(BaseModel):
    """One average in the header: its subjects' number, and the range and mean of their labels."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    people: int = Field(ge=10)
    low: float
    high: float
    mean: float


class _Header(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = Field(ge=1, le=1)
    shape: tuple[int, ...]
    step: int = Field(ge=1, le=64)
    averages: tuple[_Group, ...] = Field(min_length=1, max_length=64)


def similar_subjects(labels: np.ndarray) -> list[np.ndarray]:
    """Divide subjects into groups of similar labels, for one average each.

    Groups of (at least) `PEOPLE` subjects with consecutive labels; of more than `MOST` groups,
    neighbours are joined where the range of their labels is smallest.

    Parameters
    ----------
    labels : (N,) ndarray

    Returns
    -------
    list of (n,) int ndarray
        Indices of the subjects, from the smallest label to the largest; empty for fewer than
        `PEOPLE` subjects.
    """
    number = len(labels) // PEOPLE
    if not number:
        return []
    order = np.argsort(labels, kind="stable")
    groups = [np.asarray(group) for group in np.array_split(order, number)]
    while len(groups) > MOST:
        ranges = [labels[b[-1]] - labels[a[0]] for a, b in pairwise(groups)]
        first = int(np.argmin(ranges))
        groups[first : first + 2] = [np.concatenate(groups[first : first + 2])]
    return groups


def pack_averages(
    images: np.ndarray, labels: np.ndarray, subjects: np.ndarray
) -> np.ndarray | None:
    """Average heads of a training, as they are stored in a model file.

    Parameters
    ----------
    images : (N, *shape) uint8 ndarray
        Prepared images; (N, V, *shape) where prototypes show every plane.
    labels : (N,) ndarray
    subjects : (N,) ndarray
        The same value for all images of one subject, of which the first is used.

    Returns
    -------
    (B,) uint8 ndarray, optional
        A line of JSON (`_Header`), then the averages compressed by zlib: grey values in steps,
        as differences along the last two axes. None for fewer than `PEOPLE` subjects.
    """
    rows = np.unique(subjects, return_index=True)[1]
    groups = similar_subjects(labels[rows])
    if not groups:
        return None
    members = [rows[group] for group in groups]
    averages = np.stack([_mean(images, group) for group in members])
    header = _Header(
        format=1,
        shape=averages.shape,
        step=STEP,
        averages=tuple(
            _Group(
                people=len(group),
                low=round(float(labels[group].min()), 2),
                high=round(float(labels[group].max()), 2),
                mean=round(float(labels[group].mean()), 2),
            )
            for group in members
        ),
    )
    steps = np.rint(averages / STEP).astype(np.uint8)
    for axis in (-1, -2):  # modulo 256
        steps = np.diff(steps, axis=axis, prepend=np.zeros_like(steps.take([0], axis=axis)))
    packed = header.model_dump_json().encode() + b"\n" + zlib.compress(steps.tobytes(), 9)
    return np.frombuffer(packed, np.uint8)


def averages_of(info: ModelInfo, cohort: CohortArrays) -> np.ndarray | None:
    """Average heads for a model, from its training images.

    Parameters
    ----------
    info : ModelInfo
    cohort : CohortArrays
        Prepared by the model's `input`.

    Returns
    -------
    (B,) uint8 ndarray, optional
        From `pack_averages`; None where the model has no averages, see `average_shape`.
    """
    if average_shape(info) is None:
        return None
    planes = cohort.explained_planes(info.input)
    several = info.architecture.planes_combined
    images = cohort.images[:, planes] if several else cohort.images[:, planes[0]]
    if info.architecture.ellipse:
        images = without_rim(images)
    return pack_averages(images, cohort.labels, cohort.subjects)


def add_averages(model: Model, cohort: CohortArrays, path: str | os.PathLike[str]) -> Path:
    """Write a model with the averages of its training images, and otherwise unchanged.

    Parameters
    ----------
    model : Model
    cohort : CohortArrays
        Its training images, prepared by its `input`.
    path : path-like
        Model file to write.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    InputError
        The model can have no averages, or the images are too few, or not those of its training.
    ModelError
        The file cannot be written.
    """
    name, known = model.info.name, {entry.sha256 for entry in cohort.entries}
    shown = {one.reference.sha256 for one in model.info.prototypes if one.reference is not None}
    if not shown <= known:
        raise InputError(
            f"The table is not that of the training of {name}: {len(shown - known)} images of "
            "prototypes are not in it."
        )
    averages = averages_of(model.info, cohort)
    if averages is None:
        raise InputError(
            f"The model {name} can have no averages: they are for heads in three dimensions, in "
            f"planes that are explained together, or upright, of at least {PEOPLE} subjects."
        )
    weights = {
        key.removeprefix(WEIGHTS): value
        for key, value in model.tensors.items()
        if key.startswith(WEIGHTS)
    }
    return save_model(path, model.info, weights, model.prototype_images, averages)


def _mean(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Mean of some images; one at a time, since together they may not fit into memory."""
    total = np.zeros(images.shape[1:], np.float32)
    for row in rows:
        total += images[row]
    return total / len(rows)


def average_image(model: Model, index: int) -> tuple[np.ndarray, AverageOf] | None:
    """The average head for a prototype: of the people whose labels are nearest to its own.

    Parameters
    ----------
    model : Model
    index : int
        0-based, of the prototype.

    Returns
    -------
    image : (*shape) uint8 ndarray
        (V, *shape) where prototypes show every view.
    about : AverageOf
        How many people it shows, and the range of their labels. None instead of both if the model
        contains no averages.

    Raises
    ------
    ModelError
        The model's averages are damaged.
    """
    found = _averages(model)
    if found is None:
        return None
    images, groups = found
    prototype = model.info.prototypes[index]
    label = prototype.label if prototype.source_label is None else prototype.source_label

    def away(number: int) -> tuple[float, float]:
        one = groups[number]
        return max(one.low - label, label - one.high, 0.0), abs(one.mean - label)

    best = min(range(len(groups)), key=away)
    return images[best], _about(model, groups[best])


def _about(model: Model, group: _Group) -> AverageOf:
    fetal = model.info.input.space == "ellipse"
    noun: Literal["people", "fetuses"] = "fetuses" if fetal else "people"
    return AverageOf(people=group.people, low=group.low, high=group.high, noun=noun)


def averages(model: Model) -> tuple[AverageOf, ...]:
    """Whom the average heads of a model show, from the smallest labels to the largest.

    Parameters
    ----------
    model : Model

    Returns
    -------
    tuple of AverageOf
        Empty if the model contains none.

    Raises
    ------
    ModelError
        The model's averages are damaged.
    """
    found = _averages(model)
    if found is None:
        return ()
    return tuple(_about(model, one) for one in found[1])


class ShownImage(NamedTuple):
    """What is shown of a prototype."""

    image: np.ndarray | None
    """(*shape) or (V, *shape) uint8: its own image, or else an average; None without both."""
    average: AverageOf | None
    """Whom an average shows; None for its own image."""
    message: str
    """One sentence on how to get its own image; empty if it is shown."""


def shown_image(model: Model, index: int, data: str | Path | None = None) -> ShownImage:
    """The image of a prototype, or the average of people of its label; nothing is downloaded.

    Parameters
    ----------
    model : Model
    index : int
        0-based, of the prototype.
    data : path-like, optional
        Folder of the data set.

    Returns
    -------
    ShownImage

    Raises
    ------
    ModelError
        The model's averages are damaged.
    """
    image, message = prototype_image(model, index, data)
    if image is None and (found := average_image(model, index)) is not None:
        return ShownImage(*found, message)
    return ShownImage(image, None, message)


def average_shape(info: ModelInfo) -> tuple[int, ...] | None:
    """Shape of the average of a model.

    Parameters
    ----------
    info : ModelInfo

    Returns
    -------
    tuple of int, optional
        None for models without averages: of plain images that are not upright heads, and of planes
        that prototypes show singly.
    """
    if info.input.space == "ellipse":
        return info.input.shape
    several = info.architecture.planes_combined
    if info.input.space != "mni" or not (several or len(info.input.shape) == 3):
        return None
    return (*((info.architecture.planes,) if several else ()), *info.input.shape)


@functools.lru_cache(maxsize=2)
def _averages(model: Model) -> tuple[np.ndarray, tuple[_Group, ...]] | None:
    """All averages (A, *shape) uint8 and whom they show; never more memory than they need."""
    stored, shape = model.tensors.get(AVERAGES), average_shape(model.info)
    if stored is None or shape is None:
        return None
    try:
        if stored.dtype != np.uint8 or stored.ndim != 1:
            raise ValueError("not bytes")
        start = stored[:LONGEST_HEADER].tobytes()
        line = start[: start.index(b"\n")]
        header = _Header.model_validate_json(line)
        if header.shape != (len(header.averages), *shape):
            raise ValueError("shape")
        size = int(np.prod(header.shape, dtype=np.int64))
        raw = inflate(stored[len(line) + 1 :].tobytes(), size)
    except (ValidationError, ValueError, zlib.error) as error:
        raise ModelError(
            f"The average images of the model {model.info.name} are damaged: download or copy "
            "the model again."
        ) from error
    steps = np.frombuffer(raw, np.uint8).reshape(header.shape)
    for axis in (-2, -1):
        steps = np.cumsum(steps, axis=axis, dtype=np.uint8)
    images = np.minimum(steps.astype(np.uint16) * header.step, 255).astype(np.uint8)
    images.setflags(write=False)
    return images, header.averages
