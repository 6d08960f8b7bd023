"""Read plain 2D images (PNG, TIFF, JPEG, BMP), and the pixel size that some of them state."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from expert.errors import InputError
from expert.imaging.formats.recognition import PLAIN
from expert.imaging.formats.stored import StoredImage, check_size

PIXEL_MM = (0.005, 2.0)
"""Pixel sizes that an image of a body can have."""
SIDE_MM = (10.0, 1000.0)
"""Lengths that its longer side can have."""
SCREEN_DPI = (72, 75, 96, 100, 120, 144, 150, 180, 192, 200, 240, 300, 350, 360, 400, 600, 720, 1200, 2400)  # fmt: skip  # noqa: E501
"""Resolutions of screens and printers: programs write them without having measured anything."""
LENGTHS = {
    "m": 1e3, "meter": 1e3, "metre": 1e3, "dm": 100.0, "cm": 10.0, "mm": 1.0, "um": 1e-3,
    "µm": 1e-3, "μm": 1e-3, "micron": 1e-3, "microns": 1e-3, "micrometer": 1e-3, "nm": 1e-6,
    "inch": 25.4, "in": 25.4, "inches": 25.4,
}  # fmt: skip
"""Units of length in mm."""
INCH, CENTIMETRE = 2, 3
"""TIFF's units of resolution."""
PHOTOMETRIC, ORIENTATION, DESCRIPTION = 262, 274, 270
X_RESOLUTION, Y_RESOLUTION, UNIT = 282, 283, 296
"""Numbers of TIFF and EXIF tags."""


@dataclass(frozen=True)
class PixelSize:
    """The pixel size that a file states."""

    rows_mm: float
    """Distance between rows."""
    columns_mm: float
    source: str
    """Where it stands."""
    calibrated: bool
    """Whether a program for measuring wrote it; a resolution may be one for printing."""


