"""Read NRRD files with SimpleITK."""

from __future__ import annotations

import re
from pathlib import Path, PureWindowsPath

import numpy as np

from expert.errors import InputError
from expert.imaging.formats.recognition import beginning
from expert.imaging.formats.stored import LPS_TO_RAS, StoredImage, check_size

PATIENT = re.compile(
    r"(left|right)-(anterior|posterior)-(superior|inferior)(-time)?|[lr][ap][si]t?"
)
"""Spaces that follow the patient; those of scanners and others do not say which side is left."""


def read_nrrd(source: Path) -> StoredImage:
    """Read an NRRD file.

    Parameters
    ----------
    source : pathlib.Path

    Returns
    -------
    StoredImage

    Raises
    ------
    InputError
        It is not a single grey volume, or is too large.
    """
    import SimpleITK as sitk

    name, fields = source.name, _fields(source)
    sizes = [int(n) for n in fields.get("sizes", "").split() if n.lstrip("-").isdigit()]
    check_size(sizes, name)
    if "nan" in fields.get("spacings", "").lower():
        raise InputError(f"{name} states no valid voxel size: its header is damaged.")
    if fields.get("encoding") in ("bzip2", "bz2"):
        raise InputError(f"{name} is compressed with bzip2: save it with gzip or uncompressed.")
    _check_data_file(source)
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    image = sitk.ReadImage(str(source), imageIO="NrrdImageIO")
    if image.GetNumberOfComponentsPerPixel() > 1:
        raise InputError(
            f"{name} contains {image.GetNumberOfComponentsPerPixel()} values per voxel: a single "
            "grey value is required."
        )
    known = "spacings" in fields or "space directions" in fields
    data = sitk.GetArrayFromImage(image).T  # SimpleITK's arrays are z, y, x
    if image.GetDimension() == 2:
        spacing = image.GetSpacing()[::-1]
        return StoredImage(data.T, np.diag([*spacing, 1.0, 1.0]), "NRRD", "image", known)
    if image.GetDimension() != 3:
        raise InputError(f"{name} has {image.GetDimension()} axes: save a single volume.")
    lps = np.eye(4)
    lps[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    lps[:3, 3] = image.GetOrigin()
    oriented = bool(PATIENT.fullmatch(fields.get("space", ""))) and "space directions" in fields
    return StoredImage(data, LPS_TO_RAS @ lps, "NRRD", "ras" if oriented else "unknown", known)


def _check_data_file(source: Path) -> None:
    """Refuse data in several files, or in one that is not in the folder of the header."""
    line = re.search(rb"^data ?file:\s*(.*?)\s*$", _header(source), re.M | re.I)
    if line is None:
        return
    named = line.group(1).decode("utf-8", "replace")
    if named.startswith("LIST") or "%" in named:
        raise InputError(f"The data of {source.name} are in several files: save them as one.")
    if PureWindowsPath(named).is_absolute() or named.startswith("/") or ".." in Path(named).parts:
        raise InputError(f"{source.name} names a data file in another folder: move it beside it.")
    if not (source.parent / named).is_file():
        raise InputError(f"The data file of {source.name} is missing: copy it beside the header.")


def _header(source: Path) -> bytes:
    return beginning(source, 65536).split(b"\n\n")[0].split(b"\r\n\r\n")[0]


def _fields(source: Path) -> dict[str, str]:
    """The fields of the header, lower case."""
    lines = _header(source).decode("latin-1").splitlines()
    pairs = (line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))
    return {key.strip().lower(): value.strip().lower() for key, value in pairs}
