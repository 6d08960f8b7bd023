"""Whether a stack is whole and even: what is missing is refused, or said."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from expert.errors import InputError
from expert.imaging.dicom.geometry import UNEVEN, Geometry
from expert.imaging.dicom.headers import Frame, number
from expert.imaging.dicom.stacks import Stack

SHOWN = 4
"""Gaps that an error message names."""


def refuse_incomplete(stack: Stack, name: str, alone: bool = True) -> None:
    """Refuse slices that are no even stack, or of which more than one is missing.

    Parameters
    ----------
    stack : Stack
    name : str
        Of the input.
    alone : bool
        Whether it is the only image of its series: the numbers of its slices then have no others
        between them.

    Raises
    ------
    InputError
        Says which slices are missing.
    """
    geometry = stack.geometry
    if geometry.collisions:
        raise InputError(
            f"{name} contains different images of the same slices, and nothing in their headers "
            f"distinguishes them ({geometry.collisions} of {len(stack.frames)} files)."
        )
    if geometry.problem:
        raise InputError(f"The slices of {name} {geometry.problem}: this is not a single volume.")
    leap, ratio = number_step(stack.frames, geometry), sparseness(stack.frames, geometry)
    if alone and leap > 1 and not geometry.missing and abs(ratio - leap) < UNEVEN * leap:
        total = leap * (len(stack.frames) - 1) + 1
        raise InputError(
            f"{total - len(stack.frames)} of {total} slices of {name} are missing: only every "
            f"{_nth(leap)} one is there. Copy the whole series."
        )
    if len(geometry.missing) > 1:
        raise InputError(
            f"{len(geometry.missing)} of {geometry.count} slices of {name} are missing: "
            f"{_gaps(stack)}. Copy the whole series."
        )


def signs_of_missing(stack: Stack) -> list[str]:
    """Signs in the headers that slices are missing where there is no gap.

    Parameters
    ----------
    stack : Stack
        The only one of its series.

    Returns
    -------
    list of str
        Sentences.
    """
    frames, geometry = stack.frames, stack.geometry
    leap, ratio = number_step(frames, geometry), sparseness(frames, geometry)
    header, said = stack.first.file.header, []
    if ratio > 1.5 and abs(ratio - round(ratio)) < UNEVEN and not geometry.missing:
        said.append(
            f"The slices are {ratio:.0f} times as far apart as they are thick: slices may be "
            "missing."
        )
    elif leap > 1:
        said.append(f"Only every {_nth(leap)} number is there: slices may be missing.")
    first = min((frame.number for frame in frames if frame.number is not None), default=1)
    if leap == 1 and first > 1 and header.get("NumberOfFrames") is None:
        said.append(f"The first slice has the number {first}: slices before it may be missing.")
    stated = number(header, "ImagesInAcquisition")
    if stated is not None and stated > geometry.count:
        said.append(
            f"The header states {stated:.0f} slices, but there are {len(frames)}: some may be "
            "missing."
        )
    return said


def slice_number(stack: Stack, place: int) -> int:
    """The number of a slice in its series, or its place from 1 where these do not follow it.

    Parameters
    ----------
    stack : Stack
    place : int
        In the complete stack, from 0.

    Returns
    -------
    int
    """
    found = [stack.frames[n].number for n in stack.geometry.order]
    numbers = [one for one in found if one is not None]
    if len(numbers) == len(found):
        for sign in (1, -1):
            if np.array_equal(numbers[0] + sign * np.array(stack.geometry.places), numbers):
                return numbers[0] + sign * place
    return place + 1


def number_step(frames: Sequence[Frame], geometry: Geometry) -> int:
    """The difference of the numbers of neighbouring slices; 0 if it is not the same everywhere."""
    numbers = [frames[n].number for n in geometry.order]
    found = {abs(b - a) if a is not None and b is not None else 0 for a, b in pairwise(numbers)}
    return found.pop() if len(found) == 1 else 0


def sparseness(frames: Sequence[Frame], geometry: Geometry) -> float:
    """The distance of neighbouring slices in multiples of the stated one; 1 if none is stated."""
    first = frames[geometry.order[0]]
    stated = first.between or first.thickness
    if not stated or stated <= 0 or not geometry.step_known:
        return 1.0
    return float(np.linalg.norm(geometry.affine[:3, 2])) / stated


def _gaps(stack: Stack) -> str:
    """Which slices are missing, and where they are."""
    geometry = stack.geometry
    runs: list[list[int]] = []
    for place in geometry.missing:
        if runs and place == runs[-1][-1] + 1:
            runs[-1].append(place)
        else:
            runs.append([place])
    positions = dict(zip(geometry.places, geometry.positions_mm, strict=True))
    texts = []
    for run in runs[:SHOWN]:
        ends = sorted({slice_number(stack, run[0]), slice_number(stack, run[-1])})
        low, high = positions[run[0] - 1], positions[run[-1] + 1]
        texts.append(f"{' to '.join(map(str, ends))} (between {low:.1f} and {high:.1f} mm)")
    more = f" and {len(runs) - SHOWN} more gaps" if len(runs) > SHOWN else ""
    return ", ".join(texts) + more


def _nth(count: int) -> str:
    return {2: "second", 3: "third"}.get(count, f"{count}th")
