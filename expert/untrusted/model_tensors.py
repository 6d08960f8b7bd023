"""Tensors of a model file: whether their shapes, types and values fit the metadata."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import nn

    from expert.schema import ModelInfo

LARGEST_FILE = 1 << 30
"""Bytes of a model file."""
LARGEST_HEADER, MOST_TENSORS = 40 << 20, 10_000
"""Bytes of the header of a model file, and tensors in it."""
LARGEST_COMPARISON = 1 << 29
"""Numbers in the transport plans between an image and all prototypes: 2 GB."""
MASS_TOLERANCE = 1e-3


def file_problem(path: Path) -> str:
    """Why a model file is too large to be opened.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    str
        A part of a sentence; empty if it is not.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    if path.stat().st_size > LARGEST_FILE:
        return f"it is larger than {LARGEST_FILE >> 30} GB"
    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
    if header > LARGEST_HEADER:
        return f"its header is larger than {LARGEST_HEADER >> 20} MB"
    return ""


def tensor_problem(info: ModelInfo, tensors: Mapping[str, np.ndarray]) -> str:
    """What is wrong with the tensors of a model, apart from the weights of its backbone.

    Parameters
    ----------
    info : ModelInfo
        The metadata.
    tensors : Mapping[str, ndarray]
        By name.

    Returns
    -------
    str
        A part of a sentence; empty if nothing is wrong.
    """
    settings, grid = info.architecture, info.grid
    count, patches = settings.prototypes, math.prod(grid)
    rows = settings.planes * count
    partners = patches
    if settings.reach:
        partners = min(patches, math.prod(2 * int(min(settings.reach, n)) + 1 for n in grid))
    if count * patches * partners > LARGEST_COMPARISON:
        return f"{count} prototypes with {patches} patches each are too many to be compared"
    for name, value in tensors.items():
        if value.dtype.kind not in "fiub":
            return f"{name} contains no numbers"
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            return f"{name} contains non-finite values"
    every = (settings.planes,) if settings.planes_combined else ()
    shapes = {
        "weights.prototypes": (rows, settings.latent, *grid),
        "weights.prototype_labels": (count,),
        "weights.prototype_mass": (rows, patches),
        "prototype_images": (count, *every, *info.input.shape),
    }
    for name, shape in shapes.items():
        if name not in tensors:
            if name == "prototype_images":
                continue
            return f"{name} is missing"
        if tensors[name].shape != shape:
            return f"{name} has shape {tensors[name].shape}, not {shape}"
        kind = "f" if name.startswith("weights.") else "u"
        if tensors[name].dtype.kind != kind:
            return f"{name} has type {tensors[name].dtype}"
    stated = np.array([one.label for one in info.prototypes])
    if not np.allclose(tensors["weights.prototype_labels"], stated, rtol=1e-4, atol=1e-3):
        return "the labels of its prototypes are not those in its metadata"
    mass = tensors["weights.prototype_mass"].astype(float)
    if (mass < 0).any() or (np.abs(mass.sum(axis=1) - 1) > MASS_TOLERANCE).any():
        return "the mass of its prototypes' patches does not sum to 1"
    return norms_problem(tensors, patches)


def norms_problem(tensors: Mapping[str, np.ndarray], patches: int, views: int | None = None) -> str:
    """What is wrong with tissue curves, see `expert.evidence.tissue_norms`.

    Parameters
    ----------
    tensors : Mapping[str, ndarray]
    patches : int
    views : int, optional
        By default, any number.

    Returns
    -------
    str
        A part of a sentence; empty if nothing is wrong, or there are none.
    """
    curves, labels = tensors.get("tissue_norms"), tensors.get("tissue_norm_labels")
    if curves is None or labels is None:
        return ""
    fits = labels.ndim == 1 and len(labels) >= 2 and bool((np.diff(labels) > 0).all())
    if not fits or curves.ndim != 5 or curves.dtype.kind != "f" or labels.dtype.kind != "f":
        return "its tissue curves are damaged"
    wanted = (len(labels), curves.shape[1] if views is None else views, patches, 3, 2)
    if curves.shape != wanted:
        return f"tissue_norms has shape {curves.shape}"
    return ""


def weight_problem(empty: nn.Module, weights: Mapping[str, np.ndarray]) -> str:
    """Compare weights with a network before memory is used for it.

    Parameters
    ----------
    empty : torch.nn.Module
        The network on the device "meta", without values.
    weights : Mapping[str, ndarray]
        By the names of the network.

    Returns
    -------
    str
        A part of a sentence; empty if they fit.
    """
    wanted = empty.state_dict()
    if missing := sorted(wanted.keys() - weights.keys()):
        return f"{missing[0]} is missing"
    if further := sorted(weights.keys() - wanted.keys()):
        return f"{further[0]} is unknown"
    for name, value in weights.items():
        shape, stored = tuple(wanted[name].shape), value.shape
        if stored != shape and not (shape == () and stored == (1,)):
            return f"{name} has shape {stored}, not {shape}"
        if wanted[name].is_floating_point() != (value.dtype.kind == "f"):
            return f"{name} has type {value.dtype}"
    return ""
