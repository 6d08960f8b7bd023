"""The DICOM series of an input: their list, and the choice of one."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from expert.errors import ExpertError, InputError, SeriesChoiceError
from expert.imaging.dicom.finding import Found, dicom_files
from expert.imaging.dicom.headers import (
    DicomFile,
    film_length,
    frames_of,
    image_type,
    number,
    read_file,
)
from expert.imaging.dicom.stacks import APART, FEW, Stack, stacks_of
from expert.imaging.formats.recognition import beginning, is_dicom
from expert.imaging.formats.stored import printable

SHOWN = 12
"""Numbers of series that an error message names."""


@dataclass(frozen=True)
class Series:
    """One image among the DICOM files of a folder: a series, or a part of one."""

    number: str
    """To choose it: the number of the series, with ".1", ".2" for the parts of a series."""
    uid: str
    """SeriesInstanceUID."""
    description: str
    """As the header states it, without control characters."""
    modality: str
    shape: tuple[int, int, int]
    """Columns, rows, slices."""
    spacing_mm: tuple[float, float, float] | None
    """Along the same axes; None where it is not known."""
    remark: str
    """What kind of image it is, where that is unusual: a scout, derived, in colour."""
    rank: int = field(repr=False)
    """0 for a whole acquired volume; higher for what is less likely to be meant."""

    @property
    def text(self) -> str:
        """One line for a list."""
        columns, rows, slices = self.shape
        size = f"{slices} slices of {columns}×{rows}" if slices > 1 else f"{columns}×{rows}"
        steps = self.spacing_mm
        spacing = "" if steps is None else ", " + "×".join(f"{step:.3g}" for step in steps) + " mm"
        parts = [
            part for part in (self.description, self.modality, size + spacing, self.remark) if part
        ]
        return f"{self.number:>5}  {'; '.join(parts)}"


def list_series(path: str | os.PathLike[str]) -> tuple[Series, ...]:
    """List the DICOM series of a folder and its subfolders, or of another DICOM input.

    Parameters
    ----------
    path : path-like
        A folder, a DICOM file (the series beside it), a DICOMDIR or a ZIP archive.

    Returns
    -------
    tuple of Series
        In the order of their numbers. `expert.read_volume(path, series=number)` reads one.

    Raises
    ------
    InputError
        There are no DICOM images.
    """
    source = Path(path)
    if not source.exists():
        raise InputError(f"The file {source} does not exist: check the path.")
    try:
        with dicom_files(source) as found:
            return tuple(series for series, _ in entries_of(found))
    except ExpertError:
        raise
    except Exception as error:  # pydicom raises many kinds for damaged files
        raise InputError(f"{source.name} could not be read: it is damaged.") from error


def one_per_series(paths: Iterable[Path]) -> list[Path]:
    """Leave out files whose image another file stands for: slices of one DICOM series.

    Parameters
    ----------
    paths : iterable of pathlib.Path
        Any files and folders.

    Returns
    -------
    list of pathlib.Path
        In the same order; of slices of one image, the first.
    """
    kept: dict[Hashable, Path] = {}
    for path in paths:
        kept.setdefault(image_key(path) or path, path)
    return list(kept.values())


def image_key(path: Path) -> tuple[Hashable, ...] | None:
    """What the DICOM files of one volume have in common.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    tuple or None
        None for folders, other files, and files that are an image each.
    """
    if not path.is_file() or not is_dicom(beginning(path, 132)):
        return None
    file = read_file(path, path.name)
    if file is None or file.damage:
        return None
    frame = frames_of(file)[0]
    if frame.position is None:
        return None
    traits = (frame.traits.get(name) for name in APART)
    return (path.resolve().parent, _key(file), frame.shape, *traits)


def entries_of(found: Found) -> list[tuple[Series, Stack]]:
    """Every image that can be chosen."""
    if not found.files:
        raise InputError(_nothing(found))
    groups: dict[Hashable, list[DicomFile]] = defaultdict(list)
    for file in found.files:
        groups[_key(file)].append(file)
    if found.chosen is not None:
        groups = {_key(found.chosen): groups[_key(found.chosen)]}
    stacks = [
        stack
        for files in groups.values()
        for stack in stacks_of([frame for file in files for frame in frames_of(file)])
    ]
    numbers = [number(stack.first.file.header, "SeriesNumber") for stack in stacks]
    order = sorted(range(len(stacks)), key=lambda n: (numbers[n] is None, numbers[n] or 0))
    counts, seen, out = Counter(numbers), Counter[float | None](), []
    for n in order:
        seen[numbers[n]] += 1
        name = f"{int(numbers[n] or 0)}"
        name += f".{seen[numbers[n]]}" if counts[numbers[n]] > 1 else ""
        out.append((_describe(stacks[n], name), stacks[n]))
    return out


def _key(file: DicomFile) -> Hashable:
    return tuple(map(file.text, ("PatientID", "StudyInstanceUID", "SeriesInstanceUID")))


def _nothing(found: Found) -> str:
    """Why there is no DICOM image."""
    if found.damaged:
        return f"{found.damaged[0].name} {found.damaged[0].damage}."
    if found.absent:
        return (
            f"None of the {found.absent} files that {found.name} lists is there: copy the whole "
            "folder of the CD."
        )
    if found.archive:
        return f"{found.name} contains no DICOM image: unpack it, and open the image."
    if len(found.others) == 1:
        return f"{found.name} contains no DICOM image, but one file to open: {found.others[0]}."
    if found.others:
        return (
            f"{found.name} contains no DICOM image, but {len(found.others)} other images: open one "
            f"of them, for example {found.others[0]}."
        )
    return f"{found.name} contains no DICOM image: choose the folder with the files of one series."


def _describe(stack: Stack, name: str) -> Series:
    header, geometry = stack.first.file.header, stack.geometry
    rows, columns = stack.first.shape
    steps, slices = stack.first.spacing, max(geometry.count, film_length(stack.first))
    spacing = None
    if steps is not None and geometry.step_known:
        spacing = (steps[1], steps[0], float(np.linalg.norm(geometry.affine[:3, 2])))
    remarks = [
        *stack.traits,
        *(["colour"] if stack.colour else []),
        *(["few slices"] if 1 < len(stack.frames) < FEW else []),
        *(["localizer"] if "LOCALIZER" in image_type(header) else []),
        *(["derived"] if stack.derived else []),
        *([f"{len(geometry.missing)} slices missing"] if geometry.missing else []),
        *(["without positions"] if not geometry.oriented and slices > 1 else []),
    ]
    return Series(
        name,
        stack.first.file.text("SeriesInstanceUID"),
        printable(header.get("SeriesDescription") or ""),
        printable(header.get("Modality") or "", 16),
        (columns, rows, slices),
        spacing,
        ", ".join(remarks),
        stack.rank,
    )


def choose(
    entries: list[tuple[Series, Stack]], found: Found, series: int | str | None
) -> tuple[Series, Stack]:
    """The series that the user named, else the only one that can be meant."""
    choice = entries
    if series is not None:
        wanted = printable(series)
        choice = [
            one
            for one in entries
            if wanted in (one[0].number, one[0].number.split(".")[0], one[0].uid)
        ]
        if not choice:
            raise SeriesChoiceError(
                f"{found.name} has no DICOM series {wanted}: {_numbers(entries)}.",
                _listing(entries),
            )
    if found.chosen is not None and series is None:
        own = [one for one in choice if any(f.file is found.chosen for f in one[1].frames)]
        choice = own or choice
    best = min(one.rank for one, _ in choice)
    top = [one for one in choice if one[0].rank == best]
    if len(top) == 1:
        return top[0]
    stacks = [stack for _, stack in top]
    if best == 3 and len({one.uid for one, _ in entries}) == 1 and _localizer(stacks):
        raise InputError(
            f"{found.name} shows {len(stacks)} orientations with up to "
            f"{max(len(stack.frames) for stack in stacks)} slices each: it is a localizer, not a "
            "volume."
        )
    what = (
        "images of the same slices"
        if len({one.uid for one, _ in top}) == 1 and any(stack.traits for stack in stacks)
        else "DICOM series or images"
    )
    raise SeriesChoiceError(
        f"{found.name} contains {len(top)} {what}: choose one with --series ({_numbers(top)}).",
        _listing(entries),
    )


def _localizer(stacks: Sequence[Stack]) -> bool:
    """Whether a series shows a few slices in each of several orientations."""
    known = [stack.first for stack in stacks if stack.first.orientation is not None]
    across = [frame.normal for frame in known]
    return len(across) == len(stacks) and all(
        abs(float(a @ b)) < 0.9 for n, a in enumerate(across) for b in across[:n]
    )


def _numbers(entries: Sequence[tuple[Series, Stack]]) -> str:
    names = [series.number for series, _ in entries]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"there are {', '.join(names[:SHOWN])}{more}" if names else ""


def _listing(entries: Sequence[tuple[Series, Stack]]) -> tuple[Series, ...]:
    return tuple(series for series, _ in entries)
