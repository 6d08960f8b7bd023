"""`Volume`: an image with its place in space, and readers and writers of common formats."""

from __future__ import annotations

import hashlib
import os
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from expert.errors import InputError
from expert.schema import RESEARCH_USE

NIFTI = (".nii", ".nii.gz", ".img", ".hdr")
NRRD = (".nrrd", ".nhdr")
PLAIN = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


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
    """Processing steps, in order; never a name or a path."""

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
        if abs(np.linalg.det(self.affine[:3, :3])) < 1e-9:
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


def read_volume(path: str | os.PathLike[str], *, pixel_size_mm: float | None = None) -> Volume:
    """Read an image: NIfTI, NRRD, a folder with one DICOM series, or a 2D PNG, TIFF or JPEG.

    Parameters
    ----------
    path : path-like
        File or folder.
    pixel_size_mm : float, optional
        Pixel size of a plain 2D image, which does not store it.

    Returns
    -------
    Volume

    Raises
    ------
    InputError
        The file is missing, damaged, empty, of an unknown format, or not a single volume.
    """
    source = Path(path)
    name = source.name.lower()
    if not source.exists():
        raise InputError(f"The file {source} does not exist: check the path.")
    if pixel_size_mm is not None and not (np.isfinite(pixel_size_mm) and pixel_size_mm > 0):
        raise InputError(
            f"The pixel size of {source.name} must be a positive number of mm, not {pixel_size_mm}."
        )
    try:
        if source.is_dir():
            volume = _read_dicom(source)
        elif name.endswith(NIFTI):
            volume = _read_nifti(source)
        elif name.endswith(NRRD):
            volume = _read_sitk(source)
        elif name.endswith(PLAIN):
            volume = _read_plain(source, pixel_size_mm)
        else:
            raise InputError(
                f"{source.name} has an unknown format: open NIfTI (.nii, .nii.gz), NRRD, "
                "PNG, TIFF, JPEG, or a DICOM folder."
            )
    except InputError:
        raise
    except (OSError, EOFError, ValueError, RuntimeError, zlib.error, SyntaxError) as error:
        raise InputError(
            f"{source.name} could not be read: it is damaged, or its content does not match its "
            "extension."
        ) from error
    return _checked(volume, source.name)


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


def _read_nifti(source: Path) -> Volume:
    import nibabel as nib
    from nibabel.filebasedimages import ImageFileError

    try:
        image: Any = nib.load(source)
    except ImageFileError as error:
        raise InputError(
            f"{source.name} is not a NIfTI file: its content does not match its extension."
        ) from error
    shape = image.shape
    if len(shape) > 3 and any(n != 1 for n in shape[3:]):
        raise InputError(
            f"{source.name} contains {int(np.prod(shape[3:]))} volumes "
            f"({'×'.join(map(str, shape))}): save one of them as a file."
        )
    data = np.asarray(image.dataobj)
    data = data.reshape(shape[:3]) if len(shape) > 3 else data
    if data.dtype.kind == "f":
        data = data.astype(np.float32)
    known = bool(image.header.get("sform_code", 1)) or bool(image.header.get("qform_code", 1))
    if data.ndim == 3 and data.shape[2] == 1:
        zooms = np.linalg.norm(image.affine[:3, :2], axis=0)
        return Volume(
            data[:, :, 0], np.diag([*zooms, 1.0, 1.0]), "image", history=("NIfTI, single slice",)
        )
    return Volume(
        data,
        np.asarray(image.affine, dtype=float),
        "ras" if known else "unknown",
        history=("NIfTI",),
    )


def _from_sitk(image: Any, kind: str) -> Volume:
    import SimpleITK as sitk

    if image.GetNumberOfComponentsPerPixel() > 1:
        raise InputError(
            f"This {kind} contains {image.GetNumberOfComponentsPerPixel()} values per voxel: a "
            "single grey value is required."
        )
    data = sitk.GetArrayFromImage(image).T  # SimpleITK's arrays are z, y, x
    if image.GetDimension() == 2:
        return Volume(
            data.T, np.diag([*image.GetSpacing()[::-1], 1.0, 1.0]), "image", history=(kind,)
        )
    if image.GetDimension() != 3:
        raise InputError(f"This {kind} has {image.GetDimension()} axes: save a single volume.")
    lps = np.eye(4)
    lps[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    lps[:3, 3] = image.GetOrigin()
    return Volume(data, LPS_TO_RAS @ lps, "ras", history=(kind,))


def _read_sitk(source: Path) -> Volume:
    import SimpleITK as sitk

    return _from_sitk(sitk.ReadImage(str(source)), "NRRD")


def _read_dicom(source: Path) -> Volume:
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    series = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(source))
    if not series:
        raise InputError(
            f"The folder {source.name} contains no DICOM image: choose the folder with the "
            "files of one series."
        )
    files = {one: sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(source), one) for one in series}
    if len(files) > 1:
        counts = ", ".join(str(len(names)) for names in files.values())
        raise InputError(
            f"The folder {source.name} contains {len(files)} DICOM series (of {counts} "
            "files): copy one into a folder of its own."
        )
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(next(iter(files.values())))
    image = reader.Execute()
    if image.GetDimension() == 3 and image.GetSize()[2] == 1:
        image = image[:, :, 0]
    return _from_sitk(image, "DICOM series")


def _read_plain(source: Path, pixel_size_mm: float | None) -> Volume:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(source) as image:
            if getattr(image, "n_frames", 1) > 1:
                raise InputError(
                    f"{source.name} contains {getattr(image, 'n_frames', 1)} images: save "
                    "one of them as a file."
                )
            sixteen = image.mode.startswith(("I", "F"))
            data = np.asarray(image if sixteen else image.convert("L"))
    except UnidentifiedImageError as error:
        raise InputError(
            f"{source.name} is not an image: its content does not match its extension."
        ) from error
    size = 1.0 if pixel_size_mm is None else pixel_size_mm
    return Volume(
        data, np.diag([size, size, 1.0, 1.0]), "image", pixel_size_mm is not None, ("plain image",)
    )


def write_volume(volume: Volume, path: str | os.PathLike[str]) -> Path:
    """Write a 3D volume as NIfTI (.nii, .nii.gz), or a 2D image as PNG.

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
            nib.save(image, target)
        elif volume.ndim == 2 and name.endswith(".png"):
            from PIL import Image

            Image.fromarray(np.clip(volume.data, 0, 255).astype(np.uint8)).save(target)
        else:
            raise InputError(
                f"{target.name}: volumes can be written as .nii or .nii.gz, 2D images as .png."
            )
    except OSError as error:
        raise InputError(f"{target} could not be written: {error.strerror or error}.") from error
    return target
