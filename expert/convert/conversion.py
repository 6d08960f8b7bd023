"""Convert a checkpoint of the published ExPeRT code to a model file with the same predictions.

The checkpoint is a pickle. PyTorch's weights-only reader reads it in another process
(`expert.convert.checkpoint_reader`) and hands over safetensors. What a checkpoint does not contain
comes from the user (`expert.convert.facts`).

References
----------
.. [1] Hesse et al., "Prototype Learning for Explainable Brain Age Prediction", WACV 2024,
       arXiv:2306.09858; tensor names are those of its published code.
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

import numpy as np
from pydantic import ValidationError

from expert.convert.facts import Facts as Facts
from expert.convert.facts import read_facts as read_facts  # former place
from expert.convert.state_dict import STRIDE, read_architecture, read_weights
from expert.errors import InputError, ModelError
from expert.imaging.preprocessing import view_affine
from expert.imaging.registration import Registration
from expert.imaging.resampling import resample_to_template
from expert.imaging.template import load_template
from expert.model_file import load_model, save_model, versions
from expert.schema import (
    Architecture,
    InputSettings,
    Label,
    ModelInfo,
    PrototypeInfo,
    TrainingInfo,
)

SECONDS = 600
"""Time limit for reading a checkpoint."""


class ConversionWarning(UserWarning):
    """The converted model may differ from the intended one."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Content of a checkpoint."""

    tensors: Mapping[str, np.ndarray]
    """By their published names, without a prefix."""
    settings: Mapping[str, object]
    """Those of `expert.convert.checkpoint_reader.SETTINGS` that the checkpoint contains."""
    sha256: str
    """Checksum of the file."""


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a PyTorch state dict or Lightning checkpoint without executing anything in it.

    Parameters
    ----------
    path : str or os.PathLike
        .pth, .pt or .ckpt file, as ``torch.save`` writes it.

    Returns
    -------
    Checkpoint
        Its tensors and settings.

    Raises
    ------
    ModelError
        The file cannot be read, or holds more than weights and plain settings.
    """
    from safetensors.numpy import load_file

    source = Path(path)
    try:
        digest = hashlib.sha256(source.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelError(f"The checkpoint {source} could not be read: {error.strerror}.") from error
    # -P: modules in the folder of the script must not hide others of the same name.
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
            reply = json.loads(done.stdout.splitlines()[-1])
        except (subprocess.TimeoutExpired, IndexError, json.JSONDecodeError) as error:
            raise ModelError(
                f"{source.name} could not be read as a checkpoint: the reading process failed."
            ) from error
        if "problem" in reply:
            raise ModelError(_problem(source.name, reply))
        return Checkpoint(
            load_file(Path(folder) / "tensors.safetensors"), reply["settings"], digest
        )


def _problem(name: str, reply: Mapping[str, str]) -> str:
    """Return the error message for what the reading process reported."""
    if reply["problem"] == "unsafe":
        return (
            f"{name} holds more than weights ({reply['detail']}) and was not opened; nothing in "
            "it was run. Where it was made, save the weights alone, "
            "torch.save(model.state_dict(), 'weights.pth'), and convert that file."
        )
    if reply["problem"] == "unreadable":
        return f"{name} is not a readable PyTorch checkpoint: it is damaged or of another kind."
    return f"{name} holds no network's state: give a state dict or a Lightning checkpoint."


def convert_checkpoint(
    checkpoint: str | os.PathLike[str],
    out: str | os.PathLike[str],
    facts: Facts,
    *,
    overwrite: bool = False,
) -> Path:
    """Write a model file with the predictions of the published network in evaluation mode.

    The published code stops its plans after 25 Sinkhorn steps, and they depend on the other images
    of a batch. Here each plan converges, so predictions agree up to that.

    Parameters
    ----------
    checkpoint : str or os.PathLike
        See `read_checkpoint`; a ResNet-18 (of any widths) with one grey channel, or three that
        repeat it.
    out : str or os.PathLike
        Model file to write, usually ending in .safetensors.
    facts : Facts
        What the checkpoint does not contain, see `expert.convert.facts.read_facts`.
    overwrite : bool
        Whether an existing file may be replaced.

    Returns
    -------
    pathlib.Path
        The model file; it was loaded once as a check.

    Raises
    ------
    ModelError
        `out` exists, or the checkpoint cannot be read, is not one of ExPeRT, or uses a setting that
        this software does not support.
    InputError
        The facts contradict the checkpoint.

    Warns
    -----
    ConversionWarning
        The prototype images look as if `first_pixel` were wrong.
    """
    source, target = Path(checkpoint), Path(out)
    if target.exists() and source.exists() and target.samefile(source):
        raise ModelError(f"{target} is the checkpoint itself: choose another name for the model.")
    if target.exists() and not overwrite:
        raise ModelError(
            f"{target} exists already: choose another name for the model, or replace it with "
            "--overwrite."
        )
    read = read_checkpoint(source)
    _check_settings(source.name, read.settings)
    tensors = read.tensors
    architecture = read_architecture(source.name, tensors)
    inputs = _input_settings(architecture, tensors, facts)
    images = _images(source.name, tensors, inputs)
    corner, head = facts.first_pixel, facts.space == "mni"
    mirrored = tuple(axis for axis, far in enumerate("AR") if corner[axis] == far) if head else ()
    if head and corner[0] == "P" and images is not None and _anterior_first(images, inputs):
        warnings.warn(
            f"The first row of the prototype images of {source.name} looks anterior, but was "
            "converted as posterior. If it is anterior, the model gets heads upside down: convert "
            f"it again with first_pixel A{corner[1]}.",
            ConversionWarning,
            stacklevel=2,
        )
    architecture = architecture.model_copy(update={"mirrored": mirrored})
    weights = read_weights(source.name, tensors, architecture)
    if facts.prototype_images == "none":
        images = None
    elif images is None:
        raise ModelError(f"{source.name} holds no prototype images: leave out --images value.")
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
            input=inputs,
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
            versions=versions(),
            card=_card(facts, tensors, read.sha256),
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the model"
        raise ModelError(
            f"{source.name} does not result in a valid model: {where}: {first['msg']}."
        ) from error
    if images is not None:
        images = np.flip(images, tuple(1 + axis for axis in mirrored))
    written = save_model(target, info, weights, images)
    _ = load_model(written).network  # check that the file loads
    return written


def _check_settings(name: str, settings: Mapping[str, object]) -> None:
    if settings.get("avg_pool") is True:
        raise ModelError(
            f"{name} was trained with avg_pool, which compares averaged features only: "
            "this software does not support it."
        )
    activation = settings.get("last_act", "relu")
    if activation != "relu":
        raise ModelError(
            f"{name} ends its ResNet with '{activation}': only the published 'relu' can be "
            "converted."
        )


def _input_settings(
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
    name: str, tensors: Mapping[str, np.ndarray], inputs: InputSettings
) -> np.ndarray | None:
    """(P, H, W) uint8 prototype images; None if there are none, or none were projected yet."""
    images = tensors.get("prototype_images")
    if images is None or not images.any():
        return None
    count = len(tensors["prototype_vectors"])
    if images.ndim != 4 or images.shape[:3] != (count, *inputs.shape) or images.dtype != np.uint8:
        raise ModelError(
            f"{name} cannot be converted: prototype_images is {images.dtype} of shape "
            f"{images.shape}, not uint8 of shape {(count, *inputs.shape, 1)}."
        )
    return np.asarray(np.rint(images.mean(axis=3)).astype(np.uint8))


def _anterior_first(images: np.ndarray, inputs: InputSettings) -> bool:
    """Whether the first row of the images is probably anterior.

    The mean image is correlated with the template's plane, as it is and upside down (IXI slices:
    0.95 and 0.87).
    """
    affine = view_affine(inputs, inputs.positions_mm[len(inputs.positions_mm) // 2])[
        :, [2, 0, 1, 3]
    ]
    plane = resample_to_template(
        load_template("t1"), Registration.known(np.eye(4)), affine, (1, *inputs.shape)
    )[0]
    mean = images.mean(axis=0)
    if not plane.any() or mean.std() == 0:
        return False
    as_is, over = (
        float(np.corrcoef(plane.ravel(), shown.ravel())[0, 1]) for shown in (mean, mean[::-1])
    )
    return over > 0.5 and over > as_is + 0.03


def _card(facts: Facts, tensors: Mapping[str, np.ndarray], sha256: str) -> str:
    """Return the model card: what was converted, and what is unknown."""
    lines = [facts.card.strip()] if facts.card.strip() else []
    lines.append(
        f"Converted from a checkpoint of the published ExPeRT code (sha256 {sha256[:16]}…)."
    )
    lines.append(
        "A checkpoint does not contain, so these are unknown: the error on unseen images, a "
        "prediction interval, limits for out-of-distribution images, and the labels of the images "
        "that the prototypes show. 'expert evaluate' measures the error on your images."
    )
    way = (
        "registered to its template, brain only, robust grey values"
        if facts.space == "mni"
        else "fitted into the frame"
    )
    lines.append(
        "It is also unknown how the training images were prepared. This software prepares images "
        f"in its own way ({way}); where that differs, predictions differ."
    )
    if facts.space == "mni":
        front = "anterior" if facts.first_pixel[0] == "A" else "posterior"
        side = "left" if facts.first_pixel[1] == "L" else "right"
        lines.append(
            f"Assumed: the first pixel of its images is {front} and on the patient's {side}."
        )
    if tensors["features.conv1.weight"].shape[1] == 3:
        lines.append(
            "Its first layer takes three channels. Assumed: they repeat the same grey image."
        )
    lines.append(
        (
            "The prototypes' images are in this file: they are images of the people it was "
            "trained on."
        )
        if facts.prototype_images == "value"
        else "The prototypes' images are not in this file."
    )
    return "\n".join(lines) + "\n"
