"""A checkpoint of the published ExPeRT code becomes a model file that gives the same predictions.

The checkpoint is a pickle: it is read in another process, by PyTorch's weights-only reader
(`expert.convert.checkpoint_reader`); this one sees safetensors. What a checkpoint does not tell
(unit, image space, data, licence) are `Facts`, from the person who converts.

Source: Hesse et al., WACV 2024, and the names in its published code's state dict.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field, ValidationError

from expert.convert.state_dict import STRIDE, read_architecture, read_weights
from expert.errors import InputError, ModelError, first_problem
from expert.model_file import load_model, save_model
from expert.schema import (
    Architecture,
    Document,
    InputSettings,
    Label,
    ModelInfo,
    PrototypeInfo,
    TrainingInfo,
)

if TYPE_CHECKING:
    pass

SECONDS = 600
"""A checkpoint that takes longer to read is given up."""


class ConversionWarning(UserWarning):
    """What was converted may not be what was meant."""


class Facts(Document):
    """What a checkpoint does not tell about its model; the defaults are the publication's adult
    brain MR.

    `first_pixel` is the corner of an axial slice in which row 0 and column 0 of the published
    images meet: posterior or anterior, then the patient's left or right. This software's own slices
    begin with "PL".
    """

    name: str | None = Field(None, description="of the model; by default that of the file to write")
    version: str = "1"
    label_name: str = "age"
    label_unit: str = Field(min_length=1, description="of the labels, distances and radius")
    dataset: str = "unknown"
    licence: str = "unknown"
    subjects: int | None = Field(None, gt=0, description="trained on; None: unknown")
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
        description="planes trained on, mm S; slices 75 to 84 of MNI 1 mm",
    )
    intensity: Literal["robust", "full"] | None = Field(
        None, description="see `InputSettings`; plain images: full"
    )
    first_pixel: Literal["PL", "PR", "AL", "AR"] = "PL"
    prototype_images: Literal["none", "value"] = Field(
        "none", description="whether the file holds the prototypes' images"
    )
    card: str = Field("", description="words to begin the model card with")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a checkpoint holds."""

    tensors: Mapping[str, np.ndarray]
    """By their published names, without a prefix."""
    settings: Mapping[str, object]
    """Of the published settings `expert.convert.checkpoint_reader.SETTINGS`, those that stand in
    it."""
    sha256: str
    """Of the file."""


