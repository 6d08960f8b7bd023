"""Tables of images with labels, and where a prototype's image is found when the model only refers
to it."""

from __future__ import annotations

import csv
import hashlib
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from expert.errors import InputError
from expert.schema import ImageReference

LABELS = ("age_years", "age", "label")
SUBJECTS = ("subject", "exam")
IXI_COMMIT = "494c25e00cbd3fea601f5f27970f2e2de876a8ac"
SOURCES = {
    # Public data sets whose files can be fetched one by one: name of the data set -> address of a
    # file.
    "IXI": f"https://raw.githubusercontent.com/CBICA/NiChart_Project/{IXI_COMMIT}/test_data/processed/IXI/Nifti/{{file}}",
}
LICENCES = {
    "IXI": "IXI dataset, brain-development.org, CC BY-SA 3.0, down-sampled by the NiChart project"
}
SAMPLE = ImageReference(
    dataset="IXI",
    subject="IXI516-HH-2297",
    file="T1/IXI516-HH-2297_T1.nii.gz",
    sha256="1f02d30da5502caa2bcf1659842df11537802a14e98624319463aed085e0f1e7",
)
"""A real head to try things on; no prototype of a shipped model shows it."""
SAMPLE_AGE = 60.41
"""Its age in years."""
PATIENCE_S = 10
"""Seconds without a byte after which a download is given up: behind a firewall, nobody answers."""


@dataclass(frozen=True)
class Entry:
    """One row of a table."""

    subject: str
    name: str
    """The file as the table names it."""
    file: Path
    """Where that is."""
    label: float
    """NaN where the table has no labels."""
    pixel_size_mm: float | None
    sha256: str
    """Of the file's contents; from the table, else computed."""

    @property
    def public_name(self) -> str:
        """The file within its data set: what may be told to others. A way that leads elsewhere is
        left off."""
        return _public_name(self.name)


def _public_name(name: str) -> str:
    path = PurePosixPath(name.replace("\\", "/"))
    outside = path.is_absolute() or ".." in path.parts or ":" in name
    return path.name if outside else str(path)


def read_table(
    path: str | os.PathLike[str], *, label_column: str | None = None, labelled: bool = True
) -> tuple[Entry, ...]:
    """Read a CSV table of images.

    Parameters
    ----------
    path : CSV with the column `file` (relative to the table), and, where there are, `subject` or
        `exam` (rows that belong together), `pixel_size_mm` (plain 2D images), `sha256`
    label_column : the label's column; `age_years`, `age` or `label` if None
    labelled : whether every row must have a label

    Raises
    ------
    InputError
        The table is missing, empty or lacks a column, a label is no number, a file is missing or
        not the one of its checksum; the message names row and column.
    """
    source = Path(path)
    try:
        with source.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            columns = [name.strip() for name in reader.fieldnames or []]
            reader.fieldnames = columns
            rows = [
                {k: (v or "").strip() for k, v in row.items() if isinstance(k, str)}
                for row in reader
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"The table {source} could not be read: {error}.") from error
    if "file" not in columns:
        raise InputError(
            f"The table {source.name} has no column 'file' (it has: "
            f"{', '.join(columns) or 'none'})."
        )
    if not rows:
        raise InputError(f"The table {source.name} has no rows.")
    candidates = LABELS if label_column is None else (label_column,)
    label = next((name for name in candidates if name in columns), None)
    if labelled and label is None:
        wanted = "' or '".join(candidates)
        raise InputError(
            f"The table {source.name} has no label column '{wanted}' (it has: "
            f"{', '.join(columns)})."
        )
    subject = next((name for name in SUBJECTS if name in columns), None)
    out = []
    for number, row in enumerate(rows, 2):
        where = f"Row {number} of {source.name}"
        if not row["file"]:
            raise InputError(f"{where} names no file.")
        file = source.parent / row["file"]
        if labelled and not file.is_file():
            raise InputError(f"{where}: there is no file {row['file']} beside the table.")
        digest = _verify(where, row, file) if labelled else row.get("sha256", "")
        out.append(
            Entry(
                subject=(row.get(subject, "") if subject else "") or _public_name(row["file"]),
                name=row["file"],
                file=file,
                label=_number(where, row, label) if labelled and label else math.nan,
                pixel_size_mm=_number(where, row, "pixel_size_mm")
                if row.get("pixel_size_mm")
                else None,
                sha256=digest,
            )
        )
    return tuple(out)


