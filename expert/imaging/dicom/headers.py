"""Headers of DICOM files: one `Frame` per slice, and what is wrong with a file."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

KEYWORDS = [
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID",
    "PatientID", "Modality", "SeriesNumber", "SeriesDescription", "InstanceNumber", "ImageType",
    "AcquisitionNumber", "AcquisitionDate", "AcquisitionTime", "AcquisitionDateTime", "ContentTime",
    "EchoNumbers", "EchoTime", "InversionTime", "RepetitionTime", "FlipAngle", "TriggerTime",
    "TemporalPositionIdentifier", "DiffusionBValue", "DiffusionGradientOrientation", "StackID",
    "ComplexImageComponent", "NominalCardiacTriggerDelayTime",
    "SequenceName", "ConvolutionKernel", "SeriesTime", "ReconstructionDiameter",
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness",
    "SpacingBetweenSlices", "SliceLocation", "ImagesInAcquisition", "NumberOfSlices",
    "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation",
    "PixelRepresentation", "BitsAllocated", "BitsStored", "HighBit",
    "ImagerPixelSpacing", "NominalScannedPixelSpacing", "PixelAspectRatio",
    "SequenceOfUltrasoundRegions", "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence", "PixelData", "FloatPixelData", "DoubleFloatPixelData",
]  # fmt: skip
PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
NO_IMAGE = tuple(
    f"1.2.840.10008.{tail}"
    for tail in (
        "1.3.10", "5.1.4.1.1.88.", "5.1.4.1.1.11.", "5.1.4.1.1.104.", "5.1.4.1.1.9.",
        "5.1.4.1.1.66", "5.1.4.1.1.67", "5.1.4.1.1.68", "5.1.4.1.1.4.2", "5.1.4.1.1.481.3",
        "5.1.4.1.1.481.4", "5.1.4.1.1.481.5", "5.1.4.1.1.481.8",
        "5.1.4.34", "5.1.4.38", "5.1.4.43", "5.1.4.45",
    )
)  # fmt: skip
"""Beginnings of the SOP classes of files without an image: reports, presentation states, raw data
and the like."""
DEFLATED = "1.2.840.10008.1.2.1.99"
DIRECTORY = "1.2.840.10008.1.3.10"


@dataclass(frozen=True, eq=False)
class DicomFile:
    """A file that was found, and its header."""

    path: Path
    name: str
    """For messages."""
    header: Any = field(repr=False)
    damage: str = ""
    """What is wrong with it, to follow its name; else empty."""

    def text(self, keyword: str) -> str:
        """A value as text; empty if there is none."""
        value = self.header.get(keyword)
        return "" if value is None else str(value)

    @property
    def has_image(self) -> bool:
        """False for reports, presentation states, and what scanners store beside the images."""
        kind = self.text("SOPClassUID") or str(
            getattr(getattr(self.header, "file_meta", None), "MediaStorageSOPClassUID", "")
        )
        private = bool(kind) and not kind.startswith("1.2.840.10008.")
        return not kind.startswith(NO_IMAGE) and not (private and not self.header.get("Rows"))


@dataclass(frozen=True, eq=False)
class Frame:
    """One slice: a file, or a frame of an enhanced file."""

    file: DicomFile
    index: int
    """Number of the frame in its file, from 0."""
    position: np.ndarray | None
    """(3,) LPS mm of the first pixel."""
    orientation: np.ndarray | None
    """(6,) directions of rows and columns."""
    spacing: tuple[float, float] | None
    """mm between rows and between columns."""
    thickness: float | None
    between: float | None
    """The stated distance between slices, mm."""
    location: float | None
    number: int | None
    """Place in the order of the series."""
    traits: dict[str, Hashable] = field(repr=False)
    """What can distinguish images of the same place, in the order in which it is tried."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return int(self.file.header.Rows), int(self.file.header.Columns)

    @property
    def normal(self) -> np.ndarray:
        """(3,) direction across the slice."""
        assert self.orientation is not None
        return np.cross(self.orientation[:3], self.orientation[3:])


