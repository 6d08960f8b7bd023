"""Plain images that were made from larger public originals, made again and compared by pixel.

How an image was made smaller is often not recorded. Every known way is tried; only a result with
exactly the pixels of the training image is used.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from expert.errors import InputError
from expert.files import replacing

if TYPE_CHECKING:
    from PIL.Image import Image

LARGEST_MEMBER = 50_000_000
"""Bytes; larger files in an archive are not read."""


def pixels_checksum(pixels: np.ndarray) -> str:
    """Checksum of an image's pixels, whatever the file they are in.

    Parameters
    ----------
    pixels : (rows, columns) uint8 ndarray

    Returns
    -------
    str
        SHA-256 of shape and values.
    """
    digest = hashlib.sha256(f"{pixels.shape}".encode())
    digest.update(np.ascontiguousarray(pixels, np.uint8).tobytes())
    return digest.hexdigest()


def grey_pixels(path: Path) -> np.ndarray | None:
    """The pixels of a plain image as the library reads it.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    (rows, columns) uint8 ndarray, optional
        None for files that are not plain images of 8 bits.
    """
    from expert.imaging.volume import read_volume

    try:
        volume = read_volume(path)
    except InputError:
        return None
    plain = volume.ndim == 2 and volume.data.dtype == np.uint8
    return np.asarray(volume.data) if plain else None


def halved(original: Image) -> Iterator[tuple[str, np.ndarray]]:
    """An image at half its resolution, in every known way.

    Parameters
    ----------
    original : PIL.Image.Image

    Yields
    ------
    method : str
    pixels : (rows, columns) uint8 ndarray
    """
    from PIL.Image import Resampling

    grey = original.convert("L")
    full = np.asarray(grey)
    rows, columns = (n // 2 for n in full.shape)
    blocks = full[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2).astype(np.uint16)
    total = blocks.sum(axis=(1, 3))
    yield "mean of 2×2 pixels, rounded up from a half", ((total + 2) // 4).astype(np.uint8)
    yield "mean of 2×2 pixels, rounded to even", np.rint(total / 4).astype(np.uint8)
    yield "mean of 2×2 pixels, rounded down", (total // 4).astype(np.uint8)
    for start in (0, 1):
        yield f"every second pixel from {start}", full[start::2, start::2]
    sizes = {(columns, rows), ((full.shape[1] + 1) // 2, (full.shape[0] + 1) // 2)}
    for size in sorted(sizes):
        for filter_ in Resampling:
            yield f"Pillow, {filter_.name.lower()}", np.asarray(grey.resize(size, filter_))


def make_from_archive(archive: Path, member: str, checksum: str, target: Path) -> str:
    """Make an image from its original in a ZIP archive.

    Parameters
    ----------
    archive : pathlib.Path
    member : str
        File name in the archive.
    checksum : str
        `pixels_checksum` of the image.
    target : pathlib.Path
        PNG to write.

    Returns
    -------
    str
        How it was made.

    Raises
    ------
    InputError
        The archive does not contain the original, or no known way gives the same pixels.
    """
    from PIL import Image

    try:
        with zipfile.ZipFile(archive) as files:
            if files.getinfo(member).file_size > LARGEST_MEMBER:
                raise InputError(f"{member} in {archive.name} is too large for an image.")
            data = files.read(member)
        with Image.open(io.BytesIO(data)) as original:
            for method, pixels in halved(original):
                if pixels_checksum(pixels) == checksum:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with replacing(target) as temporary:
                        Image.fromarray(pixels).save(temporary)
                    return method
    except (KeyError, OSError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{member} in {archive.name} could not be used ({type(error).__name__}): delete "
            f"{archive} and try again."
        ) from error
    raise InputError(
        f"{target.name} could not be made from its public original: no known way to halve it gives "
        "the pixels that the model was trained on."
    )