def _number(where: str, row: dict[str, str], column: str) -> float:
    try:
        value = float(row.get(column, ""))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{where}: column '{column}' holds '{row.get(column, '')}', not a number.")
    return value


def _verify(where: str, row: dict[str, str], file: Path) -> str:
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    stated = row.get("sha256", "").lower()
    if stated and stated != digest:
        raise InputError(
            f"{where}: {row['file']} is not the file the table means (its checksum differs)."
        )
    return digest


def cache_folder() -> Path:
    """Where downloaded images are kept."""
    from platformdirs import user_cache_path

    return user_cache_path("napari-expert") / "data"


def _public(reference: ImageReference) -> str | None:
    return next((name for name in SOURCES if reference.dataset.startswith(name)), None)


def public_address(reference: ImageReference) -> str | None:
    """Where an image can be downloaded; None where its data set is not public."""
    public = _public(reference)
    return None if public is None else SOURCES[public].format(file=reference.file)


def find_reference(
    reference: ImageReference, folders: Iterable[Path] = ()
) -> tuple[Path | None, str]:
    """Where the image of a prototype lies on this computer; nothing is downloaded.

    Parameters
    ----------
    reference : from the model
    folders : looked through first, with their sub-folders; then the folder in the environment
        variable EXPERT_DATA_DIR and its sub-folders, then the download cache

    Returns
    -------
    path, message : the file (its checksum holds) and "", or None and one sentence on how to get it
    """
    places = [*folders]
    if os.environ.get("EXPERT_DATA_DIR"):
        places.append(Path(os.environ["EXPERT_DATA_DIR"]))
    places = [
        place for top in places for place in (top, *sorted(p for p in top.glob("*/") if p.is_dir()))
    ]
    for place in (*places, cache_folder()):
        for path in (place / reference.file, place / Path(reference.file).name):
            if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == reference.sha256:
                return path, ""
    public = _public(reference)
    if public is None:
        return None, (
            "The image of this prototype is not in the model: give the folder of the data "
            f"set {reference.dataset} "
            "(EXPERT_DATA_DIR) to see it."
        )
    return None, (
        "The image of this prototype is not in the model: run 'expert fetch' to download "
        "the prototypes' images "
        f"({LICENCES[public]}), or set EXPERT_DATA_DIR to a folder that holds them."
    )


def fetch_reference(reference: ImageReference) -> Path:
    """Download an image from its public data set into the cache, and check it.

    Raises
    ------
    InputError
        The data set is not public, or the download failed.
    """
    import pooch

    address = public_address(reference)
    if address is None:
        raise InputError(
            f"The data set {reference.dataset} cannot be downloaded: ask the model's author for it."
        )
    target = cache_folder() / reference.file
    try:
        found = pooch.retrieve(
            address,
            known_hash=f"sha256:{reference.sha256}",
            fname=target.name,
            path=target.parent,
            downloader=pooch.HTTPDownloader(timeout=PATIENCE_S),
        )
    except (
        Exception
    ) as error:  # requests, urllib3 and pooch raise many kinds; each means "not to be had now"
        raise InputError(
            f"{target.name} could not be downloaded ({type(error).__name__}): check the "
            "network connection, or put the data "
            f"set {reference.dataset} into a folder and set EXPERT_DATA_DIR to it."
        ) from error
    return Path(found)
