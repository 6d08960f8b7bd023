"""`Volume`: an image with its place in space, and readers and writers of common formats."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from expert.errors import ExpertError, InputError
from expert.files import replacing
from expert.imaging.formats.stored import StoredImage, printable
from expert.schema import RESEARCH_USE

LARGEST_MM = 1e7
"""No voxel is farther from the origin than 10 km."""
LARGEST_RATIO = 1e6
"""Largest condition number of an affine."""


@dataclass(frozen=True, eq=False)
class Volume:
    """An array and the positions of its voxels.

    A head's `affine` takes voxel indices (i, j, k) to mm in RAS+ world space (right, anterior,
    superior); that of a plain 2D image is the pixel size on the diagonal, without anatomical
    meaning.
    """

    data: np.ndarray
    """(i, j, k) or (row, column)."""
    affine: np.ndarray
    """(4, 4)."""
    space: Literal["ras", "image", "unknown"] = "ras"
    """"ras": a head, "image": a plain 2D image, "unknown": a 3D array of unknown orientation."""
    spacing_known: bool = True
    history: tuple[str, ...] = field(default=())
    """Processing steps, in order; never a name, a date or a path."""
    assumed: tuple[str, ...] = field(default=())
    """What the reader chose, repaired or assumed, in sentences; never a name, a date or a path."""
    doubts: tuple[str, ...] = field(default=())
    """What may be wrong with the image as it was read, in sentences."""

    def __post_init__(self) -> None:
        if self.data.ndim not in (2, 3):
            raise InputError(
                f"An image must have 2 or 3 axes, this one has {self.data.ndim}: choose a single "
                "volume."
            )
        if self.data.size == 0 or min(self.data.shape) < 2:
            raise InputError(
                f"The image has {'×'.join(map(str, self.data.shape))} voxels: at least 2 per axis "
                "are required."
            )
        if self.affine.shape != (4, 4) or not np.isfinite(self.affine).all():
            raise InputError(
                "The image's position in space is damaged (its affine is not a finite 4×4 matrix)."
            )
        matrix = self.affine[:3, :3]
        far = np.abs(self.affine).max() > LARGEST_MM
        if far or abs(np.linalg.det(matrix)) < 1e-9 or np.linalg.cond(matrix) > LARGEST_RATIO:
            raise InputError(
                "The image's position in space is damaged (its affine cannot be inverted)."
            )

    @classmethod
    def from_array(
        cls,
        data: np.ndarray,
        affine: np.ndarray | None = None,
        spacing: tuple[float, ...] | None = None,
    ) -> Volume:
        """Create a volume from an array.

        Parameters
        ----------
        data : (i, j, k) or (row, column) ndarray
        affine : (4, 4) ndarray, optional
            Voxel indices to RAS mm; without it, the orientation of a 3D array is unknown.
        spacing : tuple[float, ...], optional
            Voxel size in mm per axis, if there is no affine.

        Returns
        -------
        Volume
        """
        data = np.asarray(data)
        if affine is not None:
            return cls(data, np.asarray(affine, dtype=float), "image" if data.ndim == 2 else "ras")
        matrix = np.eye(4)
        if spacing is not None:
            matrix[range(data.ndim), range(data.ndim)] = spacing
        return cls(data, matrix, "image" if data.ndim == 2 else "unknown", spacing is not None)

    @property
    def said(self) -> tuple[str, ...]:
        """Doubts and assumptions of the reader, in sentences."""
        return (*self.doubts, *self.assumed)

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels per axis."""
        return tuple(self.data.shape)

    @property
    def ndim(self) -> int:
        """2 or 3."""
        return self.data.ndim

    @property
    def spacing(self) -> tuple[float, ...]:
        """Voxel size, mm per axis of the array."""
        return tuple(float(np.linalg.norm(self.affine[:3, axis])) for axis in range(self.ndim))

    def fingerprint(self) -> str:
        """SHA-256 checksum of the voxels in canonical orientation.

        The same for the same image in another file format or axis order.
        """
        data = np.ascontiguousarray(self.canonical().data)
        digest = hashlib.sha256(f"{data.dtype.str} {data.shape}".encode())
        digest.update(data.tobytes())
        return digest.hexdigest()

    def canonical(self) -> Volume:
        """The same voxels with array axes closest to R, A, S.

        Axes are flipped and permuted; nothing is resampled.
        """
        import nibabel as nib

        if self.ndim != 3:
            return self
        orientation = nib.io_orientation(self.affine)
        data = nib.apply_orientation(self.data, orientation)
        affine = self.affine @ nib.orientations.inv_ornt_aff(orientation, self.data.shape)
        return replace(self, data=data, affine=affine, history=(*self.history, "axes to RAS"))


