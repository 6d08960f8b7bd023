"""Read NRRD files with SimpleITK."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from expert.errors import InputError
from expert.imaging.formats.recognition import beginning
from expert.imaging.formats.stored import LPS_TO_RAS, StoredImage, check_size


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
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    image = sitk.ReadImage(str(source))
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
    oriented = "space" in fields and "space directions" in fields
    return StoredImage(data, LPS_TO_RAS @ lps, "NRRD", "ras" if oriented else "unknown", known)


def _fields(source: Path) -> dict[str, str]:
    """The fields of the header, lower case."""
    text = beginning(source, 65536).split(b"\n\n")[0].split(b"\r\n\r\n")[0]
    lines = text.decode("latin-1").splitlines()
    pairs = (line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))
    return {key.strip().lower(): value.strip().lower() for key, value in pairs}
