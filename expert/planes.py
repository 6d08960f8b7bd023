"""Planes through a view: which part of it is drawn at once, and how it is turned.

A *plane* is a 2D view, or one slice of a 3D view along any of its axes. Heads are drawn in the
radiological convention: anterior or superior up, the patient's right on the left; sagittal slices
with the front on the left. Plain images are drawn as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from expert.explanation import Explanation, View

ORIENTATIONS = ("axial", "coronal", "sagittal")
"""Slices along the axes S, A and R of a 3D view."""
WORLD = (2, 1, 0)
"""Coordinate (of R, A, S) along each axis of a 3D view of a head."""
START_MM = (14.0, -18.0, 0.0)
"""Where the slices shown first are (S, A, R): the level of the lateral ventricles, the midline."""


@dataclass(frozen=True)
class Plane:
    """The part of an explanation that is drawn at once."""

    view: int
    """0-based among the explanation's views."""
    slice: int | None
    """Index along `axis` of a 3D view; None for a 2D view."""
    position_mm: float | None
    """Template coordinate along the axis: of an axial plane, the height above the anterior
    commissure; None for a plain image."""
    name: str
    axis: int = 0
    """Axis of a 3D view that is perpendicular to the plane, see `ORIENTATIONS`."""


# --- which planes there are -----------------------------------------------------------------------
def planes(explanation: Explanation, axis: int = 0) -> tuple[Plane, ...]:
    """All planes of an explanation: its 2D views, or the slices of a 3D view that are not empty.

    Parameters
    ----------
    explanation : Explanation
    axis : {0, 1, 2}
        Of a 3D view, that the slices are perpendicular to; see `ORIENTATIONS`.

    Returns
    -------
    tuple[Plane, ...]
    """
    out = []
    for number, view in enumerate(explanation.views):
        if view.image.ndim == 2:
            out.append(Plane(number, None, view.position_mm, view.name))
            continue
        others = tuple(other for other in range(3) if other != axis)
        for index in np.flatnonzero(view.image.any(axis=others)):
            out.append(plane_at(explanation, number, int(index), axis))
    return tuple(out)


def plane_at(explanation: Explanation, view: int, index: int, axis: int = 0) -> Plane:
    """The slice of a 3D view with an index along an axis."""
    place = np.zeros(4)
    place[axis], place[3] = index, 1
    at = float((explanation.views[view].affine @ place)[WORLD[axis]])
    side = f" ({'mid' if abs(at) < 0.5 else 'R' if at > 0 else 'L'})" if axis == 2 else ""
    return Plane(view, index, at, f"{'zyx'[axis]} = {at:+.0f} mm{side}", axis)


def middle_plane(explanation: Explanation, axis: int = 0) -> int:
    """Index into `planes` of the plane that is shown first.

    In a volume, the slice nearest to `START_MM`; else the middle one.
    """
    shown = planes(explanation, axis)
    if len(explanation.grid) == 2:
        return len(shown) // 2
    places = np.array([plane.position_mm for plane in shown], dtype=float)
    return int(np.abs(places - START_MM[axis]).argmin())


def is_head(explanation: Explanation) -> bool:
    """Whether the views are in template space, as those of heads are."""
    return explanation.registration is not None


# --- what lies in a plane -------------------------------------------------------------------------
def drawn_axes(plane: Plane) -> tuple[int, int]:
    """Axes of the view that are drawn downwards and to the right."""
    if plane.slice is None:
        return (0, 1)
    first, second = (axis for axis in range(3) if axis != plane.axis)
    return first, second


def plane_shape(explanation: Explanation, plane: Plane) -> tuple[int, int]:
    """Rows and columns of a plane."""
    first, second = drawn_axes(plane)
    return explanation.view_shape[first], explanation.view_shape[second]


def plane_image(image: np.ndarray, plane: Plane) -> np.ndarray:
    """The part of an image that lies in a plane.

    Parameters
    ----------
    image : (*shape) or (V, *shape) ndarray
        Of a view or prototype, or of a prototype that shows every view.
    plane : Plane

    Returns
    -------
    (rows, columns) ndarray
    """
    if plane.slice is not None:
        return np.asarray(image.take(plane.slice, axis=plane.axis))
    return image if image.ndim == 2 else np.asarray(image[plane.view])


def patches_in_plane(explanation: Explanation, plane: Plane) -> np.ndarray:
    """Indices of the patches in a plane.

    Parameters
    ----------
    explanation : Explanation
    plane : Plane
        Without a slice of a 3D view, all patches.

    Returns
    -------
    (rows, columns) ndarray
        In C order of the grid.
    """
    grid = explanation.grid
    numbers = np.arange(int(np.prod(grid))).reshape(grid)
    if plane.slice is None:
        return numbers
    cell = plane.slice * grid[plane.axis] // explanation.view_shape[plane.axis]
    return np.asarray(numbers.take(cell, axis=plane.axis))


# --- drawing --------------------------------------------------------------------------------------
def display(image: np.ndarray, head: bool) -> np.ndarray:
    """A plane as it is drawn: heads are turned, axial ones from axes (A, R) to (P, L)."""
    return image[::-1, ::-1] if head else image


def edge_letters(head: bool, axis: int = 0) -> dict[str, str]:
    """Letters at the edges of a plane as it is drawn, by side; none for plain images.

    Parameters
    ----------
    head : bool
    axis : {0, 1, 2}
        That the plane is perpendicular to; see `ORIENTATIONS`.

    Returns
    -------
    dict[str, str]
    """
    if not head:
        return {}
    rows, columns = ("SI" if axis else "AP"), ("AP" if axis == 2 else "RL")
    return {"left": columns[0], "right": columns[1], "top": rows[0], "bottom": rows[1]}


