"""Matched patches: which of them the viewer and the report show, and with what.

Where they are drawn is in `expert.planes`, whose names can be imported from here, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from expert.attribution import for_prediction
from expert.features.grey_values import to_unit
from expert.features.head_frame import place_name
from expert.planes import Plane as Plane
from expert.planes import box as box
from expert.planes import display as display
from expert.planes import edge_letters as edge_letters
from expert.planes import is_head as is_head
from expert.planes import middle_plane as middle_plane
from expert.planes import patch_at as patch_at
from expert.planes import patch_center
from expert.planes import patches_in_plane as patches_in_plane
from expert.planes import plane_image as plane_image
from expert.planes import planes as planes

if TYPE_CHECKING:
    from expert.explanation import Explanation

CONVENTION = "radiological: the patient's right is on the left"
NEUROLOGICAL = "neurological: the patient's right is on the right"
Choice = Literal["contribution", "closest", "different", "all"]
CHOICES: dict[str, Choice] = {
    "6 with the largest contribution": "contribution",
    "6 most similar": "closest",
    "6 least similar": "different",
    "All foreground": "all",
}
COUNT = 6
COLORS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#CC79A7", "#D55E00")
"""Okabe and Ito (2008), distinguishable with colour vision deficiency; without blue and black,
which are invisible on a dark image."""
INCREASE, DECREASE = "#E69F00", "#56B4E9"
"""Orange and sky blue: the two ends of a signed map, distinguishable with colour vision
deficiency."""
EMPTY = 0.5
"""Patches with less than this fraction of the mean mass are background."""
DARK, LIT = 0.1, 0.05
"""Patches are background, too, if less than the fraction `LIT` of their pixels is brighter than the
fraction `DARK` of the image's 99th percentile."""
FAINT = 0.1
"""Matches with a smaller share are not drawn as boxes (hovering shows all of them)."""


@dataclass(frozen=True)
class Pair:
    """A patch of the subject and its strongest match in one prototype."""

    number: int
    """1-based, the same for the subject and all prototypes."""
    source: int
    """Patch of the subject, 0-based in C order of the grid."""
    target: int
    """Patch of the prototype."""
    share: float
    """Fraction of the patch that is matched to `target`, 0 to 1."""
    spread: float
    """Effective number of patches it is matched to (inverse participation ratio)."""
    cost: float
    """Feature distance of the two patches."""
    contribution: float
    """Contribution of the whole patch to the distance, label units."""


