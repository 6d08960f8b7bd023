"""The format of a file, by its content; the extension decides only where the content does not."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Literal

from expert.errors import InputError

Format = Literal["nifti", "mgh", "nrrd", "dicom", "zip", "plain"]
NIFTI = (".nii", ".nii.gz", ".img", ".hdr")
MGH = (".mgz", ".mgh")
NRRD = (".nrrd", ".nhdr")
PLAIN = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")
ZIP = (".zip",)
DICOM = (".dcm", ".ima", ".dicom")
ALL = (*NIFTI, *MGH, *NRRD, *PLAIN, *ZIP, *DICOM)
IMG = (".img", ".img.gz")
PAIR = (".hdr", ".hdr.gz", *IMG)
ARCHIVES = (b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")
"""Beginnings of 7z, RAR, bzip2, xz and Zstandard files."""
GZIP = b"\x1f\x8b"
PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
KNOWN = "NIfTI (.nii, .nii.gz), NRRD, FreeSurfer (.mgz), DICOM, PNG, TIFF or JPEG"


def beginning(path: Path, count: int = 600) -> bytes:
    """The first bytes of a file, uncompressed; fewer where the file is shorter or damaged.

    Parameters
    ----------
    path : pathlib.Path
    count : int

    Returns
    -------
    bytes
    """
    start = b""
    try:
        with path.open("rb") as file:
            start = file.read(count)
        if start.startswith(GZIP):
            with gzip.open(path) as unpacked:
                start = unpacked.read(count)
    except (OSError, EOFError, zlib.error):
        pass
    return start


def is_dicom(start: bytes) -> bool:
    """Whether bytes are the beginning of a DICOM file, with or without its preamble."""
    if start[128:132] == b"DICM":
        return True
    # Old files begin with the group 0002 or 0008, little endian, and a low element number.
    return start[:2] in (b"\x02\0", b"\x08\0") and start[3:4] == b"\0" and len(start) >= 132


def is_nifti(start: bytes) -> bool:
    """Whether bytes are a NIfTI or Analyze header."""
    sizes = {(348).to_bytes(4, order) for order in ("little", "big")}
    sizes |= {(540).to_bytes(4, order) for order in ("little", "big")}
    return len(start) >= 348 and start[:4] in sizes


def beside(path: Path) -> Path | None:
    """The other file of a NIfTI or Analyze pair, whose extension may be in capitals.

    Parameters
    ----------
    path : pathlib.Path
        The one that ends with .img, .hdr, .img.gz or .hdr.gz.

    Returns
    -------
    pathlib.Path or None
        None if it is not there.
    """
    name = path.name.lower()
    stem = path.name[: -7 if name.endswith(".gz") else -4]
    other = ".hdr" if name.endswith(IMG) else ".img"
    ends = [case(other + packed) for packed in ("", ".gz") for case in (str.lower, str.upper)]
    found = (path.with_name(stem + end) for end in ends)
    return next((one for one in found if one.is_file()), None)


def recognise(path: Path) -> Format:
    """Find the format of a file.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    str

    Raises
    ------
    InputError
        It is none that is read.
    """
    name, start = path.name.lower(), beginning(path)
    if path.stat().st_size == 0:
        raise InputError(f"{path.name} has 0 bytes: copy or download it again.")
    if len(start) < 348 and is_packed(path):
        raise InputError(f"{path.name} could not be read: it is damaged or incomplete.")
    marked = start[128:132] == b"DICM"  # before it, a file may begin like a TIFF file
    if is_nifti(start) and not marked:
        return "nifti"
    if start.startswith(b"NRRD00"):
        if is_packed(path):
            raise InputError(f"{path.name} is a compressed NRRD file: unpack it.")
        return "nrrd"
    if start.startswith(b"PK\x03\x04") or start.startswith(b"PK\x05\x06"):
        return "zip"
    bitmap = start.startswith(b"BM") and name.endswith(".bmp")
    if (start.startswith(PICTURES) or bitmap) and not marked:
        return "plain"
    if is_dicom(start):
        if is_packed(path):
            raise InputError(f"{path.name} is a compressed DICOM file: unpack it.")
        return "dicom"
    if name.endswith(MGH):
        return "mgh"
    if name.endswith(IMG) and beside(path) is not None:
        return "nifti"
    raise InputError(_unknown(path.name, start))


def is_packed(path: Path) -> bool:
    """Whether a file is compressed with gzip."""
    with path.open("rb") as file:
        return file.read(2) == GZIP


def _unknown(name: str, start: bytes) -> str:
    """Why a file is none that is read."""
    if start.startswith(b"version https://git-lfs"):
        return f"{name} is a Git LFS pointer: its data was never downloaded (git lfs pull)."
    if start.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html")):
        return f"{name} is a web page, not an image: the download failed."
    if start.startswith(b"/annex/objects/"):
        return f"{name} is a git-annex pointer: its data was never downloaded (git annex get)."
    if start.startswith(GZIP):
        return f"{name} is compressed twice: unpack it once."
    if start.startswith(ARCHIVES) or start[257:262] == b"ustar":
        return f"{name} is a compressed file or an archive: unpack it, and open what it contains."
    if name.lower().endswith(IMG):
        return f"{name} has no header file beside it: copy the .hdr file into the same folder."
    if name.lower().endswith(ALL):
        return f"{name} could not be read: its content does not match its extension."
    return f"{name} has an unknown format: open {KNOWN}."
