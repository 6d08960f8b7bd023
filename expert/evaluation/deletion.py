"""Deletion metric, and response of a patch to what lies outside it.

The deletion metric is the change of the prediction when patches are removed in the order of their
contribution to it.

Removed patches are replaced by the *mean image*: the mean of the other subjects' images at the same
height, within the image's own outline. A black or grey hole would be unlike any training image; the
mean head is hardly so. The content, and with it the masses used in matching, stays unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from expert.attribution import contribution_to_prediction
from expert.comparison import ViewsResult, deciding
from expert.evaluation.matching_quality import PIXELS
from expert.features.grey_values import to_unit
from expert.patches import foreground_patches

if TYPE_CHECKING:
    from torch import Tensor

    from expert.model import PrototypeRegressor
    from expert.schema import Architecture

STEPS = 10
ORDERS = 5
"""Random orders with which the ordered deletion is compared."""
TOGETHER = 4
"""Images that are compared with the prototypes at once."""


@dataclass(frozen=True)
class Deletion:
    """Change of the prediction, in label units, while the foreground is deleted."""

    ordered: float
    """Area under |change of the prediction| over the deleted fraction of the foreground (0 to 1),
    largest contribution first."""
    random: float
    """The same in random order, mean of five."""

    @property
    def gain(self) -> float:
        """Area between the two curves.

        Above 0 if patches with large contributions change the prediction more than others.
        """
        return self.ordered - self.random


def mean_images(images: np.ndarray, subjects: np.ndarray, row: int) -> np.ndarray:
    """The mean of the other subjects' images, view by view.

    Parameters
    ----------
    images : (N, V, *shape) ndarray
        0 to 255.
    subjects : (N,) ndarray
        Subject of each row.
    row : int
        Row whose patches are to be replaced.

    Returns
    -------
    (V, *shape) ndarray
        float32, 0 to 255.

    Raises
    ------
    ValueError
        There is no other subject.
    """
    others = subjects != subjects[row]
    if not others.any():
        raise ValueError("The mean image of the other subjects needs at least two subjects.")
    return np.asarray(images[others].mean(axis=0), dtype=np.float32)


mean_pictures = mean_images  # former name


def patch_slices(shape: tuple[int, ...], grid: tuple[int, ...], patch: int) -> tuple[slice, ...]:
    """The part of an image that a patch covers, as one slice per axis."""
    place = np.unravel_index(patch, grid)
    return tuple(
        slice(int(p) * n // g, (int(p) + 1) * n // g)
        for p, n, g in zip(place, shape, grid, strict=True)
    )


cell_slices = patch_slices  # former name


def replace_patches(
    image: np.ndarray, replacement: np.ndarray, grid: tuple[int, ...], patches: np.ndarray
) -> np.ndarray:
    """An image with some patches replaced by those of another.

    Parameters
    ----------
    image, replacement : (*shape) ndarray
    grid : tuple of int
        Patches per axis.
    patches : (K,) ndarray of int
        Patch numbers.

    Returns
    -------
    (*shape) ndarray
        float32.
    """
    out = np.array(image, dtype=np.float32)
    for patch in patches:
        box = patch_slices(out.shape, grid, int(patch))
        out[box] = replacement[box]
    return out


without = replace_patches  # former name


def predictions(
    network: PrototypeRegressor,
    images: np.ndarray,
    content: np.ndarray,
    plane: int = 0,
    others: np.ndarray | None = None,
) -> np.ndarray:
    """Predictions for several versions of one view.

    Parameters
    ----------
    network : PrototypeRegressor
        In evaluation mode, on the CPU.
    images : (B, *shape) ndarray
        0 to 255.
    content : (*shape) ndarray
        0 to 255, the same for all of them.
    plane : int
        Which of the explained planes it is, 0-based.
    others : (V - 1, P) ndarray, optional
        Distances of the other planes, if the prediction combines the planes. If None, the
        prediction is that of the view.

    Returns
    -------
    (B,) ndarray
        Label units, in double precision.
    """
    import torch

    from expert.model import weighted_prediction

    out = []
    labels, settings = network.prototype_labels.double(), network.architecture
    with torch.inference_mode():
        inside = to_unit(content)[None]
        mass = network.image_mass(inside)
        for features in torch.stack(_features(network, images)).split(TOGETHER):
            distance = network.compare(
                features.double(), mass.expand(len(features), -1), plane
            ).distance
            if others is not None:
                known = torch.from_numpy(others)[None].expand(len(distance), -1, -1)
                distance = torch.cat([distance[:, None], known], 1).mean(1)
            weighted = weighted_prediction(distance, labels, settings.radius, settings.weights)
            out += weighted.prediction.tolist()
    return np.array(out)


def _features(
    network: PrototypeRegressor, images: np.ndarray, coordinates: Tensor | None = None
) -> list[Tensor]:
    """Features of versions of one image, whose anatomical coordinates are those of the first."""
    from expert.backbone import Members

    backbone = network.backbone
    if isinstance(backbone, Members) and backbone.coordinates is not None and coordinates is None:
        compared = network.architecture.n_compared_channels
        coordinates = backbone(to_unit(images[:1])[:, None])[0, compared : compared + 3]
    size = max(1, PIXELS // int(np.prod(images.shape[1:])))
    out: list[Tensor] = []
    for n in range(0, len(images), size):
        pixels = to_unit(images[n : n + size])
        if isinstance(backbone, Members):
            out += list(backbone(pixels[:, None], coordinates))
        else:
            out += list(backbone(pixels[:, None]))
    return out


def deletion(
    network: PrototypeRegressor,
    image: np.ndarray,
    content: np.ndarray,
    replacement: np.ndarray,
    result: ViewsResult,
    view: int,
    seed: int,
) -> Deletion | None:
    """Delete the foreground of one view, in the order of |contribution| and in random orders.

    It is deleted in ten steps. Contributions are those to the prediction of the view, or of all
    views if the model combines them: the other views then stay unchanged.

    Parameters
    ----------
    network : PrototypeRegressor
        In evaluation mode, on the CPU.
    image, content, replacement : (*shape) ndarray
        0 to 255, see `mean_images`.
    result : ViewsResult
        From `expert.comparison.compare_images`.
    view : int
        Which of its views `image` is.
    seed : int
        Of the random orders.

    Returns
    -------
    Deletion or None
        None if no patch contributes (the prediction is one prototype's label, or all labels are
        equal) or no patch is foreground.

    References
    ----------
    .. [1] Samek et al., "Evaluating the visualization of what a deep neural network has learned",
       IEEE TNNLS 2017 (comparison with random orders).
    .. [2] Petsiuk et al., "RISE: Randomized input sampling for explanation of black-box models",
       BMVC 2018 (deletion metric; here the absolute change of a continuous prediction).
    """
    patches = np.flatnonzero(foreground_patches(content[None], network.grid)[0])
    decided = deciding(result, view)
    if decided is None or not len(patches):
        return None
    labels = network.prototype_labels.double().numpy()
    strength = np.abs(contribution_to_prediction(*decided, labels, result.radius))
    if strength[patches].max() < 1e-9:
        return None
    generator = np.random.default_rng(seed)
    # Patches with equal contributions are in random order, not in the order of their numbers.
    shuffled = generator.permutation(patches)
    orders = [shuffled[np.argsort(-strength[shuffled], kind="stable")]]
    orders += [generator.permutation(patches) for _ in range(ORDERS)]
    filled = replacement * (np.asarray(content, dtype=np.float32) / 255)
    counts = np.unique(np.ceil(np.linspace(0, 1, STEPS + 1) * len(patches)).astype(int))
    deleted = [
        replace_patches(image, filled, network.grid, order[:count])
        for order in orders
        for count in counts[1:-1]
    ]
    ends = [
        np.asarray(image, dtype=np.float32),
        replace_patches(image, filled, network.grid, patches),
    ]
    others = np.delete(result.distances, view, axis=0) if result.planes_combined else None
    predicted = predictions(network, np.stack([*ends, *deleted]), content, view, others)
    moved = np.abs(predicted - predicted[0])
    inner = moved[2:].reshape(len(orders), -1)
    curves = np.column_stack([np.zeros(len(orders)), inner, np.full(len(orders), moved[1])])
    width = np.diff(counts) / len(patches)
    areas = ((curves[:, 1:] + curves[:, :-1]) / 2) @ width
    return Deletion(float(areas[0]), float(areas[1:].mean()))


def outside_response(
    network: PrototypeRegressor, image: np.ndarray, content: np.ndarray, replacement: np.ndarray
) -> float:
    """Fraction of a foreground patch's response that comes from outside the patch.

    For every foreground patch, once the patch and once everything else is replaced, and the
    (Euclidean) change of its feature is measured; the fraction is
    ``outside / (inside + outside)``.

    Parameters
    ----------
    network : PrototypeRegressor
        In evaluation mode, on the CPU.
    image, content, replacement : (*shape) ndarray
        0 to 255.

    Returns
    -------
    float
        Mean over the patches that respond at all, 0 to 1; NaN if none does.
    """
    import torch

    original, grid = np.asarray(image, dtype=np.float32), network.grid
    patches = np.flatnonzero(foreground_patches(content[None], grid)[0])
    filled = replacement * (np.asarray(content, dtype=np.float32) / 255)
    # Channels of the matching network do not enter the distances.
    n_compared_channels = network.architecture.n_compared_channels
    fractions = []
    with torch.inference_mode():
        whole = _features(network, original[None])[0]
        before = whole.flatten(1)
        # Coordinates decide which patches are matched, not what is compared.
        known = whole[n_compared_channels : n_compared_channels + 3]
        for patch in patches:
            only = np.array([patch])
            pair = np.stack(
                [
                    replace_patches(original, filled, grid, only),
                    replace_patches(filled, original, grid, only),
                ]
            )
            inside, outside = (
                float((features.flatten(1) - before)[:n_compared_channels, patch].norm())
                for features in _features(network, pair, known)
            )
            if inside + outside > 0:
                fractions.append(outside / (inside + outside))
    return float(np.mean(fractions)) if fractions else float("nan")


def receptive_field(architecture: Architecture) -> int:
    """Size of the receptive field of a feature, in pixels per axis, in a sufficiently large image.

    Parameters
    ----------
    architecture : Architecture
        Of a convolutional backbone, or of a histogram, whose receptive field is its patch.

    Returns
    -------
    int

    References
    ----------
    .. [1] Araujo et al., "Computing receptive fields of convolutional neural networks", Distill
       2019.
    """
    if architecture.backbone == "histogram":
        return architecture.pool
    # (kernel, stride) from the input on: the stem, then two blocks of two convolutions per stage,
    # then the pooling.
    layers = [(architecture.shrink, architecture.shrink), (7, 2), (3, 2)]
    for stage in range(len(architecture.widths)):
        layers += [(3, 1 if stage == 0 else 2), (3, 1), (3, 1), (3, 1)]
    layers.append((architecture.pool, architecture.pool))
    field, step = 1, 1
    for kernel, stride in layers:
        field += (kernel - 1) * step
        step *= stride
    return field
