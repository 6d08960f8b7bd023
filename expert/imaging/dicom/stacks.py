"""Divide the slices of a series into stacks that are one image each, and never mix them."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from expert.imaging.dicom.geometry import SAME_MM, Geometry, arrange
from expert.imaging.dicom.headers import Frame, film_length, image_type, number
from expert.imaging.dicom.pixels import stored_bytes

APART = ("image type", "echo", "b-value", "time point", "inversion time")
"""Traits whose values are always different images; the others are used where images of the same
place must be distinguished."""
FEW = 10
"""A stack with fewer slices is a scout or a sample."""
DIRECTION = 2e-3
"""Directions that differ by less are the same."""
PICTURE_MODALITIES = {"US", "SC", "OT", "XC", "ES", "GM", "SM", "DOC", "CR", "DX", "MG", "RF", "XA"}


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices that are one image."""

    frames: tuple[Frame, ...]
    geometry: Geometry = field(repr=False)
    copies: int = 0
    """Files that were there twice and left out."""
    traits: tuple[str, ...] = ()
    """What distinguishes it from the other stacks of its series: "echo 2"."""

    @property
    def first(self) -> Frame:
        """The frame at one end."""
        return self.frames[self.geometry.order[0]]

    @property
    def colour(self) -> bool:
        """Whether its pixels have colours."""
        header = self.first.file.header
        return (number(header, "SamplesPerPixel") or 1) > 1 or "PALETTE" in str(
            header.get("PhotometricInterpretation", "")
        )

    @property
    def derived(self) -> bool:
        """Whether it was computed from other images, or is a screen shot."""
        header = self.first.file.header
        kinds = image_type(header)
        captured = str(header.get("SOPClassUID", "")).startswith("1.2.840.10008.5.1.4.1.1.7")
        return kinds[:1] == ["DERIVED"] or kinds[1:2] == ["SECONDARY"] or captured

    @property
    def scout(self) -> bool:
        """Whether it is a localizer, or has few slices."""
        return "LOCALIZER" in image_type(self.first.file.header) or len(self.frames) < FEW

    @property
    def rank(self) -> int:
        """0 for a whole acquired volume; higher for what is less likely to be meant."""
        if self.colour or self.scout or film_length(self.first) > 1:
            return 3
        if self.geometry.collisions or self.geometry.problem:
            return 2
        return int(self.derived or not self.geometry.oriented)


def stacks_of(frames: Sequence[Frame]) -> list[Stack]:
    """Divide the slices of one series into images.

    Parameters
    ----------
    frames : sequence of Frame
        Of one series.

    Returns
    -------
    list of Stack
        In the order of the slices' numbers.
    """
    out: list[Stack] = []
    for group in _same_grid(frames):
        if group[0].position is None and _pictures(group):
            kept, copies = _without_copies_by_uid(group)
            out += [
                Stack((one,), arrange([one]), copies if not n else 0) for n, one in enumerate(kept)
            ]
            continue
        for part, traits in _split(group, APART, ()):
            kept, copies = _without_copies(part)
            out += [
                replace(stack, copies=copies if not n else 0)
                for n, stack in enumerate(_resolved(kept, traits))
            ]
    return sorted(out, key=lambda stack: (min(f.number or 0 for f in stack.frames), stack.traits))