# --- patches to show ------------------------------------------------------------------------------
def foreground(explanation: Explanation, view: int) -> np.ndarray:
    """Patches that are not background, by their mass and by the brightness of the image.

    Parameters
    ----------
    explanation : Explanation
    view : int
        0-based.

    Returns
    -------
    (M,) bool ndarray
    """
    seen, grid = explanation.views[view], explanation.grid
    lit = seen.image > DARK * np.percentile(seen.image, 99)
    for axis, (size, cells) in enumerate(zip(seen.image.shape, grid, strict=True)):
        lit = np.add.reduceat(lit, np.arange(cells) * size // cells, axis=axis, dtype=int)
    pixels = np.prod(seen.image.shape) / np.prod(grid)
    return np.asarray((seen.mass >= EMPTY / len(seen.mass)) & (lit.ravel() >= LIT * pixels))


def chosen_patches(explanation: Explanation, plane: Plane, choice: Choice) -> list[int]:
    """Patches of the subject to be numbered, in the order of their numbers.

    They are ranked by their absolute contribution to the prediction, or by their contribution to
    the distance per mass, averaged over the prototypes shown by their weights.

    Parameters
    ----------
    explanation : Explanation
    plane : Plane
    choice : {"contribution", "closest", "different", "all"}
        The 6 patches with the largest contribution to the prediction (the most similar ones where
        no patch contributes), the 6 most similar patches, the 6 least similar ones, or all
        foreground.

    Returns
    -------
    list[int]
    """
    shown = explanation.views[plane.view]
    inside = np.zeros(len(shown.mass), dtype=bool)
    inside[patches_in_plane(explanation, plane).ravel()] = True
    candidates = np.flatnonzero(foreground(explanation, plane.view) & inside)
    if choice == "all":
        return [int(patch) for patch in candidates]
    if choice == "contribution":
        strength = np.abs(for_prediction(explanation, plane.view))[candidates]
        if strength.any():
            ranked = candidates[np.argsort(-strength, kind="stable")]
            return [int(patch) for patch in ranked[:COUNT]]
        choice = "closest"
    weights = np.array([match.share for match in explanation.prototypes]) + 1e-9
    costs = np.array([match.views[plane.view].contributions for match in explanation.prototypes])
    unlike = (weights[:, None] * costs).sum(0) / weights.sum() / np.maximum(shown.mass, 1e-12)
    ranked = candidates[
        np.argsort(unlike[candidates] * (1 if choice == "closest" else -1), kind="stable")
    ]
    return [int(patch) for patch in ranked[:COUNT]]


def pairs(explanation: Explanation, view: int, prototype: int, patches: list[int]) -> list[Pair]:
    """The strongest match of each of the given patches in one prototype.

    Parameters
    ----------
    explanation : Explanation
    view : int
        0-based.
    prototype : int
        0-based, among the prototypes that are explained in full.
    patches : list[int]
        Patches of the subject.

    Returns
    -------
    list[Pair]
    """
    match = explanation.prototypes[prototype].views[view]
    contributions, out = match.contributions, []
    for number, source in enumerate(patches, 1):
        row = match.matches(source)
        target = int(row.argmax())
        out.append(
            Pair(
                number,
                source,
                target,
                float(row[target]),
                spread(row),
                float(match.cost[source, target]),
                float(contributions[source]),
            )
        )
    return out


def spread(shares: np.ndarray) -> float:
    """Effective number of patches that a patch is matched to: the inverse participation ratio.

    Parameters
    ----------
    shares : (M,) ndarray
        They sum to 1, or are all 0.

    Returns
    -------
    float
        1 to M; 0 if all shares are 0.
    """
    return 1 / float((shares**2).sum()) if shares.any() else 0.0


def sharpness(explanation: Explanation, view: int) -> float:
    """Mean share of the strongest match, over the foreground and the prototypes shown.

    Parameters
    ----------
    explanation : Explanation
    view : int
        0-based.

    Returns
    -------
    float
        0 to 1.
    """
    patches = np.flatnonzero(foreground(explanation, view))
    best = [
        match.views[view].matches(int(patch)).max()
        for match in explanation.prototypes
        for patch in patches
    ]
    return float(np.mean(best)) if best else 0.0


# --- drawing --------------------------------------------------------------------------------------
def patch_location_text(explanation: Explanation, view: int, patch: int) -> str:
    """The location of a patch as text.

    Such as "L 30 · P 62" (template mm), "midline, left end" (of a fetal head as it is drawn) or
    "row 2, column 3".

    Parameters
    ----------
    explanation : Explanation
    view : int
        0-based.
    patch : int

    Returns
    -------
    str
    """
    if explanation.head_size is not None:
        row, column = patch_center(explanation, patch)
        return place_name(row, column, explanation.view_shape)
    place = np.array(np.unravel_index(patch, explanation.grid))
    if not is_head(explanation):
        return " ".join(
            f"{word} {n + 1}" for word, n in zip(("row", "column"), place, strict=True)
        ).replace(" c", ", c")
    center = patch_center(explanation, patch)
    index = np.ones(4)
    index[:3] = 0
    index[: len(center)] = center
    right, front, top = (explanation.views[view].affine @ index)[:3]
    side = "mid" if abs(right) < 0.5 else f"{'R' if right > 0 else 'L'} {abs(right):.0f}"
    height = "" if len(center) == 2 else f" · {'S' if top >= 0 else 'I'} {abs(top):.0f}"
    return f"{side} · {'A' if front >= 0 else 'P'} {abs(front):.0f}{height}"


whereabouts = patch_location_text  # former name


def foreground_patches(content: np.ndarray, grid: tuple[int, ...]) -> np.ndarray:
    """Patches with at least half of the average patch's content.

    Parameters
    ----------
    content : (B, *shape) ndarray
        0 to 255.
    grid : tuple[int, ...]
        Patches per axis.

    Returns
    -------
    (B, M) bool ndarray
    """
    from expert.backbone import patch_mass

    share = patch_mass(to_unit(content), grid, floor=0.0)
    return np.asarray((share >= EMPTY / share.shape[1]).numpy())
