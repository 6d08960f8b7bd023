"""Panes: planes at their places on a tile, one alone or three beside each other.

Positions on a tile are in pixels of the image as it is drawn: rows downwards, columns to the right.
A pane may show a window of its plane only (the magnifier), and the other side of the patient on the
left (the neurological convention).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from expert.explanation import Explanation
from expert.planes import (
    Plane,
    box,
    display,
    drawn_at,
    drawn_axes,
    is_head,
    patch_of,
    patches_in_plane,
    plane_image,
    plane_shape,
    voxel_at,
)

GAP = 0.08
"""Between two panes of a tile, as a fraction of the tallest."""
WINDOW = 3
"""Patches that the magnifier shows along each axis: one and its neighbours."""


@dataclass(frozen=True)
class Pane:
    """One plane of an explanation on a tile."""

    explanation: Explanation
    plane: Plane
    shape: tuple[int, int]
    """Rows and columns shown."""
    start: tuple[int, int] = (0, 0)
    """First row and column of the plane (as it is drawn) that are shown."""
    place: tuple[int, int] = (0, 0)
    """Row and column of the tile where the pane begins."""
    mirrored: bool = False

    @property
    def geometry(self) -> tuple[object, ...]:
        """What the places of the patches on the tile depend on."""
        return self.shape, self.start, self.place, self.mirrored, self.plane.axis

    def to_tile(self, points: np.ndarray) -> np.ndarray:
        """(..., 2) rows and columns of the plane as it is drawn, to those of the tile."""
        out = np.asarray(points, dtype=float) - self.start
        if self.mirrored:
            out[..., 1] = self.shape[1] - 1 - out[..., 1]
        return np.asarray(out + self.place)

    def from_tile(self, point: np.ndarray) -> np.ndarray:
        """(2,) the inverse of `to_tile`."""
        out = np.asarray(point, dtype=float) - self.place
        if self.mirrored:
            out[1] = self.shape[1] - 1 - out[1]
        return np.asarray(out + self.start)

    def holds(self, point: np.ndarray) -> bool:
        """Whether a point of the tile lies in the pane."""
        inside = np.asarray(point, dtype=float) - self.place + 0.5
        return bool((inside >= 0).all() and (inside < self.shape).all())

    def voxel(self, point: np.ndarray) -> np.ndarray:
        """Position in the view of a point of the tile."""
        row, column = self.from_tile(point)
        return voxel_at(self.explanation, self.plane, (float(row), float(column)))

    def patch(self, point: np.ndarray) -> int | None:
        """The patch at a point of the tile; None outside the view."""
        return patch_of(self.explanation, self.voxel(point))

    def point(self, voxel: np.ndarray) -> np.ndarray:
        """(2,) point of the tile of a position in the view."""
        return self.to_tile(drawn_at(self.explanation, self.plane, voxel))

    def corners(self, patch: int, inset: float = 0.0) -> np.ndarray | None:
        """(4, 2) corners of a patch on the tile, clockwise from the upper left, or None.

        What lies outside the pane is cut off; None is left if that is all.
        """
        found = self.to_tile(box(self.explanation, patch, inset, self.plane.axis))
        low = np.array(self.place) - 0.5
        top, left = np.clip(found.min(axis=0), low, None)
        bottom, right = np.clip(found.max(axis=0), None, low + self.shape)
        if bottom - top < 1e-6 or right - left < 1e-6:
            return None
        return np.array([[top, left], [top, right], [bottom, right], [bottom, left]])

    @property
    def patches(self) -> list[int]:
        """Patches that the plane cuts."""
        return [int(patch) for patch in patches_in_plane(self.explanation, self.plane).ravel()]

    def pixels(self, image: np.ndarray | None) -> np.ndarray:
        """(rows, columns) of the image of a view or prototype; black where there is none."""
        if image is None:
            return np.zeros(self.shape, np.uint8)
        (top, left), (rows, columns) = self.start, self.shape
        turned = display(plane_image(image, self.plane), is_head(self.explanation))
        part = turned[top : top + rows, left : left + columns]
        return part[:, ::-1] if self.mirrored else part


def make_panes(
    explanation: Explanation,
    planes: Iterable[Plane],
    neurological: bool = False,
    middle: np.ndarray | None = None,
) -> tuple[Pane, ...]:
    """Put planes beside each other on a tile.

    Parameters
    ----------
    explanation : Explanation
        That the planes belong to.
    planes : iterable of Plane
        From left to right.
    neurological : bool
        Whether the patient's left is on the left, in axial and coronal planes of heads.
    middle : (2,) or (3,) numpy.ndarray, optional
        Position in the view that the panes are magnified around; None shows whole planes.

    Returns
    -------
    tuple of Pane
    """
    head, every, left = is_head(explanation), list(planes), 0
    sizes = [_window(explanation, plane, middle) for plane in every]
    tallest = max(shape[0] for _, shape in sizes)
    out = []
    for plane, (start, shape) in zip(every, sizes, strict=True):
        place = ((tallest - shape[0]) // 2, left)
        mirrored = neurological and head and plane.axis != 2
        out.append(Pane(explanation, plane, shape, start, place, mirrored))
        left += shape[1] + round(GAP * tallest)
    return tuple(out)


def _window(
    explanation: Explanation, plane: Plane, middle: np.ndarray | None
) -> tuple[tuple[int, int], tuple[int, int]]:
    """First row and column of a plane, and how many of each, that are shown."""
    full = plane_shape(explanation, plane)
    if middle is None:
        return (0, 0), full
    out = []
    for at, n, axis in zip(
        drawn_at(explanation, plane, middle), full, drawn_axes(plane), strict=True
    ):
        size = n / explanation.grid[axis]
        shown = min(round(WINDOW * size), n)
        first = round((float(at) + 0.5) // size * size - (WINDOW - 1) / 2 * size)
        out.append((int(np.clip(first, 0, n - shown)), shown))
    (top, rows), (left, columns) = out
    return (top, left), (rows, columns)


def tile_shape(panes: tuple[Pane, ...]) -> tuple[int, int]:
    """Rows and columns of the tile that holds the panes."""
    ends = np.array([np.array(pane.place) + pane.shape for pane in panes]).max(axis=0)
    return int(ends[0]), int(ends[1])


def pane_at(panes: tuple[Pane, ...], point: np.ndarray) -> Pane | None:
    """The pane at a point of the tile."""
    return next((pane for pane in panes if pane.holds(point)), None)
