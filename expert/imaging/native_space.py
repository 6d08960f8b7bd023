"""Native space: the patches of an `Explanation` on the voxels of the subject's own image.

Nothing is resampled. The centre of every voxel is transformed to the views with the affine of the
volume and the inverse of the registration, in double precision, and gets the patch that contains
it. The edges of the result are therefore at most half a voxel from the true edges of the patches,
along each axis of the array.

Heads are usually explained in several planes. A voxel belongs to the nearest plane, unless that is
farther away than `FARTHEST`. The first and the last plane extend outwards by half the distance to
their neighbour, a single plane by half of its pixel size. If all this is thinner than a slice of
the volume, it is extended to the thickness of one slice, so that it meets at least one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from expert.errors import InputError
from expert.patches import foreground

if TYPE_CHECKING:
    from expert.explanation import Explanation
    from expert.imaging.volume import Volume

SLAB = 2**19
"""Voxels that are processed at once, with about 30 MB of memory besides the result."""
FARTHEST = 3.0
"""Largest distance of a voxel from its plane, template mm."""
NOWHERE = -1
"""View or patch of a voxel outside all of them."""


@dataclass(frozen=True, eq=False)
class _Frame:
    """The geometry of one view, relative to the voxels of the volume."""

    to_view: np.ndarray
    """(4, 4) voxel index, padded with 0 and 1, to the index of the view."""
    shape: tuple[int, ...]
    """Pixels of the view."""
    grid: tuple[int, ...]
    """Patches per axis."""
    reach: tuple[float, float]
    """Extent perpendicular to a plane, mm from the plane; infinite for volumes and plain images."""


def patch_map(explanation: Explanation, volume: Volume, *, beyond_mm: float = 0.0) -> np.ndarray:
    """The number of the patch that contains the centre of each voxel.

    Parameters
    ----------
    explanation : Explanation
        From `expert.explain`.
    volume : Volume
        The one that was explained; only its shape and affine are used.
    beyond_mm : float
        How far to extend beyond the first and the last plane, template mm. The model has no
        information from there.

    Returns
    -------
    int16 ndarray
        Of the volume's shape (int32 for more than 32,767 patches). 1-based, in C order of the grid;
        0 outside the views and in background patches (`expert.patches.foreground`).

    Raises
    ------
    InputError
        The volume has other axes than the explained image, or the registration cannot be
        inverted.
    """
    count = len(explanation.views[0].mass)
    out = np.zeros(volume.shape, dtype=np.int16 if count <= np.iinfo(np.int16).max else np.int32)
    shown = _foregrounds(explanation)
    for where, view, patch in _slabs(_frames(explanation, volume, beyond_mm), volume):
        out[where] = np.where(shown[view, patch], patch + 1, 0)
    return out


def spread_over(
    explanation: Explanation, volume: Volume, values: np.ndarray, *, seen: bool = False
) -> np.ndarray:
    """Values of the patches on the voxels of the volume.

    Parameters
    ----------
    explanation : Explanation
        From `expert.explain`.
    volume : Volume
        The one that was explained.
    values : (V, M) ndarray
        One value per view and patch.
    seen : bool
        Whether to leave out voxels that are black in the view, such as those outside the brain.
        This edge is exact to half a voxel plus half a pixel of the view.

    Returns
    -------
    float32 ndarray
        Of the volume's shape; NaN outside the views and in background patches.

    Raises
    ------
    InputError
        As in `patch_map`.
    """
    table = np.where(
        _foregrounds(explanation), _padded(np.asarray(values, dtype=float), np.nan), np.nan
    ).astype(np.float32)
    masks = [_content(view.image) for view in explanation.views] if seen else None
    frames = _frames(explanation, volume)
    out = np.full(volume.shape, np.nan, dtype=np.float32)
    for where, view, patch in _slabs(frames, volume):
        painted = table[view, patch]
        if masks is not None:
            for number in np.unique(view[view != NOWHERE]):
                own = np.nonzero(view == number)
                at = _index(frames[number], where, own)
                painted[tuple(axis[~masks[number][at]] for axis in own)] = np.nan
        out[where] = painted
    return out


def smooth_over(
    explanation: Explanation, volume: Volume, values: np.ndarray, *, seen: bool = False
) -> np.ndarray:
    """Values of the patches on the voxels of the volume, linear between the patches' centres.

    For looking at: the value at a patch's centre is the patch's, background patches count as 0. The
    values of the patches themselves, each up to its edge, are those of `spread_over`.

    Parameters
    ----------
    explanation : Explanation
        From `expert.explain`.
    volume : Volume
        The one that was explained.
    values : (V, M) ndarray
        One value per view and patch.
    seen : bool
        Whether to leave out voxels that are black in the view, as in `spread_over`.

    Returns
    -------
    float32 ndarray
        Of the volume's shape; NaN outside the views.

    Raises
    ------
    InputError
        As in `patch_map`.
    """
    from scipy import ndimage

    shown = _foregrounds(explanation)[:-1, :-1]
    tables = np.where(shown, np.asarray(values, dtype=np.float32), 0)
    masks = [_content(view.image) for view in explanation.views] if seen else None
    frames = _frames(explanation, volume)
    out = np.full(volume.shape, np.nan, dtype=np.float32)
    for where, view, _ in _slabs(frames, volume):
        part = out[where]
        for number in np.unique(view[view != NOWHERE]):
            frame, own = frames[number], np.nonzero(view == number)
            if masks is not None:
                inside = masks[number][_index(frame, where, own)]
                own = tuple(axis[inside] for axis in own)
            places = [
                (np.broadcast_to(place, view.shape)[own] + 0.5) * cells / size - 0.5
                for place, size, cells in zip(
                    _coordinates(frame, where), frame.shape, frame.grid, strict=False
                )
            ]
            table = tables[number].reshape(frame.grid)
            part[own] = ndimage.map_coordinates(table, places, order=1, mode="nearest")
    return out


# --- geometry -------------------------------------------------------------------------------------
def _frames(explanation: Explanation, volume: Volume, beyond_mm: float = 0.0) -> list[_Frame]:
    head = explanation.registration is not None
    if volume.ndim != (3 if head else explanation.views[0].image.ndim):
        raise InputError(
            f"This image has {volume.ndim} axes and is not the explained one: choose the explained "
            "image."
        )
    # Plain images have no template: their world is mm of the image.
    across = (
        np.eye(4)
        if explanation.registration is None
        else explanation.registration.template_to_subject
    )
    try:
        to_template = np.linalg.solve(across, volume.affine)
        matrices = [np.linalg.solve(view.affine, to_template) for view in explanation.views]
    except np.linalg.LinAlgError as error:
        raise InputError(
            "The registration in the explanation is damaged (it cannot be inverted): explain "
            "the image again."
        ) from error
    reaches = _reaches(explanation, float(np.abs(to_template[2, :3]).max()), beyond_mm)
    return [
        _Frame(matrix, tuple(view.image.shape), explanation.grid, reach)
        for matrix, view, reach in zip(matrices, explanation.views, reaches, strict=True)
    ]


def _reaches(explanation: Explanation, step: float, beyond_mm: float) -> list[tuple[float, float]]:
    """Extent of each view perpendicular to it, mm.

    `step` is the thickness of the volume's slices in that direction.
    """
    heights = np.array(
        [np.nan if view.position_mm is None else view.position_mm for view in explanation.views]
    )
    if not np.isfinite(heights).all():
        return [(-np.inf, np.inf)] * len(heights)
    order = np.argsort(heights, kind="stable")
    sorted_ = heights[order]
    middles = (sorted_[1:] + sorted_[:-1]) / 2
    pixel = float(np.linalg.norm(explanation.views[0].affine[:3, 0]))
    first, last = np.diff(sorted_)[[0, -1]] if len(heights) > 1 else (pixel, pixel)
    edges = np.array([sorted_[0] - first / 2, *middles, sorted_[-1] + last / 2])
    more = max(0.0, step - (edges[-1] - edges[0])) / 2 + beyond_mm
    edges[[0, -1]] += [-more, more]
    out = [(0.0, 0.0)] * len(heights)
    far = max(FARTHEST, step / 2) + beyond_mm
    for place, view in enumerate(order):
        below, above = edges[place] - heights[view], edges[place + 1] - heights[view]
        out[view] = (float(max(below, -far)), float(min(above, far)))
    return out


def _slabs(
    frames: list[_Frame], volume: Volume
) -> Iterator[tuple[tuple[slice, ...], np.ndarray, np.ndarray]]:
    """Parts of the volume that may contain patches.

    With the view and patch of each voxel, -1 for none.
    """
    box = _bounds(frames, volume.shape)
    size = int(np.prod([part.stop - part.start for part in box[1:]]))
    if size == 0:
        return
    thick = max(1, SLAB // size)
    for start in range(box[0].start, box[0].stop, thick):
        where = (slice(start, min(start + thick, box[0].stop)), *box[1:])
        view, patch = _assign(frames, where)
        yield where, view, patch


def _bounds(frames: list[_Frame], shape: tuple[int, ...]) -> tuple[slice, ...]:
    """Bounding box of all views in the volume."""
    corners = []
    for frame in frames:
        low, high = np.zeros(3), np.zeros(3)
        low[2], high[2] = (
            frame.reach if len(frame.shape) == 2 and np.isfinite(frame.reach).all() else (0.0, 0.0)
        )
        low[: len(frame.shape)], high[: len(frame.shape)] = -0.5, np.array(frame.shape) - 0.5
        box = np.array(np.meshgrid(*zip(low, high, strict=True), indexing="ij")).reshape(3, 8)
        back = np.linalg.inv(frame.to_view)
        corners.append(back[:3, :3] @ box + back[:3, 3:])
    every = np.concatenate(corners, axis=1)[: len(shape)]
    first = np.clip(np.floor(every.min(axis=1)), 0, shape).astype(int)
    last = np.clip(np.ceil(every.max(axis=1)) + 1, 0, shape).astype(int)
    return tuple(slice(int(a), max(int(a), int(b))) for a, b in zip(first, last, strict=True))


def _coordinates(frame: _Frame, where: tuple[slice, ...]) -> Iterator[np.ndarray]:
    """Index of the view along each of three axes, at the centre of every voxel of a part."""
    axes = np.ogrid[where]
    for row in frame.to_view[:3]:
        yield row[3] + sum(step * axis for step, axis in zip(row, axes, strict=False))


def _assign(frames: list[_Frame], where: tuple[slice, ...]) -> tuple[np.ndarray, np.ndarray]:
    """View and patch of every voxel of a part, -1 for none."""
    shape = tuple(part.stop - part.start for part in where)
    view, patch = np.full(shape, NOWHERE, dtype=np.int16), np.full(shape, NOWHERE, dtype=np.int32)
    for number, frame in enumerate(frames):
        inside, cell = np.ones(shape, dtype=bool), np.zeros(shape, dtype=np.int32)
        for axis, place in enumerate(_coordinates(frame, where)):
            if axis < len(frame.shape):
                # The first patch begins at -0.5, the edge of pixel 0.
                step = np.floor((place + 0.5) * (frame.grid[axis] / frame.shape[axis])).astype(
                    np.int32
                )
                inside &= (step >= 0) & (step < frame.grid[axis])
                cell = cell * frame.grid[axis] + step
            else:
                inside &= (place >= frame.reach[0]) & (place < frame.reach[1])
        view[inside], patch[inside] = number, cell[inside]
    return view, patch


def _index(
    frame: _Frame, where: tuple[slice, ...], own: tuple[np.ndarray, ...]
) -> tuple[np.ndarray, ...]:
    """The pixel of the view at each of the given voxels of a part."""
    out = []
    for axis, place in enumerate(_coordinates(frame, where)):
        if axis < len(frame.shape):
            shape = tuple(part.stop - part.start for part in where)
            nearest = np.rint(np.broadcast_to(place, shape)[own]).astype(int)
            out.append(np.clip(nearest, 0, frame.shape[axis] - 1))
    return tuple(out)


def _foregrounds(explanation: Explanation) -> np.ndarray:
    """(V + 1, M + 1) bool; False in the last row and column, for index -1."""
    return _padded(
        np.array([foreground(explanation, n) for n in range(len(explanation.views))]), False
    )


def _padded(values: np.ndarray, end: float) -> np.ndarray:
    """The table with one more row and column, for index -1."""
    return np.pad(values, ((0, 1), (0, 1)), constant_values=end)


def _content(image: np.ndarray) -> np.ndarray:
    """Pixels of a view that are not empty, with holes filled."""
    from scipy import ndimage

    return np.asarray(ndimage.binary_fill_holes(image > 0))
