"""What happens when patches are taken away: deletion in the order of their pull, and how far a cell
sees beyond its box.

What is taken away is replaced by the *mean picture*: the mean of the other subjects' images at the
same height, within the image's own outline. A hole cut into a head, black or grey, is something no
network was trained on; the mean head is hardly that. The content (and with it the masses of the
matching) stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from expert.attribution import pull
from expert.comparison import ViewsResult
from expert.evaluation.matching_quality import PIXELS
from expert.patches import foreground_cells

if TYPE_CHECKING:
    from torch import Tensor

    from expert.model import PrototypeRegressor
    from expert.schema import Architecture

STEPS = 10
ORDERS = 5
"""Random orders that the ordered deletion is held against."""


@dataclass(frozen=True)
class Deletion:
    """How the answer moves while an image's foreground is deleted patch by patch; label units."""

    ordered: float
    """Area under |change of the answer| over the deleted part of the foreground (0 to 1), strongest
    pull first."""
    random: float
    """The same in random order, mean of five."""

    @property
    def gain(self) -> float:
        """Area between the two curves: above 0 where the patches said to pull do move the
        answer."""
        return self.ordered - self.random


def mean_pictures(images: np.ndarray, subjects: np.ndarray, row: int) -> np.ndarray:
    """The mean of the other subjects' images, view by view.

    Parameters
    ----------
    images : (N, V, *shape) 0 to 255
    subjects : (N,) rows of one subject share a number
    row : whose image is to be replaced

    Returns
    -------
    (V, *shape) float32, 0 to 255

    Raises
    ------
    ValueError
        There is no other subject.
    """
    others = subjects != subjects[row]
    if not others.any():
        raise ValueError("a mean picture of others needs at least two subjects")
    return np.asarray(images[others].mean(axis=0), dtype=np.float32)


