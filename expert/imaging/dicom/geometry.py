"""The place of slices: their order, their distance, what is missing, and the affine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from expert.imaging.dicom.headers import Frame
from expert.imaging.formats.stored import LPS_TO_RAS

SAME_MM = 0.01
"""Slices that are this near to each other have the same position."""
UNEVEN = 0.1
"""Largest deviation from an even spacing, as a part of it."""
STRAIGHT_MM = 0.5
"""Largest distance of a slice's corner from the line through all corners."""
MOST_STEPS = 10
"""Gaps are counted in slices up to this many times the number of slices; beyond it, the spacing is
uneven."""


@dataclass(frozen=True, eq=False)
class Geometry:
    """How the slices of a stack lie."""

    order: tuple[int, ...]
    """Numbers of the frames from one end to the other."""
    places: tuple[int, ...]
    """Place of each of these among the slices of the complete stack, from 0."""
    affine: np.ndarray
    """(4, 4) column, row and slice to RAS mm."""
    oriented: bool
    """Whether the place in the patient is known."""
    step_known: bool
    """Whether the distance between slices is known."""
    collisions: int = 0
    """Number of slices at the position of another one."""
    problem: str = ""
    """Why the slices are not an even stack, to follow a subject in the plural."""
    positions_mm: tuple[float, ...] = ()
    """Along the direction across the slices, in the same order as `order`."""

    @property
    def count(self) -> int:
        """Slices of the complete stack."""
        return self.places[-1] + 1 if self.places else 0

    @property
    def tilt(self) -> float:
        """Angle between the direction across the slices and the way from one to the next, °."""
        across = np.cross(self.affine[:3, 0], self.affine[:3, 1])
        step = self.affine[:3, 2]
        length = float(np.linalg.norm(across) * np.linalg.norm(step))
        return float(np.degrees(np.arccos(min(1.0, abs(float(across @ step)) / length))))

    @property
    def missing(self) -> tuple[int, ...]:
        """Places without a slice."""
        return tuple(sorted({*range(self.count)} - {*self.places}))


def arrange(frames: Sequence[Frame]) -> Geometry:
    """Find order, spacing and affine of slices with the same size and orientation.

    Parameters
    ----------
    frames : sequence of Frame
        At least one.

    Returns
    -------
    Geometry
    """
    if len(frames) == 1 or any(f.position is None or f.orientation is None for f in frames):
        return _by_number(frames)
    positions = np.array([frame.position for frame in frames], dtype=float)
    along = positions @ frames[0].normal
    order = np.argsort(along, kind="stable")
    along, positions = along[order], positions[order]
    gaps = np.diff(along)
    collisions = int((gaps < SAME_MM).sum())
    numbers, counted = tuple(int(n) for n in order), tuple(range(len(order)))
    if collisions:
        return Geometry(numbers, counted, np.eye(4), True, False, collisions)
    places = _places(along)
    if places is None:
        problem = f"are unevenly spaced ({gaps.min():.2f} to {gaps.max():.2f} mm)"
        return Geometry(numbers, counted, np.eye(4), True, False, 0, problem)
    # The true step from slice to slice: with sheared positions it is not across the slices.
    design = np.column_stack([places, np.ones(len(places))])
    (step, origin), *_ = np.linalg.lstsq(design, positions, rcond=None)
    off = float(np.linalg.norm(design @ [step, origin] - positions, axis=1).max())
    problem = ""
    if off > max(STRAIGHT_MM, UNEVEN * float(np.linalg.norm(step))):
        problem = f"do not lie on a line: they are up to {off:.1f} mm beside it"
    ordered = [frames[n] for n in order]
    return Geometry(
        numbers,
        tuple(int(place) for place in places),
        LPS_TO_RAS @ _matrix(ordered[0], step, origin),
        True,
        True,
        0,
        problem,
        tuple(float(value) for value in along),
    )


def _places(along: np.ndarray) -> np.ndarray | None:
    """The place of each slice, as a multiple of the smallest gap; None if the gaps are uneven."""
    step = float(np.diff(along).min())
    for _ in range(3):  # the smallest gap is inaccurate: over many slices its error adds up
        steps = np.rint(np.diff(along) / step)
        if steps.min() < 1 or steps.sum() > MOST_STEPS * len(along):
            return None
        places = np.concatenate([[0], np.cumsum(steps)])
        step = float(np.polyfit(places, along, 1)[0])
    uneven = np.abs(np.diff(along) - step * steps).max() > UNEVEN * step + SAME_MM
    return None if uneven else places.astype(int)


def _matrix(frame: Frame, step: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """(4, 4) column, row and slice to LPS mm."""
    assert frame.orientation is not None
    rows, columns = frame.spacing or (1.0, 1.0)
    matrix = np.eye(4)
    matrix[:3, 0] = frame.orientation[:3] * columns
    matrix[:3, 1] = frame.orientation[3:] * rows
    matrix[:3, 2], matrix[:3, 3] = step, origin
    return matrix.round(7) + 0.0  # without the noise of the fit


def _by_number(frames: Sequence[Frame]) -> Geometry:
    """Slices whose place is not stated, in the order of their numbers or locations."""
    known = [frame.location for frame in frames]
    located = None not in known and len({*known}) == len(known)
    keys = [
        (frame.location if located else (frame.number or 0), frame.file.name, frame.index)
        for frame in frames
    ]
    order = sorted(range(len(frames)), key=lambda n: keys[n])
    first = frames[order[0]]
    rows, columns = first.spacing or (1.0, 1.0)
    places = np.arange(len(order))
    step, known_step = first.between or 0.0, bool(first.between and first.between > 0)
    if located and len(frames) > 1:
        along = np.array([known[n] for n in order], dtype=float)
        found = _places(along)
        if found is not None:
            places, step, known_step = found, float(np.ptp(along) / found[-1]), True
    if first.orientation is not None and first.position is not None:  # a single slice
        step = first.between or first.thickness or 1.0
        matrix = _matrix(first, first.normal * step, first.position)
    else:
        matrix = np.diag([columns, rows, step if known_step else 1.0, 1.0])
    return Geometry(
        tuple(order),
        tuple(int(place) for place in places),
        LPS_TO_RAS @ matrix,
        False,
        known_step and first.spacing is not None,
    )
