"""Which patch goes with which, and where it is drawn: what viewer and report show of an
`Explanation`, without any window.

A *cell* is one picture side by side: 0 is the subject, n > 0 the n-th shown prototype. A *plane* is
what of a view is drawn at once: the whole of a 2D view, one slice of a 3D one. Heads are drawn in
the radiological convention (front up, the patient's right on the left) unless another is asked for,
plain images as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from expert.grey_values import to_unit

if TYPE_CHECKING:
    from expert.explanation import Explanation

CONVENTION = "radiological: the patient's right is on the left"
NEUROLOGICAL = "neurological: the patient's right is on the right"
Choice = Literal["closest", "different", "all"]
CHOICES: dict[str, Choice] = {
    "most alike six": "closest",
    "least alike six": "different",
    "all with content": "all",
}
COUNT = 6
COLORS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#CC79A7", "#D55E00")
"""Okabe and Ito (2008): told apart by colour-blind readers; without the blue and black that vanish
on a dark image."""
EMPTY = 0.5
"""A patch with less than this part of the average mass is background: nothing is matched there
worth showing."""
DARK, LIT = 0.1, 0.05
"""Nor is it where fewer than `LIT` of its pixels are brighter than `DARK` of the picture's (99th
percentile)."""
FAINT = 0.1
"""Shares below this are not drawn as boxes (hovering shows all of them)."""


@dataclass(frozen=True)
class Plane:
    """What of an explanation is drawn at once."""

    view: int
    """0-based among the explanation's views."""
    slice: int | None
    """Along the first axis of a 3D view; None for a 2D view, which is drawn whole."""
    position_mm: float | None
    """Height above the anterior commissure; None for a plain image."""
    name: str


@dataclass(frozen=True)
class Pair:
    """A patch of the subject and the patch of one prototype that took most of it."""

    number: int
    """1-based, the same for the subject and all prototypes."""
    source: int
    """Patch of the subject, 0-based in C order of the grid."""
    target: int
    """Patch of the prototype."""
    share: float
    """Part of the patch that went to `target`, 0 to 1."""
    spread: float
    """Over how many patches it was spread (inverse participation ratio; 1 is sharp)."""
    cost: float
    """Feature distance of the two patches."""
    contribution: float
    """What the whole patch adds to the distance, label units."""


# --- planes ---------------------------------------------------------------------------------------
def planes(explanation: Explanation) -> tuple[Plane, ...]:
    """Everything of an explanation that can be drawn: its 2D views, or the slices of a 3D view that
    have something in them."""
    out = []
    for number, view in enumerate(explanation.views):
        if view.image.ndim == 2:
            out.append(Plane(number, None, view.position_mm, view.name))
            continue
        for index in np.flatnonzero(view.image.any(axis=(1, 2))):
            height = float((view.affine @ [index, 0, 0, 1])[2])
            out.append(Plane(number, int(index), height, f"z = {height:+.0f} mm"))
    return tuple(out)


def middle_plane(explanation: Explanation) -> int:
    """Index into `planes` of the one to begin with."""
    return len(planes(explanation)) // 2


def plane_image(image: np.ndarray, plane: Plane) -> np.ndarray:
    """(rows, columns) of a view's (or prototype's) image that lie in the plane; of one that shows
    every view, of that view."""
    if plane.slice is not None:
        return np.asarray(image[plane.slice])
    return image if image.ndim == 2 else np.asarray(image[plane.view])