def cell_slices(shape: tuple[int, ...], grid: tuple[int, ...], cell: int) -> tuple[slice, ...]:
    """A cell's box in the picture."""
    place = np.unravel_index(cell, grid)
    return tuple(
        slice(int(p) * n // g, (int(p) + 1) * n // g)
        for p, n, g in zip(place, shape, grid, strict=True)
    )


def without(
    image: np.ndarray, replacement: np.ndarray, grid: tuple[int, ...], cells: np.ndarray
) -> np.ndarray:
    """(*shape) float32: the image with the boxes of some cells replaced."""
    out = np.array(image, dtype=np.float32)
    for cell in cells:
        box = cell_slices(out.shape, grid, int(cell))
        out[box] = replacement[box]
    return out


def predictions(
    network: PrototypeRegressor,
    images: np.ndarray,
    content: np.ndarray,
    plane: int = 0,
    others: np.ndarray | None = None,
) -> np.ndarray:
    """Answers to pictures of one view.

    Parameters
    ----------
    network : in evaluation mode, on the CPU
    images : (B, *shape) 0 to 255
    content : (*shape) 0 to 255, of all of them
    plane : which of the explained planes they are
    others : (V - 1, P) distances of the other planes, where the planes decide together; None: the
        view answers alone

    Returns
    -------
    (B,) label units, in double precision
    """
    import torch

    from expert.model import weighted_prediction

    out = []
    labels, settings = network.prototype_labels.double(), network.architecture
    beside = None if others is None else torch.from_numpy(others)
    with torch.inference_mode():
        mass = network.image_mass(
            torch.from_numpy(np.ascontiguousarray(content)).float()[None] / 255
        )
        for features in _features(network, images):
            distance = network.compare(features[None].double(), mass, plane).distance
            if beside is not None:
                distance = torch.cat([distance, beside]).mean(0, keepdim=True)
            out.append(
                float(
                    weighted_prediction(
                        distance, labels, settings.radius, settings.weights
                    ).prediction
                )
            )
    return np.array(out)


def _features(network: PrototypeRegressor, images: np.ndarray) -> list[Tensor]:
    import torch

    size = max(1, PIXELS // int(np.prod(images.shape[1:])))
    out: list[Tensor] = []
    for n in range(0, len(images), size):
        out += list(
            network.backbone(
                torch.from_numpy(np.ascontiguousarray(images[n : n + size])).float()[:, None] / 255
            )
        )
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
    """Delete the foreground of one view in ten steps, in the order of |pull| on the answer and in
    random orders.

    The answer is the view's own, or that of all views where they decide together: the other views
    stay as they are.

    Parameters
    ----------
    network : in evaluation mode, on the CPU
    image, content, replacement : (*shape) 0 to 255, see `mean_pictures`
    result : from `expert.comparison.compare_images`
    view : which of its views `image` is
    seed : of the random orders

    Returns
    -------
    Deletion, or None where nothing pulls (a single prototype answers, or all vote alike) or nothing
    is foreground

    Source: the deletion metric of Petsiuk et al., "RISE", BMVC 2018, for a continuous answer.
    """
    cells = np.flatnonzero(foreground_cells(content[None], network.grid)[0])
    together = result.together is not None
    if (result.fallback if together else result.fallbacks[view]) or not len(cells):
        return None
    contributions = result.scale * (result.flow[view] * result.cost[view]).sum(axis=-1)
    labels = network.prototype_labels.double().numpy()
    distances, shares, others = result.distances[view], result.view_shares[view], None
    if together:
        distances, shares, contributions = (
            result.mean_distances,
            result.shares,
            contributions / len(result.distances),
        )
        others = np.delete(result.distances, view, axis=0)
    strength = np.abs(pull(distances, shares, contributions, labels, result.radius))
    if strength[cells].max() < 1e-9:
        return None
    generator = np.random.default_rng(seed)
    # Equal pulls come in random order, too: the cells' numbers say nothing.
    shuffled = generator.permutation(cells)
    orders = [shuffled[np.argsort(-strength[shuffled], kind="stable")]]
    orders += [generator.permutation(cells) for _ in range(ORDERS)]
    filled = replacement * (np.asarray(content, dtype=np.float32) / 255)
    counts = np.unique(np.ceil(np.linspace(0, 1, STEPS + 1) * len(cells)).astype(int))
    pictures = [
        without(image, filled, network.grid, order[:count])
        for order in orders
        for count in counts[1:-1]
    ]
    ends = [np.asarray(image, dtype=np.float32), without(image, filled, network.grid, cells)]
    answers = predictions(network, np.stack([*ends, *pictures]), content, view, others)
    moved = np.abs(answers - answers[0])
    inner = moved[2:].reshape(len(orders), -1)
    curves = np.column_stack([np.zeros(len(orders)), inner, np.full(len(orders), moved[1])])
    width = np.diff(counts) / len(cells)
    areas = ((curves[:, 1:] + curves[:, :-1]) / 2) @ width
    return Deletion(float(areas[0]), float(areas[1:].mean()))


def outside_response(
    network: PrototypeRegressor, image: np.ndarray, content: np.ndarray, replacement: np.ndarray
) -> float:
    """Which part of a foreground cell's response comes from outside its box.

    For every foreground cell, once its own box and once everything else is replaced, and the
    (Euclidean) change of its feature measured; the part from outside is ``outside / (inside +
    outside)``.

    Parameters
    ----------
    network : in evaluation mode, on the CPU
    image, content, replacement : (*shape) 0 to 255

    Returns
    -------
    mean over the cells that respond at all, 0 to 1; NaN where none does
    """
    import torch

    cells = np.flatnonzero(foreground_cells(content[None], network.grid)[0])
    filled = replacement * (np.asarray(content, dtype=np.float32) / 255)
    parts = []
    told = (
        network.architecture.latent - network.architecture.guide
    )  # what matches alone is no evidence
    with torch.inference_mode():
        before = _features(network, np.asarray(image, dtype=np.float32)[None])[0].flatten(1)
        for cell in cells:
            alone = without(
                filled, np.asarray(image, dtype=np.float32), network.grid, np.array([cell])
            )
            pair = np.stack([without(image, filled, network.grid, np.array([cell])), alone])
            inside, outside = (
                float((features.flatten(1)[:told, cell] - before[:told, cell]).norm())
                for features in _features(network, pair)
            )
            if inside + outside > 0:
                parts.append(outside / (inside + outside))
    return float(np.mean(parts)) if parts else float("nan")


def receptive_field(architecture: Architecture) -> int:
    """Input cells per axis that a feature cell can see, if the picture were large enough.

    Parameters
    ----------
    architecture : of `expert.backbone.Backbone`, or of a histogram, which sees its box

    Source: Araujo et al., "Computing Receptive Fields of Convolutional Neural Networks", Distill
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
