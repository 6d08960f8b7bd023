"""Quality of patch matches: whether matched patches show the same place or the same content.

The *self-match* compares an image with its own changed copy, for which the true match of every
patch is known. The other measures describe the plans between an image and the images it is matched
to. Patches are *foreground* if they hold at least half of the average patch's content
(`expert.patches.EMPTY`), whatever marginals the model uses. The "foreground's mass" is the mass of
the image's foreground patches.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from expert.comparison import dense
from expert.evaluation.perturbations import Change, known_changes
from expert.features.grey_values import to_unit
from expert.patches import foreground_patches

if TYPE_CHECKING:
    from torch import Tensor

    from expert.model import PrototypeRegressor
    from expert.schema import InputSettings

LATERAL_MM = 20.0
"""Distance from the midline, in mm, from which a patch's centre is clearly in one hemisphere."""
PIXELS = 1_000_000
"""Number of pixels that go through the backbone at once."""


@dataclass(frozen=True)
class PlanMetrics:
    """Measures of the plans from one image to others; NaN where not defined."""

    displacement_mm: float
    """Mean displacement of the foreground's mass between two registered heads, within the plane of
    the view; NaN for plain images."""
    best_share: float
    """Mean over the foreground patches of the fraction of their mass in the best match, 0 to 1."""
    background_mass: float
    """Fraction of the foreground's mass that goes to background patches of the other image, 0 to
    1."""
    side_confusion: float
    """Fraction of the mass of foreground patches at least 20 mm from the midline that goes to the
    other hemisphere; NaN for plain images."""


Matched = PlanMetrics  # former name