def numbers(source: Any, keyword: str, count: int) -> np.ndarray | None:
    """A value of some finite numbers; None if it is missing or damaged."""
    try:
        value = source.get(keyword)
        array = np.array([float(v) for v in np.atleast_1d(np.array(value, dtype=object))])
    except (TypeError, ValueError, AttributeError, OverflowError):
        return None
    return array if array.shape == (count,) and np.isfinite(array).all() else None


def number(source: Any, keyword: str) -> float | None:
    """A single finite number, or None."""
    value = numbers(source, keyword, 1)
    return None if value is None else float(value[0])


def read_file(path: Path, name: str) -> DicomFile | None:
    """Read the header of a file.

    Parameters
    ----------
    path : pathlib.Path
    name : str
        For messages.

    Returns
    -------
    DicomFile or None
        None for a file without an image.
    """
    import pydicom

    try:
        header = pydicom.dcmread(path, force=True, defer_size=4096, specific_tags=KEYWORDS)
        found = DicomFile(path, name, header)
        if not found.has_image or (not header.preamble and not header.get("Rows")):
            return None
        damage = _damage(header, path)
        if not damage:
            frames_of(found)  # values are only read now, and may be damaged, too
        return replace(found, damage=damage)
    except Exception:  # pydicom raises many kinds for damaged files
        return DicomFile(path, name, pydicom.Dataset(), "is damaged")


def _damage(header: Any, path: Path) -> str:
    """What is wrong with a file that should contain an image."""
    sizes = [number(header, keyword) or 0 for keyword in ("Rows", "Columns")]
    if min(sizes) < 1 or any(size != int(size) for size in sizes):
        return "is incomplete or damaged"
    present = [tag for tag in PIXELS if tag in header]
    if not present:
        return "is incomplete: it contains no pixels"
    element = header.get_item(present[0])
    start, length = getattr(element, "value_tell", None), getattr(element, "length", None)
    syntax = str(getattr(getattr(header, "file_meta", None), "TransferSyntaxUID", ""))
    if syntax == DEFLATED or start is None or length in (None, 0xFFFFFFFF):
        return ""
    return (
        "is incomplete: pixels are missing at its end"
        if (start + length > path.stat().st_size)
        else ""
    )


def frames_of(file: DicomFile) -> list[Frame]:
    """The slices in a file: one, or the frames of an enhanced file.

    Parameters
    ----------
    file : DicomFile

    Returns
    -------
    list of Frame
        One for a film, too: a multi-frame file that states no place for its frames.
    """
    header = file.header
    groups = header.get("PerFrameFunctionalGroupsSequence")
    if groups:
        shared = list(header.get("SharedFunctionalGroupsSequence") or [])
        return [_enhanced(file, n, [frame, *shared]) for n, frame in enumerate(groups)]
    instance = number(header, "InstanceNumber")
    return [
        Frame(
            file,
            0,
            numbers(header, "ImagePositionPatient", 3),
            _orientation(numbers(header, "ImageOrientationPatient", 6)),
            _spacing(header),
            number(header, "SliceThickness"),
            number(header, "SpacingBetweenSlices"),
            number(header, "SliceLocation"),
            None if instance is None else int(instance),
            _traits(header),
        )
    ]


def image_type(header: Any) -> list[str]:
    """The values of ImageType in capitals: ORIGINAL or DERIVED, PRIMARY or SECONDARY, and more."""
    value = header.get("ImageType") or []
    return [str(kind).upper() for kind in ([value] if isinstance(value, str) else value)]


def film_length(frame: Frame) -> int:
    """Number of frames of a file without places for them; 1 for all others."""
    if frame.file.header.get("PerFrameFunctionalGroupsSequence"):
        return 1
    return int(number(frame.file.header, "NumberOfFrames") or 1)


def _orientation(value: np.ndarray | None) -> np.ndarray | None:
    """Two unit vectors at right angles, or None."""
    if value is None:
        return None
    lengths = np.linalg.norm(value.reshape(2, 3), axis=1)
    if not np.allclose(lengths, 1, atol=0.01) or abs(value[:3] @ value[3:]) > 0.01:
        return None
    return np.asarray((value.reshape(2, 3) / lengths[:, None]).ravel())