def read_plain(source: Path, pixel_size_mm: float | None = None) -> StoredImage:
    """Read a plain image; colours become grey values.

    Parameters
    ----------
    source : pathlib.Path
    pixel_size_mm : float, optional
        Used instead of the one in the file.

    Returns
    -------
    StoredImage

    Raises
    ------
    InputError
        It is not a single image.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        opened = Image.open(source)
    except Image.DecompressionBombError as error:
        raise InputError(f"{source.name} has too many pixels: reduce its size.") from error
    except UnidentifiedImageError as error:
        raise InputError(
            f"{source.name} could not be read: it is damaged, or stores its pixels in a way that "
            "is not supported. Save it as PNG."
        ) from error
    with warnings.catch_warnings(), opened as image:
        warnings.simplefilter("ignore")  # of Pillow, about metadata that does not matter here
        # The further images in a photo (MPO) are a preview, or a second view.
        if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
            raise InputError(
                f"{source.name} contains {getattr(image, 'n_frames', 1)} images: save one of them "
                "as a file."
            )
        check_size(image.size, source.name)
        size = stored_size(image)
        turned = image.getexif().get(ORIENTATION, 1)
        upright = ImageOps.exif_transpose(image)
        sixteen = image.mode.startswith(("I", "F"))
        if sixteen:
            data = np.asarray(upright)
            if image.format == "TIFF" and image.tag_v2.get(PHOTOMETRIC) == 0:  # type: ignore[attr-defined]
                data = data.max() - data  # white is 0; Pillow inverts 8 bits only
        else:
            data = np.asarray(_opaque(upright).convert("L"))
    assumed = []
    if turned not in (0, 1):
        assumed.append("The image was turned upright, as its EXIF orientation says.")
    data, framed = _without_frame(data)
    if framed:
        assumed.append("The bright frame around the image was made dark.")
    if pixel_size_mm is not None:
        steps: tuple[float, float] | None = (pixel_size_mm, pixel_size_mm)
    else:
        steps, said = usable(size, data.shape)
        assumed += said
    if steps is not None and turned in (5, 6, 7, 8) and pixel_size_mm is None:
        steps = steps[::-1]
    rows, columns = steps or (1.0, 1.0)
    return StoredImage(
        data, np.diag([rows, columns, 1.0, 1.0]), "plain image", "image", steps is not None,
        tuple(assumed),
    )  # fmt: skip


def _without_frame(data: np.ndarray) -> tuple[np.ndarray, bool]:
    """Make a frame around the image dark, and say whether there is one.

    A frame consists of whole rows and columns at the edges with a single bright value.
    """
    bright = (float(data.min()) + float(data.max())) / 2
    rows, columns = (
        np.flatnonzero((data.min(axis=axis) < data.max(axis=axis)) | (data.max(axis=axis) < bright))
        for axis in (1, 0)
    )
    if not rows.size or not columns.size:
        return data, False
    inside = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    if data[inside].shape == data.shape:
        return data, False
    out = np.full_like(data, data.min())
    out[inside] = data[inside]
    return out, True


def _opaque(image: Any) -> Any:
    """An image with black where it is transparent: the colours there are not shown by programs."""
    if image.mode not in ("RGBA", "LA", "PA"):
        return image
    from PIL import Image

    colours = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), colours)


def pixel_size_of(path: Path) -> tuple[tuple[float, float] | None, list[str]]:
    """The pixel size that `read_plain` would use, without reading the pixels.

    Parameters
    ----------
    path : pathlib.Path
        Any file.

    Returns
    -------
    tuple
        As `usable`.
    """
    from PIL import Image

    if not path.name.lower().endswith(PLAIN):
        return None, []
    try:
        with Image.open(path) as image:
            return usable(stored_size(image), image.size[::-1])
    except Exception:  # whoever opened the file reports what is wrong with it
        return None, []


def usable(
    size: PixelSize | None, shape: tuple[int, ...]
) -> tuple[tuple[float, float] | None, list[str]]:
    """Whether a pixel size can be that of a medical image, and a sentence about it.

    Parameters
    ----------
    size : PixelSize or None
        From the file.
    shape : tuple of int
        Rows and columns.

    Returns
    -------
    steps : tuple of float or None
        mm between rows and between columns, if they are used.
    said : list of str
    """
    if size is None:
        return None, []
    steps = (size.rows_mm, size.columns_mm)
    text = " × ".join(dict.fromkeys(f"{step:.3g}" for step in steps)) + " mm"
    side = max(step * count for step, count in zip(steps, shape, strict=True))
    possible = all(PIXEL_MM[0] <= step <= PIXEL_MM[1] for step in steps)
    if not possible or not SIDE_MM[0] <= side <= SIDE_MM[1]:
        return None, [
            f"The pixel size in the {size.source} ({text}) was not used: the image would be "
            f"{side:.3g} mm wide."
        ]
    dpi = [25.4 / step for step in steps]
    if not size.calibrated and any(abs(one - screen) < 0.5 for one in dpi for screen in SCREEN_DPI):
        return None, [
            f"The {size.source} states {dpi[1]:.0f} dpi, a resolution of screens and printers: it "
            "was not used as the pixel size."
        ]
    return steps, [f"The pixel size of {text} was read from the {size.source}: check it."]


def stored_size(image: Any) -> PixelSize | None:
    """The pixel size that a file states.

    Parameters
    ----------
    image : PIL.Image.Image

    Returns
    -------
    PixelSize or None
    """
    if image.format == "TIFF":
        return _in_tiff(image)
    if image.format == "JPEG" and image.info.get("jfif_unit") == CENTIMETRE - 1:
        x, y = image.info["jfif_density"]
        return _per(10.0, x, y, "JPEG file's resolution")
    if "dpi" in image.info:
        x, y = image.info["dpi"]
        return _per(25.4, x, y, f"{image.format} file's resolution")
    return None


def _per(length: float, x: Any, y: Any, source: str, calibrated: bool = False) -> PixelSize | None:
    """The size of pixels of which x and y lie on a length in mm."""
    try:
        size = PixelSize(length / float(y), length / float(x), source, calibrated)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    valid = np.isfinite([size.rows_mm, size.columns_mm]).all() and size.rows_mm * size.columns_mm
    return size if valid and min(size.rows_mm, size.columns_mm) > 0 else None


def _in_tiff(image: Any) -> PixelSize | None:
    """By ImageJ's or OME's description, else by the resolution."""
    tags = image.tag_v2
    text = tags.get(DESCRIPTION, "")
    if isinstance(text, str):  # Pillow decodes it as Latin-1, and OME writes UTF-8
        text = text.encode("latin-1", "replace")
    text = text.decode("utf-8", "replace")
    x, y = tags.get(X_RESOLUTION), tags.get(Y_RESOLUTION)
    if "ImageJ=" in text:
        unit = re.search(r"^unit=(.*)$", text, re.M)
        name = unit.group(1).strip().replace("\\u00B5", "µ").lower() if unit else ""
        return _per(LENGTHS[name], x, y, "ImageJ calibration", True) if name in LENGTHS else None
    ome = {axis: re.search(rf'PhysicalSize{axis}="([^"]+)"', text) for axis in ("X", "Y")}
    if ome["X"] and ome["Y"]:
        factors = []
        for axis in ("X", "Y"):
            unit = re.search(rf'PhysicalSize{axis}Unit="([^"]+)"', text)
            factors.append(LENGTHS.get(unit.group(1).strip().lower() if unit else "µm", 0.0))
        if all(factors):
            try:
                y_mm, x_mm = (
                    float(ome[axis].group(1)) * factor  # type: ignore[union-attr]
                    for axis, factor in zip(("Y", "X"), reversed(factors), strict=True)
                )
            except ValueError:
                return None
            return _per(1.0, 1 / x_mm, 1 / y_mm, "OME metadata", True) if x_mm and y_mm else None
    unit_code = tags.get(UNIT, INCH)
    if x is None or y is None or unit_code not in (INCH, CENTIMETRE):
        return None
    return _per(25.4 if unit_code == INCH else 10.0, x, y, "TIFF file's resolution")
