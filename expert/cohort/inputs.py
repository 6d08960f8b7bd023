"""What to predict: images, DICOM folders, folders of images, globs, tables and BIDS data sets."""

from __future__ import annotations

import glob
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from expert.datasets.table import LABEL_COLUMNS, PARQUET, as_number, read_table
from expert.errors import InputError
from expert.imaging.dicom.series import one_per_series
from expert.imaging.formats.recognition import MGH, NIFTI, NRRD, PLAIN, ZIP, beginning, is_dicom
from expert.untrusted.csv_text import read_csv

TABLES = (".csv", PARQUET)
VOLUMES = (*NIFTI, *MGH, *NRRD, *ZIP)
BIDS_DESCRIPTION = "dataset_description.json"
BIDS_IMAGES = ("anat/*_T1w.nii", "anat/*_T1w.nii.gz")
"""T1-weighted images of a session, or of a subject without sessions."""


@dataclass(frozen=True)
class Item:
    """One input."""

    name: str
    """As the user gave it; written to the table."""
    path: Path
    pixel_size_mm: float | None = None
    label: float = math.nan
    """From a table or a BIDS data set; NaN if it is not known."""
    subject: str = ""
    """Images of one subject share it; empty if it is not known."""
    problem: str = ""
    """Why there is no image, in one sentence; empty for an image."""


def items(
    inputs: Sequence[str | os.PathLike[str]],
    table: str | os.PathLike[str] | None = None,
    *,
    plain: bool = True,
) -> list[Item]:
    """List the images of all inputs, then those of a table.

    Parameters
    ----------
    inputs : sequence of str or os.PathLike
        Image files, DICOM folders, folders of images, globs, CSV or Parquet tables, and BIDS data
        sets, see `expand`.
    table : str or os.PathLike, optional
        CSV or Parquet with the column `file` (relative to the table) and, for plain 2D images,
        `pixel_size_mm`.
    plain : bool
        Whether a folder's PNG, TIFF, JPEG and BMP files are images to predict.

    Returns
    -------
    list of Item
        In the order given; a file that is given several times is listed once.

    Raises
    ------
    InputError
        No input was given, a table cannot be used, or two files have the same name.
    """
    found = [item for given in inputs for item in expand(given, plain)]
    if table is not None:
        found += _from_table(Path(table))
    if not found:
        raise InputError("Nothing to predict: give images or a table.")
    return _without_slices(_without_repeats(found))


def expand(given: str | os.PathLike[str], plain: bool = True) -> Iterator[Item]:
    """Images of one input.

    Parameters
    ----------
    given : str or os.PathLike
        An existing path, or a glob such as ``heads/**/*.nii.gz``. In a BIDS data set, the images
        are all T1-weighted ones. In any other folder, they are its image files, and one
        file of each DICOM series beside them; without image files, the folder is a DICOM series, or
        is searched if it contains only folders.
    plain : bool
        As in `items`.

    Yields
    ------
    Item
        One with a `problem` where there is no image.

    Raises
    ------
    InputError
        A table cannot be used.
    """
    path, name = Path(given), str(given)
    if path.is_dir():
        yield from _from_folder(path, plain)
    elif path.suffix.lower() in TABLES:
        yield from _from_table(path)
    elif path.exists() or not glob.has_magic(name):
        yield Item(name, path)
    else:
        matches = sorted(glob.glob(name, recursive=True))  # noqa: PTH207 (keeps the name as given)
        if not matches:
            yield Item(name, path, problem=f"No file matches {name}.")
        for match in matches:
            yield from expand(match, plain)


def _from_table(table: Path) -> Iterator[Item]:
    for row in read_table(table, labelled=False):
        yield Item(row.name, row.file, row.pixel_size_mm, row.label, row.subject)


