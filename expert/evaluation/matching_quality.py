"""Whether matched patches mean the same place or the same content: measures of transport plans.

*Self-match* holds an image against its own changed copy, where the true partner of every cell is
known. The others look at the plans between an image and what it was matched to. Cells are
*foreground* where they hold at least half of the average cell's content (`expert.patches.EMPTY`),
whatever marginals the model matches with. "The foreground's mass" is what the image's foreground
cells send out.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from expert.evaluation.perturbations import Change, known_changes
from expert.patches import foreground_cells

if TYPE_CHECKING:
    from torch import Tensor

    from expert.model import PrototypeRegressor
    from expert.schema import InputRecipe

LATERAL_MM = 20.0
"""From here a cell's centre is clearly on one side of the head."""
PIXELS = 1_000_000
"""Pixels that go through the backbone at once."""


@dataclass(frozen=True)
class Matched:
    """Measures of the plans from one image to its partners; NaN where there is nothing to
    measure."""

    displacement_mm: float
    """Mean shift of the foreground's mass between two registered heads, within the plane of the
    view; NaN for plain images."""
    best_share: float
    """Mean over the foreground of the largest share of a cell, 0 to 1."""
    background_mass: float
    """Part of the foreground's mass that goes to background cells of the partner, 0 to 1."""
    side_confusion: float
    """Part of the mass of foreground cells at least 20 mm beside the midline that goes to the other
    hemisphere; NaN for plain images."""


@dataclass(frozen=True, eq=False)
class Encoded:
    """Images as the matching sees them."""

    features: Tensor
    """(B, C, *grid), double."""
    mass: Tensor
    """(B, M) marginals, double; rows sum to 1."""
    foreground: np.ndarray
    """(B, M) bool."""


