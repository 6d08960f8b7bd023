"""Pixels of DICOM files as grey values: decoded, rescaled, upright in brightness."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from expert.errors import InputError
from expert.imaging.dicom.headers import PIXELS, DicomFile, Frame, number

PADDING_APART = 255
"""Padding that is nearer to the other values is left as it is: it is background."""
LUMINANCE = np.array([0.299, 0.587, 0.114])
"""Weights of red, green and blue (ITU-R 601), as of plain images."""


def stored_bytes(frame: Frame) -> bytes:
    """The stored pixels of a frame, to compare it with others.

    Parameters
    ----------
    frame : Frame

    Returns
    -------
    bytes
        Of the whole file where its frames are compressed.
    """
    dataset = _dataset(frame.file)
    content = next((bytes(dataset[tag].value) for tag in PIXELS if tag in dataset), b"")
    count = int(number(dataset, "NumberOfFrames") or 1)
    if count == 1 or dataset.file_meta.TransferSyntaxUID.is_compressed:
        return content
    size = len(content) // count
    return content[frame.index * size : (frame.index + 1) * size]


def grey_values(frames: Sequence[Frame]) -> np.ndarray:
    """Decode slices.

    Parameters
    ----------
    frames : sequence of Frame
        Of equal size.

    Returns
    -------
    (slices, rows, columns) ndarray
        Whole numbers in the smallest type that holds them if all slices are, else float32.

    Raises
    ------
    InputError
        A file is damaged, or its compression is not supported.
    """
    by_file: dict[DicomFile, list[int]] = defaultdict(list)
    for n, frame in enumerate(frames):
        by_file[frame.file].append(n)
    slices: list[np.ndarray | None] = [None] * len(frames)
    for file, wanted in by_file.items():
        for n, pixels in zip(
            wanted, _of_file(file, [frames[n].index for n in wanted]), strict=True
        ):
            slices[n] = pixels
    found = [one for one in slices if one is not None]
    kind = np.result_type(*{one.dtype for one in found})
    if kind.kind not in "iu":
        kind = np.dtype(np.float32)
    out = np.empty((len(found), *found[0].shape), dtype=kind)
    for n, one in enumerate(found):
        out[n] = one
    return out


def _dataset(file: DicomFile) -> Any:
    import pydicom

    dataset = pydicom.dcmread(file.path, force=True)
    if getattr(dataset.file_meta, "TransferSyntaxUID", None) is None:
        # Files without a header of their own are in the default encoding.
        explicit = not dataset.original_encoding[0]
        dataset.file_meta.TransferSyntaxUID = (
            pydicom.uid.ExplicitVRLittleEndian if explicit else pydicom.uid.ImplicitVRLittleEndian
        )
    return dataset


def _of_file(file: DicomFile, indices: list[int]) -> list[np.ndarray]:
    """Frames of a file."""
    try:
        dataset = _dataset(file)
        pixels, rescaled = _decoded(dataset, file)
        return [_finished(pixels[index], dataset, index, rescaled, file.name) for index in indices]
    except InputError:
        raise
    except Exception as error:  # pydicom raises many kinds for damaged files
        raise InputError(
            f"The pixels of {file.name} could not be read: the file is incomplete or damaged."
        ) from error


def _decoded(dataset: Any, file: DicomFile) -> tuple[np.ndarray, bool]:
    """(frames, rows, columns[, colours]), and whether the values are already rescaled."""
    from pydicom.pixels.processing import apply_color_lut

    compressed = dataset.file_meta.TransferSyntaxUID.is_compressed
    frames = int(number(dataset, "NumberOfFrames") or 1)
    shape = (frames, int(dataset.Rows), int(dataset.Columns))
    rescaled = False
    try:
        if not compressed:  # pydicom assumes that the bits of the image are the lowest ones
            dataset.pixel_array_options(correct_unused_bits=False)
        pixels = dataset.pixel_array
        if dataset.PhotometricInterpretation == "PALETTE COLOR":
            pixels = apply_color_lut(pixels, dataset)
    except Exception:  # pydicom raises many kinds where it lacks a decoder
        if not compressed:
            raise
        pixels, rescaled = _decoded_by_sitk(dataset, file), True
    return pixels.reshape(*shape, *([-1] if pixels.size > np.prod(shape) else [])), rescaled


def _decoded_by_sitk(dataset: Any, file: DicomFile) -> np.ndarray:
    """Pixels by SimpleITK, which decodes lossless JPEG and JPEG-LS, too."""
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        return np.asarray(
            sitk.GetArrayFromImage(sitk.ReadImage(str(file.path), imageIO="GDCMImageIO"))
        )
    except RuntimeError as error:
        syntax = dataset.file_meta.TransferSyntaxUID.name
        raise InputError(
            f"The pixels of {file.name} could not be decompressed ({syntax}): the file is damaged, "
            "or must be saved without compression."
        ) from error


def _finished(
    pixels: np.ndarray, dataset: Any, index: int, rescaled: bool, name: str
) -> np.ndarray:
    """Grey values of a frame."""
    if pixels.ndim == 3:
        return _luminance(pixels)
    bits = int(number(dataset, "BitsStored") or 16)
    signed = bool(number(dataset, "PixelRepresentation"))
    if pixels.dtype.kind in "iu" and not rescaled:
        pixels = _without_padding(_without_overlay(pixels, dataset, bits, signed), dataset)
    slope, intercept = (1.0, 0.0) if rescaled else _rescale(dataset, index, name)
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1":
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        if rescaled or pixels.dtype.kind == "f":
            low, high = pixels.min(), pixels.max()
        pixels = (low + high) - pixels.astype(np.float64 if pixels.dtype.kind == "f" else np.int64)
    if slope == 1 and intercept == 0:
        return _smallest(pixels, dataset)
    scaled = pixels.astype(np.float64) * slope + intercept
    if float(slope).is_integer() and float(intercept).is_integer() and pixels.dtype.kind in "iu":
        return _smallest(scaled.astype(np.int64), dataset)
    return scaled.astype(np.float32)


def _smallest(pixels: np.ndarray, dataset: Any) -> np.ndarray:
    """Whole numbers in the stored type, or in the next one that holds them."""
    if pixels.dtype.kind not in "iu" or pixels.dtype.itemsize < 8:
        return pixels
    stored = int(number(dataset, "BitsAllocated") or 16)
    low, high = int(pixels.min()), int(pixels.max())
    for kind in (np.uint8, np.int16, np.uint16, np.int32):
        limits = np.iinfo(kind)
        if limits.bits >= min(stored, 32) and limits.min <= low and high <= limits.max:
            return pixels.astype(kind)
    return pixels.astype(np.float32)


def _without_overlay(pixels: np.ndarray, dataset: Any, bits: int, signed: bool) -> np.ndarray:
    """Only the bits of the image: old files keep overlays in the others."""
    allocated = int(number(dataset, "BitsAllocated") or 8 * pixels.dtype.itemsize)
    high = int(number(dataset, "HighBit") or bits - 1)
    if bits >= allocated:
        return pixels
    values = (pixels.astype(np.int64) >> max(high + 1 - bits, 0)) & (2**bits - 1)
    if signed:
        values = np.where(values >= 2 ** (bits - 1), values - 2**bits, values)
    out: np.ndarray = values.astype(pixels.dtype)
    return out


def _without_padding(pixels: np.ndarray, dataset: Any) -> np.ndarray:
    """Values outside the field of view become the lowest of the others if they are far from all."""
    padding = number(dataset, "PixelPaddingValue")
    if padding is None or not (pixels == padding).any() or (pixels == padding).all():
        return pixels
    inside = pixels[pixels != padding]
    low, high = int(inside.min()), int(inside.max())
    far = max(low - padding, padding - high) > max(high - low, PADDING_APART)
    return np.where(pixels == padding, inside.min(), pixels) if far else pixels


def _rescale(dataset: Any, index: int, name: str) -> tuple[float, float]:
    """Slope and intercept of a frame."""
    places = [dataset]
    frames = dataset.get("PerFrameFunctionalGroupsSequence")
    for group in ([frames[index]] if frames else []) + list(
        dataset.get("SharedFunctionalGroupsSequence") or []
    ):
        places = [*(group.get("PixelValueTransformationSequence") or []), *places]
    source = next((place for place in places if place.get("RescaleSlope") is not None), None)
    if source is None:
        return 1.0, 0.0
    slope, intercept = number(source, "RescaleSlope"), number(source, "RescaleIntercept")
    if not slope or (intercept is None and source.get("RescaleIntercept") is not None):
        raise InputError(f"{name} states a rescale slope that cannot be used: it is damaged.")
    return slope, intercept or 0.0


def _luminance(pixels: np.ndarray) -> np.ndarray:
    """Grey values of colours, of 8 bits as of a plain image."""
    if pixels.dtype == np.uint8:
        from PIL import Image

        return np.asarray(Image.fromarray(np.ascontiguousarray(pixels[..., :3])).convert("L"))
    deepest = max(int(pixels.max()), 255)
    values = pixels[..., :3].astype(np.float64) @ LUMINANCE
    return np.asarray(np.rint(values * (255 / (65535 if deepest > 255 else 255))), np.uint8)