def voxel_at(explanation: Explanation, plane: Plane, index: tuple[float, float]) -> np.ndarray:
    """The position in the view of a position of the plane as it is drawn (see `display`).

    Parameters
    ----------
    explanation : Explanation
    plane : Plane
    index : (float, float)
        Row and column.

    Returns
    -------
    (2,) or (3,) ndarray
        Along each axis of the view, in pixels; pixel 0 has its centre at 0.
    """
    place = np.asarray(index, dtype=float)
    if is_head(explanation):
        place = np.array(plane_shape(explanation, plane)) - 1 - place
    return place if plane.slice is None else np.insert(place, plane.axis, plane.slice)


def drawn_at(explanation: Explanation, plane: Plane, voxel: np.ndarray) -> np.ndarray:
    """(2,) row and column, in the plane as it is drawn, of a position in the view.

    The inverse of `voxel_at`; the position's distance from the plane does not matter.
    """
    place = np.asarray(voxel, dtype=float)[list(drawn_axes(plane))]
    if is_head(explanation):
        place = np.array(plane_shape(explanation, plane)) - 1 - place
    return np.asarray(place)


def patch_of(explanation: Explanation, voxel: np.ndarray) -> int | None:
    """The patch at a position in a view, in pixels along each axis; None outside the view."""
    shape, place = np.array(explanation.view_shape), np.rint(np.asarray(voxel)).astype(int)
    if (place < 0).any() or (place >= shape).any():
        return None
    return int(np.ravel_multi_index(place * explanation.grid // shape, explanation.grid))


def patch_at(explanation: Explanation, plane: Plane, index: tuple[float, float]) -> int | None:
    """The patch at a position of the image as it is drawn (see `display`).

    Parameters
    ----------
    explanation : Explanation
    plane : Plane
    index : (float, float)
        Row and column.

    Returns
    -------
    int, optional
        None outside the image.
    """
    return patch_of(explanation, voxel_at(explanation, plane, index))


def box(explanation: Explanation, patch: int, inset: float = 0.0, axis: int = 0) -> np.ndarray:
    """The corners of a patch in the image as it is drawn (see `display`).

    Parameters
    ----------
    explanation : Explanation
    patch : int
    inset : float
        Distance of the corners from the edges of the patch, pixels.
    axis : {0, 1, 2}
        That the plane is perpendicular to, of a 3D view.

    Returns
    -------
    (4, 2) ndarray
        Rows and columns, clockwise from the top left corner.
    """
    grid, every = explanation.grid, range(len(explanation.grid))
    drawn = list(every) if len(grid) == 2 else [other for other in every if other != axis]
    shape = np.array(explanation.view_shape, dtype=float)[drawn]
    size = shape / np.array(grid)[drawn]
    start = np.array(np.unravel_index(patch, grid))[drawn] * size
    if is_head(explanation):
        start = shape - start - size
    (top, left), (bottom, right) = start - 0.5 + inset, start + size - 0.5 - inset
    return np.array([[top, left], [top, right], [bottom, right], [bottom, left]])


def patch_center(explanation: Explanation, patch: int) -> np.ndarray:
    """(2,) or (3,) middle of a patch along each axis of the view, in pixels."""
    size = np.array(explanation.view_shape) / np.array(explanation.grid)
    return np.asarray((np.array(np.unravel_index(patch, explanation.grid)) + 0.5) * size - 0.5)


def matched_place(
    explanation: Explanation, shares: np.ndarray, within: np.ndarray | float = 0.0
) -> np.ndarray:
    """Where a place of a patch is in a matched image.

    It is the mean place of the mass in the strongest partner and its neighbours, but not outside
    the box of the strongest partner, so that the slice shown cuts this box.

    Parameters
    ----------
    explanation : Explanation
    shares : (M,) ndarray
        Mass in each patch; more than 0 in all.
    within : (2,) or (3,) ndarray or float
        The place relative to the middle of its patch, in pixels.

    Returns
    -------
    (2,) or (3,) ndarray
        Along each axis of the view, in pixels.
    """
    grid, best = explanation.grid, int(shares.argmax())
    places = np.stack(np.unravel_index(np.arange(shares.size), grid), -1)
    near = np.flatnonzero(np.abs(places - places[best]).max(1) <= 1)
    centers = [patch_center(explanation, int(n)) for n in near]
    first, stop = np.array(explanation.patch_box(best)).T
    return np.clip(np.average(centers, axis=0, weights=shares[near]) + within, first, stop - 1)


def placement(view: View, head: bool, plane: Plane) -> tuple[np.ndarray, np.ndarray]:
    """Pixel size and position of the first pixel of a plane as it is drawn.

    Parameters
    ----------
    view : View
    head : bool
        Whether it is in template space.
    plane : Plane

    Returns
    -------
    scale, translate : (2,) ndarray
        Downwards and to the right: mm to the back (or down) and to the left (or back) in a head,
        those of the image else.
    """
    a = view.affine
    if not head:
        scale = np.linalg.norm(a[:2, :2], axis=0)
        turned = bool(a[0, 1] or a[1, 0])  # a fetal head in its frame starts at 0
        return scale, np.zeros(2) if turned else np.array([a[0, 3], a[1, 3]])
    axes = drawn_axes(plane)
    world = WORLD[1:] if plane.slice is None else tuple(WORLD[axis] for axis in axes)
    scale = np.array([a[row, axis] for row, axis in zip(world, axes, strict=True)])
    first = np.array([a[row, 3] for row in world])
    last = np.array([view.image.shape[axis] for axis in axes]) - 1
    return scale, -(first + scale * last)