def encode(network: PrototypeRegressor, images: np.ndarray, content: np.ndarray) -> Encoded:
    """Features, marginals and foreground of images.

    Parameters
    ----------
    network : in evaluation mode, on the CPU
    images, content : (B, *shape) 0 to 255
    """
    import torch

    size = max(1, PIXELS // int(np.prod(images.shape[1:])))
    features, mass = [], []
    with torch.inference_mode():
        for n in range(0, len(images), size):
            pixels = (
                torch.from_numpy(np.ascontiguousarray(images[n : n + size])).float()[:, None] / 255
            )
            features.append(network.backbone(pixels).double())
            inside = torch.from_numpy(np.ascontiguousarray(content[n : n + size])).float() / 255
            mass.append(network.image_mass(inside).double())
    return Encoded(torch.cat(features), torch.cat(mass), foreground_cells(content, network.grid))


def plans(
    network: PrototypeRegressor, one: Encoded, others: Encoded, *, guided: bool = False
) -> np.ndarray:
    """(B, M, M) transport plans from one image (B = 1) to each of the others, converged, in double
    precision.

    They are found by what the patches look like alone; where `guided`, the model's spatial prior
    helps, if it has one. A model that matches by position or not at all does so here as well.
    """
    import torch

    from expert.transport import average_match, position_plan, transport_plan

    matching = network.architecture.matching
    with torch.inference_mode():
        if matching == "position":
            return np.asarray(position_plan(one.mass, len(others.mass)).flow[0].numpy())
        if matching == "average":
            return np.asarray(
                average_match(one.features, others.features, one.mass, others.mass)[0]
                .flow[0]
                .numpy()
            )
        alike = network.costs(one.features, others.features)[1]
        by = network.with_prior(alike) if guided else alike
        plan = transport_plan(
            by,
            network.architecture.regularization,
            source=one.mass,
            target=others.mass,
            rounded=True,
        )
    return np.asarray(plan.flow[0].numpy())


def hits(flow: np.ndarray, partner: np.ndarray, valid: np.ndarray) -> float:
    """Share of cells whose best match is the true one.

    Parameters
    ----------
    flow : (M, M) plan
    partner : (M,) each cell's true partner
    valid : (M,) bool, cells that count

    Returns
    -------
    0 to 1; a cell with several equal best matches counts as its share of them; NaN where no cell
    counts
    """
    rows = np.flatnonzero(valid)
    if not len(rows):
        return float("nan")
    best = flow[rows].max(axis=1, keepdims=True)
    tied = flow[rows] >= best * (1 - 1e-9)
    return float((tied[np.arange(len(rows)), partner[rows]] / tied.sum(axis=1)).mean())


def self_match(
    network: PrototypeRegressor, image: np.ndarray, content: np.ndarray
) -> tuple[dict[str, float], dict[str, float]]:
    """How often an image's cells find themselves in its own changed copies.

    Cells count that are foreground, and whose true partner lies within the picture and is
    foreground there.

    Parameters
    ----------
    network : in evaluation mode, on the CPU
    image, content : (*shape) 0 to 255

    Returns
    -------
    found, chance : by change ("shift", "flip", "rotation", "contrast", see
        `expert.evaluation.perturbations.known_changes`), their "mean", and the "mean without flip",
        0 to 1; chance is one of the copy's foreground cells drawn blindly. Beside them, how often a
        cell matches *its own place* in the mirror image ("flip, same place"): a network that tells
        left from right by what it sees does so, at the price of "flip"
    """
    found, chance = _found(
        network, image, content, list(known_changes(image, content, network.grid))
    )
    return _with_means(found), _with_means(chance)


def follows(
    network: PrototypeRegressor,
    image: np.ndarray,
    content: np.ndarray,
    other: np.ndarray,
    other_content: np.ndarray,
) -> tuple[float, float]:
    """How often an image's cells find their place in *another* registered subject's image that was
    shifted by one cell.

    What knows only its place fails here as in `self_match`, and so does what recognises nothing but
    the very same pixels.

    Parameters
    ----------
    network : in evaluation mode, on the CPU
    image, content, other, other_content : (*shape) 0 to 255

    Returns
    -------
    found, chance : mean over the axes shifted along, 0 to 1, counted as in `self_match`
    """
    shifts = [
        change
        for change in known_changes(other, other_content, network.grid)
        if change.name == "shift"
    ]
    found, chance = _found(network, image, content, shifts)
    return mean_of(found["shift"]), mean_of(chance["shift"])


def _found(
    network: PrototypeRegressor, image: np.ndarray, content: np.ndarray, changes: list[Change]
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    own = encode(network, image[None], content[None])
    copies = encode(
        network, np.stack([c.image for c in changes]), np.stack([c.content for c in changes])
    )
    flows = plans(network, own, copies)
    here = np.arange(flows.shape[1])
    found, chance = defaultdict(list), defaultdict(list)
    for n, change in enumerate(changes):
        there = copies.foreground[n]
        wanted = {
            change.name: change.partner,
            **({"flip, same place": here} if change.name == "flip" else {}),
        }
        for name, partner in wanted.items():
            valid = own.foreground[0] & (partner >= 0) & there[partner]
            found[name].append(hits(flows[n], partner, valid))
            chance[name].append(1 / there.sum() if valid.any() else np.nan)
    return found, chance


def _with_means(values: dict[str, list[float]]) -> dict[str, float]:
    each = {name: mean_of(every) for name, every in values.items()}
    still = [each[name] for name in ("shift", "rotation", "contrast")]
    return {**each, "mean": mean_of([*still, each["flip"]]), "mean without flip": mean_of(still)}


def mean_of(values: list[float] | np.ndarray) -> float:
    """Mean of those that are numbers; NaN where none is."""
    every = np.asarray(values, dtype=float)
    return float(np.nanmean(every)) if np.isfinite(every).any() else float("nan")


def cell_centers(
    recipe: InputRecipe, grid: tuple[int, ...], position_mm: float | None
) -> np.ndarray | None:
    """(M, 3) template RAS mm of the centres of a view's cells; None for plain images, which have no
    common space."""
    from expert.imaging.preprocessing import view_affine

    if recipe.space != "mni":
        return None
    index = np.zeros((int(np.prod(grid)), 4))
    index[:, 3] = 1
    step = np.array(recipe.shape) / np.array(grid)
    index[:, : len(grid)] = (np.indices(grid).reshape(len(grid), -1).T + 0.5) * step - 0.5
    return np.asarray((index @ view_affine(recipe, position_mm).T)[:, :3])


def measure_plans(
    flow: np.ndarray,
    own: np.ndarray,
    partners: np.ndarray,
    weights: np.ndarray,
    centers: np.ndarray | None,
) -> Matched:
    """Measures of the plans from one image to several partners.

    Parameters
    ----------
    flow : (P, M, M) plans, rows are the image's cells
    own : (M,) bool, the image's foreground
    partners : (P, M) bool, that of the partners
    weights : (P,) how much each partner counts; at least one above 0
    centers : (M, 3) RAS mm of the cells, see `cell_centers`

    Returns
    -------
    Matched  each the weighted mean over the partners
    """
    rows = np.asarray(flow, dtype=float)[:, own]
    if not own.any():
        return Matched(*[float("nan")] * 4)
    sent = np.maximum(rows.sum(axis=2), 1e-300)  # (P, F)
    total = sent.sum(axis=1)
    average = weights / weights.sum()
    background = (rows * ~partners[:, None, :]).sum(axis=(1, 2)) / total
    shift = confused = np.full(len(flow), np.nan)
    if centers is not None:
        away = np.linalg.norm(centers[own][:, None] - centers[None], axis=2)
        shift = (rows * away).sum(axis=(1, 2)) / total
        side = centers[:, 0]
        lateral = np.abs(side[own]) >= LATERAL_MM
        if lateral.any():
            width = np.diff(np.unique(np.round(side, 6))).min() if np.ptp(side) > 0 else 0.0
            beyond = (
                np.abs(side) >= width / 2 - 1e-6
            )  # a cell across the midline belongs to neither side
            other = (side[own][lateral][:, None] * side[None] < 0) & beyond
            confused = (rows[:, lateral] * other).sum(axis=(1, 2)) / sent[:, lateral].sum(axis=1)
    return Matched(
        displacement_mm=float(average @ shift),
        best_share=float(average @ (rows.max(axis=2) / sent).mean(axis=1)),
        background_mass=float(average @ background),
        side_confusion=float(average @ confused),
    )


def chance_of(
    own: np.ndarray, partners: np.ndarray, weights: np.ndarray, centers: np.ndarray | None
) -> Matched:
    """As `measure_plans` for a plan that says nothing.

    Displacement, best share and confusion of sides are those of the uniform plan over the
    foreground of both, the mass on background is that of the uniform plan over all cells.
    """
    cells = len(own)
    there = np.where(partners.any(axis=1, keepdims=True), partners, True).astype(float)
    inside = np.repeat((there / there.sum(axis=1, keepdims=True))[:, None], cells, axis=1)
    uniform = np.full_like(inside, 1 / cells)
    known = measure_plans(inside, own, partners, weights, centers)
    return Matched(
        known.displacement_mm,
        known.best_share,
        measure_plans(uniform, own, partners, weights, centers).background_mass,
        known.side_confusion,
    )
