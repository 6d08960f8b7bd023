"""Find the DICOM files of a folder, a DICOMDIR, a ZIP archive, or beside one file."""

from __future__ import annotations

import os
import re
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from expert.errors import InputError
from expert.imaging.dicom.headers import DIRECTORY, DicomFile, read_file
from expert.imaging.formats.recognition import ALL, DICOM, beginning, is_dicom, is_packed
from expert.imaging.formats.stored import printable

MOST_FILES = 50_000
MOST_BYTES = 4 * 1024**3
"""Largest content of an archive."""
CHUNK = 1 << 20


@dataclass
class Found:
    """The DICOM files of an input."""

    name: str
    """Of the input, for messages."""
    files: list[DicomFile] = field(default_factory=list)
    """Those with an image."""
    damaged: list[DicomFile] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    """Images of other formats, relative to the input."""
    chosen: DicomFile | None = None
    """The one file that was given."""
    archive: bool = False
    """Whether it is a ZIP archive."""
    absent: int = 0
    """Files that a DICOMDIR lists, and that are not there."""

    def add(self, path: Path, name: str) -> None:
        """Read the header of a file, and put it into its list."""
        file = read_file(path, name)
        if file is not None:
            (self.damaged if file.damage else self.files).append(file)


@contextmanager
def dicom_files(source: Path) -> Iterator[Found]:
    """Find the DICOM files of an input.

    Parameters
    ----------
    source : pathlib.Path
        Folder, DICOM file, DICOMDIR or ZIP archive.

    Yields
    ------
    Found
        The files of an archive are deleted afterwards.

    Raises
    ------
    InputError
        There are too many files, or the archive cannot be used.
    """
    with warnings.catch_warnings():  # of pydicom, about values that do not follow the standard
        warnings.simplefilter("ignore")
        yield from _found(source, Found(source.name or str(source)))


def _found(source: Path, found: Found) -> Iterator[Found]:
    """What `dicom_files` yields."""
    if source.is_dir():
        _sort_out(found, _walk(source), source)
        yield found
    elif _is_directory(source):
        listed = _listed(source)
        present = [path for path in listed if path is not None]
        found.absent = len(listed) - len(present)
        _sort_out(found, present, source.parent)
        yield found
    elif beginning(source, 2) == b"PK":
        with tempfile.TemporaryDirectory(prefix="expert-") as folder:
            found.archive = True
            for path, name in _unpack(source, Path(folder)):
                found.add(path, name)
            yield found
    elif not is_dicom(beginning(source, 132)):
        raise InputError(f"{found.name} is not DICOM: it contains no series.")
    else:
        file = read_file(source, source.name)
        if file is None:
            raise InputError(f"{source.name} is a DICOM file without an image.")
        if file.damage:
            raise InputError(f"{source.name} {file.damage}.")
        _sort_out(found, sorted(p for p in source.parent.iterdir() if p.is_file()), source.parent)
        found.chosen = next(one for one in found.files if one.path == source)
        yield found


def _walk(folder: Path) -> list[Path]:
    """All files of a folder and its subfolders, without hidden ones."""
    out: list[Path] = []
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(n for n in folders if not n.startswith(".") and n != "__MACOSX")
        out += [Path(root, n) for n in sorted(names) if not n.startswith(".")]
        if len(out) > MOST_FILES:
            raise InputError(
                f"The folder {folder.name} contains more than {MOST_FILES} files: choose the "
                "folder of one examination."
            )
    return out


def _sort_out(found: Found, paths: list[Path], folder: Path) -> None:
    """Put files into the lists of `found`."""
    import pydicom

    rest = []
    for path in paths:
        if not path.is_file():  # a broken link, or a pipe
            continue
        if is_dicom(beginning(path, 132)):
            if is_packed(path):
                damage = "is a compressed DICOM file: unpack all files of the folder"
                found.damaged.append(DicomFile(path, path.name, pydicom.Dataset(), damage))
            else:
                found.add(path, path.name)
        else:
            rest.append(path)
    patterns = {_pattern(file.name) for file in found.files}
    for path in rest:
        empty = path.stat().st_size == 0
        if path.name.lower().endswith(DICOM) or (empty and _pattern(path.name) in patterns):
            damage = "has 0 bytes" if empty else "is damaged, or is not a DICOM file"
            found.damaged.append(DicomFile(path, path.name, pydicom.Dataset(), damage))
        elif path.name.lower().endswith(ALL):
            found.others.append(path.relative_to(folder).as_posix())


def _pattern(name: str) -> str:
    return re.sub(r"\d", "#", name)


def _is_directory(source: Path) -> bool:
    """Whether a file is a DICOMDIR, the table of contents of a CD."""
    if not is_dicom(beginning(source, 132)):
        return False
    import pydicom

    try:
        header = pydicom.dcmread(source, force=True, specific_tags=["SOPClassUID"])
    except Exception:  # reported when its header is read as that of an image
        return False
    return str(header.file_meta.get("MediaStorageSOPClassUID", "")) == DIRECTORY


def _listed(source: Path) -> list[Path | None]:
    """The files that a DICOMDIR lists; None for those that are not in its folder."""
    import pydicom

    records = pydicom.dcmread(source, force=True).get("DirectoryRecordSequence") or []
    names = [record.get("ReferencedFileID") for record in records]
    parts = [[name] if isinstance(name, str) else list(name) for name in names if name]
    return [_below(source.parent, one) for one in parts[:MOST_FILES]]


def _below(folder: Path, parts: list[str]) -> Path | None:
    """A file by the parts of its name, in upper or lower case; never outside the folder."""
    here = folder
    for part in parts:
        if part in ("", ".", "..") or "/" in part or "\\" in part:
            return None
        exact = here / part
        if not exact.exists() and here.is_dir():
            exact = next((p for p in here.iterdir() if p.name.lower() == part.lower()), exact)
        here = exact
    return here if here.is_file() else None


def _unpack(source: Path, folder: Path) -> Iterator[tuple[Path, str]]:
    """Write the DICOM files of an archive into a folder, under new names."""
    try:
        with zipfile.ZipFile(source) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            if len(entries) > MOST_FILES:
                raise InputError(f"{source.name} contains more than {MOST_FILES} files: unpack it.")
            left = MOST_BYTES
            for number, entry in enumerate(entries):
                if entry.flag_bits & 1:
                    raise InputError(
                        f"{source.name} is protected with a password: unpack it, and open the "
                        "folder."
                    )
                target = folder / f"{number:06d}"
                left -= _copy(archive, entry, target, left)
                if left < 0:
                    raise InputError(
                        f"{source.name} contains more than {MOST_BYTES // 1024**3} GB: unpack it "
                        "and open the folder of one series."
                    )
                if target.exists():
                    yield target, printable(PurePosixPath(entry.filename).name)
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise InputError(f"The archive {source.name} is damaged or of an unknown kind.") from error


def _copy(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, left: int) -> int:
    """Copy a file if it is DICOM, and return its size; the size in the archive may be wrong."""
    size = 0
    with archive.open(entry) as packed:
        start = packed.read(132)
        if not is_dicom(start):
            return 0
        with target.open("wb") as file:
            while start and size <= left:
                file.write(start)
                size += len(start)
                start = packed.read(CHUNK)
    return size