def _spacing(source: Any, keyword: str = "PixelSpacing") -> tuple[float, float] | None:
    value = numbers(source, keyword, 2)
    return None if value is None or (value <= 0).any() else (float(value[0]), float(value[1]))


def _plain(value: Any) -> Hashable:
    """A header's value to compare: numbers are rounded, lists become tuples."""
    if value is None or isinstance(value, str):
        text = str(value or "").strip()
        try:
            return round(float(text), 3)
        except ValueError:
            return text
    if isinstance(value, Iterable):
        return tuple(_plain(one) for one in value)
    try:
        return round(float(value), 3)
    except (TypeError, ValueError):
        return str(value)


def _traits(header: Any) -> dict[str, Hashable]:
    names = {
        "image type": ("ImageType", "ComplexImageComponent"),
        "echo": ("EchoNumbers", "EchoTime"),
        "b-value": ("DiffusionBValue",),
        "time point": ("TemporalPositionIdentifier",),
        "inversion time": ("InversionTime",),
        "stack": ("StackID",),
        "acquisition": ("AcquisitionNumber",),
        "direction of diffusion": ("DiffusionGradientOrientation",),
        "repetition time": ("RepetitionTime", "FlipAngle"),
        "kernel": ("ConvolutionKernel", "ReconstructionDiameter"),
        "trigger time": ("TriggerTime", "NominalCardiacTriggerDelayTime"),
        "sequence": ("SequenceName", "SeriesDescription"),
        "frame of reference": ("FrameOfReferenceUID",),
        "acquisition time": ("AcquisitionDateTime", "AcquisitionDate", "AcquisitionTime"),
        "series time": ("SeriesTime",),
        "content time": ("ContentTime",),
    }
    return {
        name: tuple(_plain(header.get(keyword)) for keyword in keywords)
        for name, keywords in names.items()
    }


def _enhanced(file: DicomFile, index: int, groups: list[Any]) -> Frame:
    """A frame by its own functional groups and those that all frames share."""

    def item(sequence: str) -> Any:
        for group in groups:
            if group.get(sequence):
                return group[sequence][0]
        return {}

    measures, content = item("PixelMeasuresSequence"), item("FrameContentSequence")
    indices = _plain(content.get("DimensionIndexValues") or [])
    place = content.get("InStackPositionNumber")
    if isinstance(indices, tuple):  # without the one that counts the slices
        indices = tuple(v for v in indices if place is None or v != _plain(place))
    kind: Any = next((i for i in map(item, FRAME_TYPES) if i), {})
    diffusion = item("MRDiffusionSequence")
    traits: dict[str, Hashable] = {
        "image type": (_plain(kind.get("FrameType")), _plain(kind.get("ComplexImageComponent"))),
        "echo": (_plain(item("MREchoSequence").get("EffectiveEchoTime")),),
        "b-value": (_plain(diffusion.get("DiffusionBValue")),),
        "time point": (_plain(content.get("TemporalPositionIndex")),),
        "stack": (_plain(content.get("StackID")),),
        "acquisition": (_plain(content.get("FrameAcquisitionNumber")),),
        "direction of diffusion": (
            _plain(
                (diffusion.get("DiffusionGradientDirectionSequence") or [{}])[0].get(
                    "DiffusionGradientOrientation"
                )
            ),
        ),
        "dimension": (indices,),
        "acquisition time": (_plain(content.get("FrameAcquisitionDateTime")),),
    }
    return Frame(
        file,
        index,
        numbers(item("PlanePositionSequence"), "ImagePositionPatient", 3),
        _orientation(numbers(item("PlaneOrientationSequence"), "ImageOrientationPatient", 6)),
        _spacing(measures),
        number(measures, "SliceThickness"),
        number(measures, "SpacingBetweenSlices"),
        None,
        index + 1,
        traits,
    )


FRAME_TYPES = (
    "MRImageFrameTypeSequence",
    "CTImageFrameTypeSequence",
    "PETFrameTypeSequence",
    "XAXRFFrameCharacteristicsSequence",
)