@dataclass(frozen=True, eq=False)
class Encoded:
    """Features, masses and foreground of images, as the matching uses them."""

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
    network : PrototypeRegressor
        In evaluation mode, on the CPU.
    images, content : (B, *shape) ndarray
        0 to 255.

    Returns
    -------
    Encoded
    """
    import torch

    size = max(1, PIXELS // int(np.prod(images.shape[1:])))
    features, mass = [], []
    with torch.inference_mode():
        for n in range(0, len(images), size):
            pixels = to_unit(images[n : n + size])
            features.append(network.backbone(pixels[:, None]).double())
            inside = to_unit(content[n : n + size])
            mass.append(network.image_mass(inside).double())
    return Encoded(torch.cat(features), torch.cat(mass), foreground_patches(content, network.grid))


def plans(
    network: PrototypeRegressor, one: Encoded, others: Encoded, *, guided: bool = False
) -> np.ndarray:
    """Transport plans from one image to others, converged, in double precision.

    A model that matches by position, or compares averages, does so here as well.

    Parameters
    ----------
    network : PrototypeRegressor
        In evaluation mode, on the CPU.
    one : Encoded
        Of a single image (B = 1).
    others : Encoded
        Of B images.
    guided : bool
        Whether to use the model's spatial prior, if it has one. By default, patches are matched by
        their appearance alone.

    Returns
    -------
    (B, M, M) ndarray
    """
    import torch

    with torch.inference_mode():
        matched = network.match_patches(
            one.features,
            others.features,
            one.mass,
            others.mass,
            prior=guided,
        )
    flow = matched.flow[0].numpy()
    if matched.partners is None:
        return np.asarray(flow)
    partners = matched.partners.numpy()
    return np.stack([dense(plan, partners) for plan in flow])


def match_accuracy(flow: np.ndarray, partner: np.ndarray, valid: np.ndarray) -> float:
    """Fraction of patches whose best match is the true one.

    Parameters
    ----------
    flow : (M, M) ndarray
        Transport plan.
    partner : (M,) ndarray of int
        True match of each patch.
    valid : (M,) ndarray of bool
        Patches to count.

    Returns
    -------
    float
        0 to 1. Of k equal best matches, the true one counts 1/k. NaN if no patch is valid.
    """
    rows = np.flatnonzero(valid)
    if not len(rows):
        return float("nan")
    best = flow[rows].max(axis=1, keepdims=True)
    tied = flow[rows] >= best * (1 - 1e-9)
    return float((tied[np.arange(len(rows)), partner[rows]] / tied.sum(axis=1)).mean())


hits = match_accuracy  # former name


def self_match(
    network: PrototypeRegressor, image: np.ndarray, content: np.ndarray
) -> tuple[dict[str, float], dict[str, float]]:
    """How often an image's patches are matched correctly in changed copies of the same image.

    A patch counts if it is foreground and its true match lies within the image and is foreground
    there. Also reported is how often a patch is matched to *its own place* in the mirror image
    ("flip, same place"): a network that distinguishes left from right does so, at the cost of
    "flip".

    Parameters
    ----------
    network : PrototypeRegressor
        In evaluation mode, on the CPU.
    image, content : (*shape) ndarray
        0 to 255.

    Returns
    -------
    found, chance : dict of str to float
        By change ("shift", "flip", "rotation", "contrast", see
        `expert.evaluation.perturbations.known_changes`), their "mean", and the "mean without flip",
        0 to 1. Chance level: a foreground patch of the copy at random.
    """
    changes = list(known_changes(image, content, network.grid, rim=network.architecture.ellipse))
    found, chance = _found(network, image, content, changes)
    return _with_means(found), _with_means(chance)


def shifted_match(
    network: PrototypeRegressor,
    image: np.ndarray,
    content: np.ndarray,
    other: np.ndarray,
    other_content: np.ndarray,
) -> tuple[float, float]:
    """How often patches are matched correctly to the shifted image of *another* subject.

    The other registered image is shifted by one patch along each axis. A network that uses the
    position alone fails, as in `self_match`; so does one that recognises only identical pixels.

    Parameters
    ----------
    network : PrototypeRegressor
        In evaluation mode, on the CPU.
    image, content, other, other_content : (*shape) ndarray
        0 to 255.

    Returns
    -------
    found, chance : float
        Means over the axes, 0 to 1, counted as in `self_match`.
    """
    rim = network.architecture.ellipse
    changes = known_changes(other, other_content, network.grid, rim=rim)
    shifts = [change for change in changes if change.name == "shift"]
    found, chance = _found(network, image, content, shifts)
    return nan_mean(found["shift"]), nan_mean(chance["shift"])


follows = shifted_match  # former name


def _found(
    network: PrototypeRegressor, image: np.ndarray, content: np.ndarray, changes: list[Change]
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    own = encode(network, image[None], content[None])
    copies = encode(
        network, np.stack([c.image for c in changes]), np.stack([c.content for c in changes])
    )
    flows = plans(network, own, copies)
    found, chance = defaultdict(list), defaultdict(list)
    for n, change in enumerate(changes):
        there = copies.foreground[n]
        wanted = {change.name: change.partner}
        if change.name == "flip":
            wanted["flip, same place"] = np.arange(flows.shape[1])
        for name, partner in wanted.items():
            valid = own.foreground[0] & (partner >= 0) & there[partner]
            found[name].append(match_accuracy(flows[n], partner, valid))
            chance[name].append(1 / there.sum() if valid.any() else np.nan)
    return found, chance


def _with_means(values: dict[str, list[float]]) -> dict[str, float]:
    each = {name: nan_mean(every) for name, every in values.items()}
    unmirrored = [each[name] for name in ("shift", "rotation", "contrast")]
    return {
        **each,
        "mean": nan_mean([*unmirrored, each["flip"]]),
        "mean without flip": nan_mean(unmirrored),
    }


def nan_mean(values: list[float] | np.ndarray) -> float:
    """Mean of the finite values; NaN if there is none."""
    every = np.asarray(values, dtype=float)
    return float(np.nanmean(every)) if np.isfinite(every).any() else float("nan")


mean_of = nan_mean  # former name


def patch_centers(
    settings: InputSettings, grid: tuple[int, ...], position_mm: float | None
) -> np.ndarray | None:
    """Centres of a view's patches in the template.

    Parameters
    ----------
    settings : InputSettings
    grid : tuple of int
        Patches per axis.
    position_mm : float or None
        Height of an axial plane, template mm; None for volumes.

    Returns
    -------
    (M, 3) ndarray or None
        Template RAS mm; None for plain images, which have no common space.
    """
    from expert.imaging.preprocessing import view_affine

    if settings.space != "mni":
        return None
    index = np.zeros((int(np.prod(grid)), 4))
    index[:, 3] = 1
    step = np.array(settings.shape) / np.array(grid)
    index[:, : len(grid)] = (np.indices(grid).reshape(len(grid), -1).T + 0.5) * step - 0.5
    return np.asarray((index @ view_affine(settings, position_mm).T)[:, :3])


cell_centers = patch_centers  # former name


def measure_plans(
    flow: np.ndarray,
    own: np.ndarray,
    partners: np.ndarray,
    weights: np.ndarray,
    centers: np.ndarray | None,
) -> PlanMetrics:
    """Measures of the plans from one image to P others.

    Parameters
    ----------
    flow : (P, M, M) ndarray
        Plans; rows are the image's patches.
    own : (M,) ndarray of bool
        Foreground of the image.
    partners : (P, M) ndarray of bool
        Foreground of the others.
    weights : (P,) ndarray
        Weight of each of the others; at least one above 0.
    centers : (M, 3) ndarray or None
        Patch centres in RAS mm, see `patch_centers`.

    Returns
    -------
    PlanMetrics
        Weighted means over the others.
    """
    rows = np.asarray(flow, dtype=float)[:, own]
    if not own.any():
        return PlanMetrics(*[float("nan")] * 4)
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
            beyond = np.abs(side) >= width / 2 - 1e-6  # not across the midline
            other = (side[own][lateral][:, None] * side[None] < 0) & beyond
            confused = (rows[:, lateral] * other).sum(axis=(1, 2)) / sent[:, lateral].sum(axis=1)
    return PlanMetrics(
        displacement_mm=float(average @ shift),
        best_share=float(average @ (rows.max(axis=2) / sent).mean(axis=1)),
        background_mass=float(average @ background),
        side_confusion=float(average @ confused),
    )


def chance_level(
    own: np.ndarray, partners: np.ndarray, weights: np.ndarray, centers: np.ndarray | None
) -> PlanMetrics:
    """`measure_plans` of an uninformative plan.

    Parameters
    ----------
    own, partners, weights, centers
        As in `measure_plans`.

    Returns
    -------
    PlanMetrics
        Displacement, best share and side confusion of the uniform plan over both foregrounds;
        background mass of the uniform plan over all patches.
    """
    patches = len(own)
    there = np.where(partners.any(axis=1, keepdims=True), partners, True).astype(float)
    inside = np.repeat((there / there.sum(axis=1, keepdims=True))[:, None], patches, axis=1)
    uniform = np.full_like(inside, 1 / patches)
    known = measure_plans(inside, own, partners, weights, centers)
    return PlanMetrics(
        known.displacement_mm,
        known.best_share,
        measure_plans(uniform, own, partners, weights, centers).background_mass,
        known.side_confusion,
    )


chance_of = chance_level  # former name
