"""Synthetic DICOM files: the slices of an array, in every way that files come from a scanner."""

from __future__ import annotations

import zipfile

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

MR, ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1"
US, CAPTURE = "1.2.840.10008.5.1.4.1.1.6.1", "1.2.840.10008.5.1.4.1.1.7"
STUDY = generate_uid()
NAME, IDENTIFIER, DATE = "Doe^Jane", "ID4711", "19610412"


def head(shape=(9, 11, 14), spacing=(2.0, 1.5, 1.2)):
    """Random voxels, (i, j, k) int16, and their affine to RAS mm."""
    data = np.random.default_rng(0).integers(0, 900, shape).astype(np.int16)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = [-7, -20, 30]
    return data, affine


def dataset(pixels, number=1, sop_class=MR, series="", **tags):
    """One file: pixels (rows, columns) or (rows, columns, 3), and any tags by keyword."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, generate_uid()
    meta.TransferSyntaxUID, meta.ImplementationClassUID = ExplicitVRLittleEndian, generate_uid()
    file = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    file.SOPClassUID, file.SOPInstanceUID = sop_class, meta.MediaStorageSOPInstanceUID
    file.StudyInstanceUID, file.SeriesInstanceUID = STUDY, series or generate_uid()
    file.PatientName, file.PatientID, file.PatientBirthDate = NAME, IDENTIFIER, DATE
    file.Modality, file.SeriesNumber, file.InstanceNumber = "MR", 3, number
    file.Rows, file.Columns = pixels.shape[:2]
    colours = pixels.ndim == 3
    file.SamplesPerPixel = 3 if colours else 1
    file.PhotometricInterpretation = "RGB" if colours else "MONOCHROME2"
    if colours:
        file.PlanarConfiguration = 0
    bits = 8 * pixels.dtype.itemsize
    file.BitsAllocated, file.BitsStored, file.HighBit = bits, bits, bits - 1
    file.PixelRepresentation = int(pixels.dtype.kind == "i")
    file.PixelData = np.ascontiguousarray(pixels).tobytes()
    for keyword, value in tags.items():
        setattr(file, keyword, value)
    return file


def series(data=None, affine=None, **tags):
    """The slices along the last axis of an array, in the order of the axis."""
    if data is None:
        data, affine = head()
    lps = np.diag([-1.0, -1, 1, 1]) @ affine
    steps = np.linalg.norm(lps[:3, :3], axis=0)
    tags = {"series": generate_uid(), **tags}
    out = []
    for k in range(data.shape[2]):
        file = dataset(data[:, :, k].T, k + 1, **tags)
        file.ImagePositionPatient = [f"{v:.6f}" for v in (lps @ [0, 0, k, 1])[:3]]
        directions = [*(lps[:3, 0] / steps[0]), *(lps[:3, 1] / steps[1])]
        file.ImageOrientationPatient = [f"{v:.9f}" for v in directions]
        file.PixelSpacing = [f"{steps[1]:.6f}", f"{steps[0]:.6f}"]
        file.SliceThickness = f"{steps[2]:.6f}"
        out.append(file)
    return out


def changed(files, factor=2, first_number=1, **tags):
    """The same slices with other pixels and tags, as files of their own."""
    out = []
    for n, file in enumerate(files):
        copy = pydicom.dcmread(as_bytes(file))
        copy.SOPInstanceUID = copy.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        copy.PixelData = (factor * np.frombuffer(file.PixelData, np.int16)).astype("<i2").tobytes()
        copy.InstanceNumber = first_number + n
        for keyword, value in tags.items():
            setattr(copy, keyword, value)
        out.append(copy)
    return out


def as_bytes(file):
    import io

    stream = io.BytesIO()
    file.save_as(stream, enforce_file_format=True)
    stream.seek(0)
    return stream


def write(folder, files, name="IM{:04d}.dcm"):
    """Write files into a folder, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for n, file in enumerate(files, 1):
        file.save_as(folder / name.format(n), enforce_file_format=True)
    return folder


def enhanced(files, **frame_tags):
    """All slices as frames of one file; frame_tags: functional group to one dataset per frame."""
    first = files[0]
    file = dataset(np.zeros((2, 2), np.int16), 1, ENHANCED_MR, SeriesNumber=3)
    file.Rows, file.Columns, file.NumberOfFrames = first.Rows, first.Columns, len(files)
    shared, measures, plane = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = first.PixelSpacing, first.SliceThickness
    plane.ImageOrientationPatient = first.ImageOrientationPatient
    shared.PixelMeasuresSequence = Sequence([measures])
    shared.PlaneOrientationSequence = Sequence([plane])
    file.SharedFunctionalGroupsSequence = Sequence([shared])
    frames = []
    for n, one in enumerate(files):
        frame, place, content = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = one.ImagePositionPatient
        content.StackID, content.InStackPositionNumber = "1", one.InstanceNumber
        frame.PlanePositionSequence = Sequence([place])
        frame.FrameContentSequence = Sequence([content])
        for group, items in frame_tags.items():
            setattr(frame, group, Sequence([items[n]]))
        frames.append(frame)
    file.PerFrameFunctionalGroupsSequence = Sequence(frames)
    file.PixelData = b"".join(one.PixelData for one in files)
    return file


def ultrasound(colours=False, **tags):
    """One ultrasound image of 60 × 80 pixels."""
    pixels = np.random.default_rng(1).integers(0, 255, (60, 80)).astype(np.uint8)
    pixels = np.dstack([pixels] * 3) if colours else pixels
    return dataset(pixels, 1, US, Modality="US", **tags)


def region(delta_cm=0.015, box=(0, 0, 79, 59), **tags):
    """An item of SequenceOfUltrasoundRegions."""
    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType = 1, 1
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3
    item.PhysicalDeltaX = item.PhysicalDeltaY = delta_cm
    item.RegionLocationMinX0, item.RegionLocationMinY0 = box[:2]
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = box[2:]
    for keyword, value in tags.items():
        setattr(item, keyword, value)
    return item


def archive(path, folder, prefix=""):
    """Pack all files of a folder, with the prefix before their names."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                packed.write(file, prefix + file.relative_to(folder).as_posix())
    return path