def _from_folder(folder: Path, plain: bool) -> Iterator[Item]:
    subjects = sorted(path for path in folder.glob("sub-*") if path.is_dir())
    if (folder / BIDS_DESCRIPTION).is_file() or any(next(_scans(path), None) for path in subjects):
        yield from _from_bids(folder, subjects)
        return
    try:
        inside = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    except OSError as error:
        problem = f"The folder {folder} could not be read: {error.strerror}."
        yield Item(str(folder), folder, problem=problem)
        return
    files = [path for path in inside if not path.is_dir()]
    images = {path for path in files if _is_image(path, plain)}
    if images:  # one file of each DICOM series beside them is kept later
        found = (path for path in files if path in images or _is_slice(path))
        yield from (Item(str(path), path) for path in found)
    elif files:  # of a DICOM series, which have any name
        yield Item(str(folder), folder)
    elif inside:
        for path in inside:
            yield from _from_folder(path, plain)
    else:
        yield Item(str(folder), folder, problem=f"The folder {folder} is empty.")


def _is_image(path: Path, plain: bool) -> bool:
    name = path.name.lower()
    if name.endswith(".hdr") and path.with_suffix(".img").exists():  # two files of one image
        return False
    return name.endswith((*VOLUMES, *(PLAIN if plain else ())))


def _is_slice(path: Path) -> bool:
    return path.is_file() and path.name.upper() != "DICOMDIR" and is_dicom(beginning(path, 132))


def _scans(subject: Path) -> Iterator[Path]:
    """T1-weighted images of a BIDS subject, by session."""
    for session in (subject, *sorted(subject.glob("ses-*"))):
        for pattern in BIDS_IMAGES:
            yield from sorted(session.glob(pattern))


def _from_bids(folder: Path, subjects: Iterable[Path]) -> Iterator[Item]:
    people = _ages(folder / "participants.tsv", "participant_id")
    found = False
    for subject in subjects:
        sessions = _ages(subject / f"{subject.name}_sessions.tsv", "session_id")
        for scan in _scans(subject):
            session = scan.relative_to(subject).parts[0]
            label = sessions.get(session, math.nan)
            if math.isnan(label):
                label = people.get(subject.name, math.nan)
            found = True
            yield Item(str(scan), scan, label=label, subject=subject.name)
    if not found:
        problem = f"The BIDS data set {folder} contains no T1-weighted image (sub-*/anat/*_T1w)."
        yield Item(str(folder), folder, problem=problem)


def _ages(table: Path, key: str) -> dict[str, float]:
    """Label of each participant or session that has one; empty without the table."""
    try:
        columns, rows = read_csv(table)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InputError(f"The table {table} could not be read: {error.strerror}.") from error
    except ValueError as error:
        raise InputError(f"The table {table} could not be read: {error}.") from error
    column = next((name for name in LABEL_COLUMNS if name in columns), None)
    if column is None:
        return {}
    return {row.get(key, ""): as_number(row[column]) for _, row in rows}


def _without_repeats(found: Sequence[Item]) -> list[Item]:
    by_path: dict[str, Item] = {}
    paths: dict[str, str] = {}
    for item in found:
        place = os.path.abspath(item.path)  # noqa: PTH100 (links stay what they are)
        if place in by_path:
            by_path[place] = _merged(by_path[place], item)
        elif paths.setdefault(item.name, place) != place:
            raise InputError(
                f"Two different files are named {item.name}: predict them into two tables."
            )
        else:
            by_path[place] = item
    return list(by_path.values())


def _without_slices(found: Sequence[Item]) -> list[Item]:
    """One file of each DICOM series: it stands for all of them."""
    maybe = [item.path for item in found if not item.path.name.lower().endswith((*VOLUMES, *PLAIN))]
    left_out = {*maybe} - {*one_per_series(maybe)}
    return [item for item in found if item.path not in left_out]


def _merged(first: Item, again: Item) -> Item:
    """One file that is given twice, with what is known from either."""
    labels = [item.label for item in (first, again) if not math.isnan(item.label)]
    sizes = [item.pixel_size_mm for item in (first, again) if item.pixel_size_mm is not None]
    if len(set(labels)) > 1 or len(set(sizes)) > 1:
        raise InputError(
            f"{first.name} is given twice with different labels or pixel sizes: remove one."
        )
    return replace(
        first,
        label=labels[0] if labels else math.nan,
        pixel_size_mm=sizes[0] if sizes else None,
        subject=first.subject or again.subject,
    )