def read_volume(
    path: str | os.PathLike[str],
    *,
    pixel_size_mm: float | None = None,
    series: int | str | None = None,
) -> Volume:
    """Read an image: NIfTI, NRRD, FreeSurfer, DICOM, or a 2D PNG, TIFF, JPEG or BMP.

    Parameters
    ----------
    path : path-like
        A file, a folder with DICOM files, one file of a DICOM series, a DICOMDIR or a ZIP archive.
    pixel_size_mm : float, optional
        Pixel size of a 2D image, used instead of the one that its file may state.
    series : int or str, optional
        Which DICOM series of a folder: its number in `expert.imaging.dicom.list_series`, or its
        UID.

    Returns
    -------
    Volume

    Raises
    ------
    InputError
        The file is missing, damaged, empty, of an unknown format, or not a single volume.
    SeriesChoiceError
        There are several DICOM series to choose from.
    """
    source = Path(path)
    try:
        exists = source.exists()
    except (OSError, ValueError):  # a name that is too long or has impossible characters
        exists = False
    if not exists and _is_link(source):
        raise InputError(
            f"{printable(source.name)} is a link to a file that is not there: download or copy the "
            "file (git annex get, datalad get)."
        )
    if not exists:
        raise InputError(f"The file {printable(source, 200)} does not exist: check the path.")
    if not (source.is_file() or source.is_dir()):
        raise InputError(f"{printable(source.name)} is neither a file nor a folder: save a file.")
    if pixel_size_mm is not None and not (np.isfinite(pixel_size_mm) and pixel_size_mm > 0):
        raise InputError(
            f"The pixel size of {source.name} must be a positive number of mm, not {pixel_size_mm}."
        )
    try:
        stored = _stored(source, pixel_size_mm, series)
        volume = Volume(
            stored.data,
            stored.affine,
            stored.space,
            stored.spacing_known,
            (stored.kind, *stored.assumed, *stored.doubts),
            stored.assumed,
            stored.doubts,
        )
    except ExpertError:
        raise
    except Exception as error:  # the libraries raise many kinds for damaged files
        raise InputError(
            f"{source.name} could not be read: it is damaged, or its content does not match its "
            "extension."
        ) from error
    return _checked(_with_pixel_size(volume, pixel_size_mm), source.name)


def _is_link(source: Path) -> bool:
    try:
        return source.is_symlink()
    except (OSError, ValueError):
        return False


def _stored(source: Path, pixel_size_mm: float | None, series: int | str | None) -> StoredImage:
    """The image in a file or folder, by its format."""
    if source.is_dir():
        kind = "dicom"
    else:
        from expert.imaging.formats.recognition import recognise

        kind = recognise(source)
    if kind in ("dicom", "zip"):
        from expert.imaging.dicom.reading import read_dicom

        return read_dicom(source, series)
    if series is not None:
        raise InputError(f"{source.name} is not DICOM: it has no series to choose from.")
    if kind == "plain":
        from expert.imaging.formats.plain import read_plain

        return read_plain(source, pixel_size_mm)
    if kind == "nrrd":
        from expert.imaging.formats.nrrd import read_nrrd

        return read_nrrd(source)
    from expert.imaging.formats.nifti import read_mgh, read_nifti

    return read_mgh(source) if kind == "mgh" else read_nifti(source)


def _with_pixel_size(volume: Volume, pixel_size_mm: float | None) -> Volume:
    """A 2D image with the pixel size that the user gave."""
    if pixel_size_mm is None or volume.ndim != 2:
        return volume
    stated, doubts = volume.spacing, volume.doubts
    if volume.spacing_known and not np.allclose(stated, pixel_size_mm, rtol=0.01):
        text = " × ".join(dict.fromkeys(f"{step:.3g}" for step in stated))
        doubts += (
            f"The file states a pixel size of {text} mm; {pixel_size_mm:g} mm was given and used.",
        )
    affine = np.diag([pixel_size_mm, pixel_size_mm, 1.0, 1.0])
    return replace(volume, affine=affine, spacing_known=True, doubts=doubts)


def _checked(volume: Volume, name: str) -> Volume:
    data = volume.data
    if data.dtype.kind not in "fiub":
        raise InputError(f"{name} contains {data.dtype} values; grey values are required.")
    if data.dtype.kind == "f" and not np.isfinite(data).all():
        if not np.isfinite(data).any():
            raise InputError(f"{name} contains no finite value.")
        data = np.nan_to_num(data, nan=0.0, posinf=0.0, neginf=0.0)
        volume = replace(volume, data=data, history=(*volume.history, "non-finite values set to 0"))
    if data.min() == data.max():
        raise InputError(f"{name} is empty: every value is {data.flat[0]:g}.")
    return volume


def write_volume(volume: Volume, path: str | os.PathLike[str]) -> Path:
    """Write a 3D volume as NIfTI (.nii, .nii.gz), or a 2D image as PNG; completely or not at all.

    Parameters
    ----------
    volume : Volume
    path : path-like

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    InputError
        The extension is another one, or the file cannot be written.
    """
    target = Path(path)
    name = target.name.lower()
    try:
        if volume.ndim == 3 and name.endswith((".nii", ".nii.gz")):
            import nibabel as nib

            data = volume.data.astype(np.uint8) if volume.data.dtype == bool else volume.data
            image = nib.Nifti1Image(data, volume.affine)
            image.header.set_xyzt_units("mm")
            image.header["descrip"] = RESEARCH_USE.encode()
            with replacing(target) as temporary:
                nib.save(image, temporary)
        elif volume.ndim == 2 and name.endswith(".png"):
            from PIL import Image

            with replacing(target) as temporary:
                Image.fromarray(np.clip(volume.data, 0, 255).astype(np.uint8)).save(temporary)
        else:
            raise InputError(
                f"{target.name}: volumes can be written as .nii or .nii.gz, 2D images as .png."
            )
    except OSError as error:
        raise InputError(f"{target} could not be written: {error.strerror or error}.") from error
    return target