def read_facts(path: str | os.PathLike[str] | None, **options: object) -> Facts:
    """Facts from a YAML file, from options, or both; an option that is not None counts more than
    the file.

    Raises
    ------
    InputError
        The file cannot be read, something in it is not a fact, or the unit is missing.
    """
    import yaml

    document: object = {}
    if path is not None:
        try:
            document = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"The facts in {path} could not be read: {error}.") from error
        except yaml.YAMLError as error:
            raise InputError(
                f"The facts in {path} are not valid YAML: {' '.join(str(error).split())}."
            ) from error
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
                "No checkpoint tells the label's unit: say it, for instance with --unit years."
            ) from error
        raise InputError(f"These facts cannot be used: {first_problem(error)}.") from error


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a PyTorch state dict or Lightning checkpoint, in another process and without running
    anything in it.

    Parameters
    ----------
    path : .pth, .pt or .ckpt, as ``torch.save`` writes it

    Raises
    ------
    ModelError
        No such file, no checkpoint, or one that holds more than weights and plain settings.
    """
    from safetensors.numpy import load_file

    source = Path(path)
    try:
        digest = hashlib.sha256(source.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelError(f"The checkpoint {source} could not be read: {error.strerror}.") from error
    # -P: the modules beside the script must not be taken for others of the same name.
    command = [
        sys.executable,
        "-P",
        str(Path(__file__).with_name("checkpoint_reader.py")),
        str(source.resolve()),
    ]
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(
                [*command, folder], capture_output=True, text=True, timeout=SECONDS, check=False
            )
            answer = json.loads(done.stdout.splitlines()[-1])
        except (subprocess.TimeoutExpired, IndexError, json.JSONDecodeError) as error:
            raise ModelError(
                f"{source.name} could not be read as a checkpoint: the reading process broke off."
            ) from error
        problem = answer.get("problem")
        if problem == "unsafe":
            raise ModelError(
                f"{source.name} holds more than weights ({answer['detail']}) and was not "
                "opened, nothing in it was run: where "
                "it was made, save the weights alone, torch.save(model.state_dict(), "
                "'weights.pth'), and convert that file."
            )
        if problem == "unreadable":
            raise ModelError(
                f"{source.name} is not a readable PyTorch checkpoint: it is damaged or of "
                "another kind."
            )
        if problem is not None:
            raise ModelError(
                f"{source.name} holds no network's state: give a state dict or a Lightning "
                "checkpoint."
            )
        return Checkpoint(
            load_file(Path(folder) / "tensors.safetensors"), answer["settings"], digest
        )


def convert_checkpoint(
    checkpoint: str | os.PathLike[str],
    out: str | os.PathLike[str],
    facts: Facts,
    *,
    overwrite: bool = False,
) -> Path:
    """Write a model file that predicts what the published network with this checkpoint predicts in
    evaluation mode.

    The same up to what the published code leaves open: its plans are those of at most 25 Sinkhorn
    steps and depend on what else is in the batch; here each is converged.

    Parameters
    ----------
    checkpoint : see `read_checkpoint`; ResNet-18 (of any widths) with one grey channel, or three
        that repeat it
    out : model file to write, by custom ending in .safetensors
    facts : what the checkpoint does not tell, see `read_facts`
    overwrite : whether an existing file may be replaced

    Returns
    -------
    Path  of the model file, loaded once for a check

    Raises
    ------
    ModelError
        `out` exists, or the checkpoint cannot be read, is not one of ExPeRT, or is one whose
        prediction this software has not.
    InputError
        The facts contradict the checkpoint.
    """
    source, target = Path(checkpoint), Path(out)
    if target.exists() and source.exists() and target.samefile(source):
        raise ModelError(f"{target} is the checkpoint itself: choose another name for the model.")
    if target.exists() and not overwrite:
        raise ModelError(
            f"{target} exists already: choose another name for the model, or --overwrite "
            "the old one."
        )
    read = read_checkpoint(source)
    _check_settings(source.name, read.settings)
    tensors = read.tensors
    architecture = read_architecture(source.name, tensors)
    recipe = _recipe(architecture, tensors, facts)
    images = _images(source.name, tensors, recipe)
    corner, head = facts.first_pixel, facts.space == "mni"
    mirrored = tuple(axis for axis, far in enumerate("AR") if corner[axis] == far) if head else ()
    if head and corner[0] == "P" and images is not None and _anterior_first(images, recipe):
        warnings.warn(
            f"The prototype images of {source.name} look as if their first row were "
            "anterior, which is not what was converted: "
            "if it is, heads are shown to the model upside down, and it must be converted "
            f"with first_pixel A{corner[1]}.",
            ConversionWarning,
            stacklevel=2,
        )
    architecture = architecture.model_copy(update={"mirrored": mirrored})
    weights = read_weights(source.name, tensors, architecture)
    if facts.prototype_images == "none":
        images = None
    elif images is None:
        raise ModelError(
            f"{source.name} holds no prototype images to put into the model: leave out "
            "--images value."
        )
    labels = weights["prototype_labels"]
    try:
        info = ModelInfo(
            name=facts.name
            or re.sub(r"[^A-Za-z0-9._-]+", "-", target.stem).strip("-._")
            or "converted",
            version=facts.version,
            label=Label(
                name=facts.label_name,
                unit=facts.label_unit,
                minimum=float(labels.min()),
                maximum=float(labels.max()),
            ),
            input=recipe,
            architecture=architecture,
            prototypes=tuple(
                PrototypeInfo(label=float(label), source_label=None) for label in labels
            ),
            training=TrainingInfo(
                dataset=facts.dataset,
                licence=facts.licence,
                subjects=facts.subjects,
                images=None,
                seed=None,
                recipe={
                    "converted_from": "checkpoint of the published ExPeRT code",
                    "checkpoint_sha256": read.sha256,
                },
            ),
            versions=_versions(),
            card=_card(facts, tensors, read.sha256),
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the model"
        raise ModelError(
            f"{source.name} does not make a model: {where}: {first['msg']}."
        ) from error
    if images is not None:
        images = np.flip(images, tuple(1 + axis for axis in mirrored))
    written = save_model(target, info, weights, images)
    _ = load_model(written).network  # what is handed over has been opened once
    return written


# --- from their names to ours ---------------------------------------------------------------------
def _check_settings(name: str, settings: Mapping[str, object]) -> None:
    if settings.get("avg_pool") is True:
        raise ModelError(
            f"{name} was trained with avg_pool: it compares averaged features without "
            "transport, which this software does not."
        )
    activation = settings.get("last_act", "relu")
    if activation != "relu":
        raise ModelError(
            f"{name} ends its ResNet with '{activation}': only the published 'relu' can be "
            "converted."
        )


def _recipe(
    architecture: Architecture, tensors: Mapping[str, np.ndarray], facts: Facts
) -> InputSettings:
    rows, columns = tensors["prototype_vectors"].shape[2:]
    try:
        return InputSettings(
            space=facts.space,
            shape=(STRIDE * rows, STRIDE * columns),
            spacing_mm=facts.spacing_mm,
            center_mm=facts.center_mm,
            positions_mm=facts.positions_mm,
            training_positions_mm=facts.training_positions_mm,
            intensity=facts.intensity or ("full" if facts.space == "image" else "robust"),
        )
    except ValidationError as error:
        raise InputError(f"These facts cannot be used: {error.errors()[0]['msg']}.") from error


def _images(
    name: str, tensors: Mapping[str, np.ndarray], recipe: InputSettings
) -> np.ndarray | None:
    """(P, H, W) uint8 prototype images; None where the checkpoint has none, or only the empty ones
    of before a projection."""
    held = tensors.get("prototype_images")
    if held is None or not held.any():
        return None
    count = len(tensors["prototype_vectors"])
    if held.ndim != 4 or held.shape[:3] != (count, *recipe.shape) or held.dtype != np.uint8:
        raise ModelError(
            f"{name} cannot be converted: prototype_images is {held.dtype} of shape {held.shape}, "
            f"not uint8 of shape {(count, *recipe.shape, 1)}."
        )
    return np.asarray(np.rint(held.mean(axis=3)).astype(np.uint8))


def _anterior_first(images: np.ndarray, recipe: InputSettings) -> bool:
    """Whether the images' first row is anterior: their mean is like the template's plane, and more
    so when turned over.

    Of IXI slices, the mean correlates with the plane at 0.95, upside down at 0.87.
    """
    from expert.imaging.preprocessing import view_affine
    from expert.imaging.registration import Registration
    from expert.imaging.resampling import resample_to_template
    from expert.imaging.template import load_template

    affine = view_affine(recipe, recipe.positions_mm[len(recipe.positions_mm) // 2])[
        :, [2, 0, 1, 3]
    ]
    plane = resample_to_template(
        load_template("t1"), Registration.known(np.eye(4)), affine, (1, *recipe.shape)
    )[0]
    mean = images.mean(axis=0)
    if not plane.any() or mean.std() == 0:
        return False
    as_is, over = (
        float(np.corrcoef(plane.ravel(), shown.ravel())[0, 1]) for shown in (mean, mean[::-1])
    )
    return over > 0.5 and over > as_is + 0.03


# --- words ----------------------------------------------------------------------------------------


def _versions() -> dict[str, str]:
    from expert.model_file import versions

    return versions()


def _card(facts: Facts, tensors: Mapping[str, np.ndarray], sha256: str) -> str:
    """What was converted, and what nobody knows."""
    lines = [facts.card.strip()] if facts.card.strip() else []
    lines.append(
        f"Converted from a checkpoint of the published ExPeRT code (sha256 {sha256[:16]}…)."
    )
    lines.append(
        "Unknown, for a checkpoint does not tell: the error on unseen images, an interval, "
        "when an image is unlike the "
        "training data, and the labels of the images the prototypes show. 'expert "
        "evaluate' measures the error on your images."
    )
    way = (
        "registered to its template, brain only, robust grey values"
        if facts.space == "mni"
        else "fitted into the frame"
    )
    lines.append(
        "Nor does it tell how the training images were prepared; this software prepares "
        "images in its own way "
        f"({way}), and where that differs, the predictions do."
    )
    if facts.space == "mni":
        front = "anterior" if facts.first_pixel[0] == "A" else "posterior"
        side = "left" if facts.first_pixel[1] == "L" else "right"
        lines.append(
            f"The first pixel of its images is taken to lie {front} and on the patient's {side}."
        )
    if tensors["features.conv1.weight"].shape[1] == 3:
        lines.append(
            "Its first layer takes three channels: the grey image is taken to be repeated in them."
        )
    lines.append(
        (
            "The prototypes' images are in this file: whoever has it has images of the people "
            "it was trained on."
        )
        if facts.prototype_images == "value"
        else "The prototypes' images are not in this file."
    )
    return "\n".join(lines) + "\n"