def patches_in_plane(explanation: Explanation, plane: Plane) -> np.ndarray:
    """(rows, columns) indices of the patches that the plane cuts, as they lie in it."""
    grid = explanation.grid
    numbers = np.arange(int(np.prod(grid))).reshape(grid)
    return (
        numbers
        if plane.slice is None
        else numbers[plane.slice * grid[0] // explanation.view_shape[0]]
    )


# --- what is shown --------------------------------------------------------------------------------
def foreground(explanation: Explanation, view: int) -> np.ndarray:
    """(M,) bool: patches with something in them, by their mass and by what the picture shows
    there."""
    seen, grid = explanation.views[view], explanation.grid
    lit = seen.image > DARK * np.percentile(seen.image, 99)
    for axis, (size, cells) in enumerate(zip(seen.image.shape, grid, strict=True)):
        lit = np.add.reduceat(lit, np.arange(cells) * size // cells, axis=axis, dtype=int)
    pixels = np.prod(seen.image.shape) / np.prod(grid)
    return np.asarray((seen.mass >= EMPTY / len(seen.mass)) & (lit.ravel() >= LIT * pixels))


def chosen_patches(explanation: Explanation, plane: Plane, choice: Choice) -> list[int]:
    """Patches of the subject to number, in the order of their numbers.

    "closest" and "different" rank by the transported cost per mass, averaged over the shown
    prototypes by their shares: the patches in which the subject is most, or least, like what it was
    likened to.
    """
    shown = explanation.views[plane.view]
    inside = np.zeros(len(shown.mass), dtype=bool)
    inside[patches_in_plane(explanation, plane).ravel()] = True
    candidates = np.flatnonzero(foreground(explanation, plane.view) & inside)
    if choice == "all":
        return [int(patch) for patch in candidates]
    weights = np.array([match.share for match in explanation.prototypes]) + 1e-9
    costs = np.array([match.views[plane.view].contributions for match in explanation.prototypes])
    unlike = (weights[:, None] * costs).sum(0) / weights.sum() / np.maximum(shown.mass, 1e-12)
    ranked = candidates[
        np.argsort(unlike[candidates] * (1 if choice == "closest" else -1), kind="stable")
    ]
    return [int(patch) for patch in ranked[:COUNT]]


def pairs(explanation: Explanation, view: int, prototype: int, patches: list[int]) -> list[Pair]:
    """The given patches' strongest partners in a prototype (0-based among those shown)."""
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
    """Over how many patches shares (M,) that sum to 1 are spread: the inverse participation ratio;
    0 for none at all."""
    return 1 / float((shares**2).sum()) if shares.any() else 0.0


def sharpness(explanation: Explanation, view: int) -> float:
    """Mean share of the strongest partner over the subject's foreground and the shown prototypes, 0
    to 1."""
    patches = np.flatnonzero(foreground(explanation, view))
    best = [
        match.views[view].matches(int(patch)).max()
        for match in explanation.prototypes
        for patch in patches
    ]
    return float(np.mean(best)) if best else 0.0


# --- where it is drawn ----------------------------------------------------------------------------
def is_head(explanation: Explanation) -> bool:
    """Whether the views lie in template space (heads), not in a plain image."""
    return explanation.registration is not None


def display(image: np.ndarray, head: bool) -> np.ndarray:
    """A plane as it is drawn: heads turned from (A, R) to (P, L)."""
    return image[::-1, ::-1] if head else image


def edge_letters(head: bool) -> dict[str, str]:
    """Letters for the edges of a plane as it is drawn, side to letter; none for plain images."""
    return {"left": "R", "right": "L", "top": "A", "bottom": "P"} if head else {}


def patch_at(explanation: Explanation, plane: Plane, index: tuple[float, float]) -> int | None:
    """The patch under an index of the picture *as drawn* (row, column; see `display`), or None
    outside it."""
    numbers = patches_in_plane(explanation, plane)
    shape = np.array(explanation.view_shape[-2:])
    place = np.rint(np.asarray(index)).astype(int)
    if (place < 0).any() or (place >= shape).any():
        return None
    if is_head(explanation):
        place = shape - 1 - place
    row, column = place * np.array(numbers.shape) // shape
    return int(numbers[row, column])


def box(explanation: Explanation, patch: int, inset: float = 0.0) -> np.ndarray:
    """(4, 2) corners of a patch in indices of the picture as drawn, from the top left one
    clockwise."""
    shape, cells = (
        np.array(explanation.view_shape[-2:], dtype=float),
        np.array(explanation.grid[-2:]),
    )
    size = shape / cells
    start = np.array(divmod(patch % int(cells.prod()), int(cells[1]))) * size
    if is_head(explanation):
        start = shape - start - size
    (top, left), (bottom, right) = start - 0.5 + inset, start + size - 0.5 - inset
    return np.array([[top, left], [top, right], [bottom, right], [bottom, left]])


def patch_location_text(explanation: Explanation, view: int, patch: int) -> str:
    """Where a patch lies, for people: side, depth and height (3D) in template mm ("L 30 · P 62"),
    or row and column."""
    place = np.array(np.unravel_index(patch, explanation.grid))
    if not is_head(explanation):
        return " ".join(
            f"{word} {n + 1}" for word, n in zip(("row", "column"), place, strict=True)
        ).replace(" c", ", c")
    center = (place + 0.5) * np.array(explanation.view_shape) / np.array(explanation.grid) - 0.5
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
