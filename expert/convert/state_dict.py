"""Architecture and weights from the state dictionary of the published code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from pydantic import ValidationError

from expert.errors import ModelError
from expert.schema import (
    Architecture,
)

if TYPE_CHECKING:
    from expert.model import PrototypeRegressor


STAGES = ("layer1", "layer2", "layer3", "layer4")
"""Residual stages of a ResNet-18."""
STRIDE = 32
"""Pixels per patch and axis of a ResNet-18."""
RENAMED = {
    "prototypes": "prototype_vectors",
    "prototype_labels": "proto_classes",
    "scale": "emb_loss_s",
}
"""Name in this network → name in the published state; backbone names differ by a prefix."""
UNUSED = {"ones", "r", "prototype_images"}
"""Published names that are not weights of the network; some are read separately."""


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more} {'is' if len(names) == 1 else 'are'}"


def read_architecture(name: str, tensors: Mapping[str, np.ndarray]) -> Architecture:
    """Read the architecture from the shapes of the weights.

    Parameters
    ----------
    name : str
        File name, for error messages.
    tensors : mapping of str to numpy.ndarray
        The published state.

    Returns
    -------
    Architecture
        Of a ResNet-18 with ExPeRT's prototypes.

    Raises
    ------
    ModelError
        The state is not one of ExPeRT, or has other shapes.
    """
    firsts = [f"features.{stage}.0.conv1.weight" for stage in STAGES]
    needed = (
        *RENAMED.values(),
        "r",
        "features.conv1.weight",
        *firsts,
        "add_on_layers.0.weight",
        "add_on_layers.2.weight",
    )
    missing = [key for key in needed if key not in tensors]
    if missing:
        raise ModelError(
            f"{name} is no checkpoint of ExPeRT with a ResNet-18: {_listed(missing)} missing."
        )
    latents, radius = tensors["prototype_vectors"], tensors["r"]
    flat = next((key for key in firsts if tensors[key].ndim != 4), None)
    if flat is not None:
        raise ModelError(
            f"{name} cannot be converted: {flat} has shape {tensors[flat].shape}, which is "
            "not that of a convolution."
        )
    if latents.ndim != 4 or radius.size != 1:
        raise ModelError(
            f"{name} cannot be converted: prototype_vectors has shape {latents.shape} and "
            f"r {radius.shape}, "
            "not (P, C, h, w) and (1,)."
        )
    try:
        return Architecture(
            dimensions=2,
            widths=tuple(tensors[key].shape[0] for key in firsts),
            pool=1,
            channels=latents.shape[1],
            prototypes=latents.shape[0],
            radius=float(radius.reshape(())),
            regularization=0.1,
            marginals="uniform",
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise ModelError(
            f"{name} cannot be converted: {first['loc'][-1]}: {first['msg']}."
        ) from error


def read_weights(
    name: str, tensors: Mapping[str, np.ndarray], architecture: Architecture
) -> dict[str, np.ndarray]:
    """Convert the published state to the state of this software's network.

    Parameters
    ----------
    name : str
        File name, for error messages.
    tensors : mapping of str to numpy.ndarray
        The published state.
    architecture : Architecture
        From `read_architecture`.

    Returns
    -------
    dict of numpy.ndarray
        By the names of `expert.model.PrototypeRegressor`.

    Raises
    ------
    ModelError
        A tensor is missing, unknown, of another shape or not finite.
    """
    from expert.model import PrototypeRegressor

    grid = tensors["prototype_vectors"].shape[2:]
    ours: PrototypeRegressor = PrototypeRegressor(architecture, grid)
    wanted = {key: tuple(value.shape) for key, value in ours.state_dict().items()}
    theirs = {
        key: RENAMED.get(key, key.removeprefix("backbone."))
        for key in wanted
        if key != "prototype_mass"
    }
    missing = [
        key
        for key in theirs.values()
        if key not in tensors and not key.endswith("num_batches_tracked")
    ]
    foreign = sorted(set(tensors) - set(theirs.values()) - UNUSED)
    if missing or foreign:
        what = f"{_listed(missing)} missing" if missing else f"{_listed(foreign)} not part of it"
        raise ModelError(f"{name} is no checkpoint of ExPeRT with a ResNet-18: {what}.")
    weights: dict[str, np.ndarray] = {}
    for key, published in theirs.items():
        value = tensors.get(published, np.zeros(wanted[key], dtype=np.int64))
        if key == "backbone.features.conv1.weight":
            value = _grey(name, value)
        if key in ("scale", "prototype_labels") and value.size == np.prod(wanted[key]):
            value = value.reshape(wanted[key])
        if value.shape != wanted[key]:
            raise ModelError(
                f"{name} cannot be converted: {published} has shape {value.shape}, not "
                f"{wanted[key]}."
            )
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise ModelError(
                f"{name} cannot be converted: {published} holds values that are not finite."
            )
        weights[key] = value
    weights["prototypes"] = np.flip(
        weights["prototypes"], tuple(2 + axis for axis in architecture.mirrored)
    )
    weights["prototype_labels"] = weights["prototype_labels"].astype(np.float32)
    weights["prototype_mass"] = np.full(
        wanted["prototype_mass"], 1.0 / (grid[0] * grid[1]), dtype=np.float32
    )
    return weights


def _grey(name: str, kernel: np.ndarray) -> np.ndarray:
    """First convolution (N, 1 or 3, 7, 7) for one grey channel: sum of repeated channels."""
    if kernel.ndim != 4 or kernel.shape[1] not in (1, 3):
        raise ModelError(
            f"{name} cannot be converted: features.conv1.weight has shape {kernel.shape}, "
            "which is not that of one grey channel or of three that repeat it."
        )
    return np.asarray(kernel.sum(axis=1, keepdims=True, dtype=np.float64).astype(np.float32))