def _same_grid(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Slices of the same size, pixel size and orientation."""
    groups: list[list[Frame]] = []
    for frame in frames:
        for group in groups:
            if _alike(group[0], frame):
                group.append(frame)
                break
        else:
            groups.append([frame])
    return groups


def _alike(one: Frame, other: Frame) -> bool:
    if one.shape != other.shape or _kind(one) != _kind(other):
        return False
    if film_length(one) > 1 or film_length(other) > 1:
        return False
    for a, b, tolerance in (
        (one.orientation, other.orientation, DIRECTION),
        (one.spacing, other.spacing, 1e-3),
    ):
        if (a is None) != (b is None):
            return False
        if a is not None and b is not None and not np.allclose(a, b, rtol=0, atol=tolerance):
            return False
    return (one.position is None) == (other.position is None)


def _kind(frame: Frame) -> tuple[Hashable, ...]:
    header = frame.file.header
    return (
        int(number(header, "SamplesPerPixel") or 1),
        str(header.get("PhotometricInterpretation", "")).startswith("MONOCHROME"),
        str(header.get("Modality", "")),
    )


def _pictures(group: Sequence[Frame]) -> bool:
    """Whether files without positions are single images rather than slices."""
    header = group[0].file.header
    return _kind(group[0])[2] in PICTURE_MODALITIES or (number(header, "SamplesPerPixel") or 1) > 1


def _split(
    frames: list[Frame], names: Sequence[str], traits: tuple[str, ...]
) -> list[tuple[list[Frame], tuple[str, ...]]]:
    """Parts with the same values of all named traits, and a few words about each."""
    if not names:
        return [(frames, traits)]
    parts: dict[Hashable, list[Frame]] = defaultdict(list)
    for frame in frames:
        parts[frame.traits.get(names[0])].append(frame)
    out = []
    for count, part in enumerate(parts.values(), 1):
        more = (f"{names[0]} {count} of {len(parts)}",) if len(parts) > 1 else ()
        out += _split(part, names[1:], (*traits, *more))
    return out


def _without_copies(frames: list[Frame]) -> tuple[list[Frame], int]:
    """Leave out slices that are there twice: the same position and the same pixels."""
    by_place: dict[Hashable, list[Frame]] = defaultdict(list)
    for frame in frames:
        place: Hashable = (frame.number, frame.file.text("SOPInstanceUID"), frame.index)
        if frame.position is not None:
            place = tuple(np.rint(frame.position / SAME_MM).astype(int).tolist())
        by_place[place].append(frame)
    kept: list[Frame] = []
    for same in by_place.values():
        unique = (
            {_digest(frame): frame for frame in same[::-1]} if len(same) > 1 else {b"": same[0]}
        )
        kept += [frame for frame in same if frame in unique.values()]
    return kept, len(frames) - len(kept)


def _without_copies_by_uid(frames: list[Frame]) -> tuple[list[Frame], int]:
    """Leave out images without a place that are there twice."""
    kept: dict[Hashable, Frame] = {}
    for frame in frames:
        uid = frame.file.text("SOPInstanceUID") or frame.file.name
        kept.setdefault((uid, _digest(frame)), frame)
    return list(kept.values()), len(frames) - len(kept)


def _digest(frame: Frame) -> bytes:
    return hashlib.sha256(stored_bytes(frame)).digest()


def _resolved(frames: list[Frame], traits: tuple[str, ...]) -> list[Stack]:
    """One stack, or several where slices share a position and a trait distinguishes them."""
    geometry = arrange(frames)
    stack = Stack(tuple(frames), geometry, traits=traits)
    if not geometry.collisions and not geometry.problem:
        return [stack]
    most = max(4, len(frames) // (len(frames) - geometry.collisions) + 1)
    for name in frames[0].traits:
        parts = _split(frames, [name], traits)
        if not 1 < len(parts) <= most:
            continue
        found = [one for part, more in parts for one in _resolved(part, more)]
        whole = geometry.collisions or min(len(one.frames) for one in found) > 2
        if whole and not any(one.geometry.collisions or one.geometry.problem for one in found):
            return found
    return _by_turns(stack) or [stack]


def _by_turns(stack: Stack) -> list[Stack]:
    """Repeated images that only their numbers distinguish; empty where these do not, either.

    The numbers of each image must follow those of the one before, or the images must take turns at
    every slice: nothing else is certain.
    """
    ordered = [stack.frames[n] for n in stack.geometry.order]
    repeats, rest = divmod(len(ordered), len(ordered) - stack.geometry.collisions)
    if rest or repeats < 2 or len(ordered) < 2 * repeats:
        return []
    images: list[list[Frame]] = [[] for _ in range(repeats)]
    for start in range(0, len(ordered), repeats):
        same_place = ordered[start : start + repeats]
        if any(frame.number is None for frame in same_place):
            return []
        for image, frame in zip(images, sorted(same_place, key=_number), strict=True):
            image.append(frame)
    numbers = [sorted(map(_number, image)) for image in images]
    follow = all(a[-1] < b[0] for a, b in pairwise(numbers))
    take_turns = all(
        {number % repeats for number in one} == {(numbers[0][0] + n) % repeats}
        for n, one in enumerate(numbers)
    )
    if not follow and not take_turns:
        return []
    out = [
        Stack(tuple(image), arrange(image), traits=(*stack.traits, f"image {n} of {repeats}"))
        for n, image in enumerate(images, 1)
    ]
    return out if not any(one.geometry.collisions or one.geometry.problem for one in out) else []


def _number(frame: Frame) -> int:
    return frame.number or 0
