"""Files that cannot be used, and a part of the sentence that says why."""

from __future__ import annotations

import gzip
import io
import struct

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from PIL import Image

SHAPE = (12, 13, 14)
GOOD = np.random.default_rng(0).integers(1, 900, SHAPE).astype(np.int16)
FIELDS = {
    "dim": (40, "<8h"),
    "pixdim": (80, "<3f"),
    "scl_slope": (112, "<f"),
    "qform_code": (252, "<h"),
    "sform_code": (254, "<h"),
    "srow": (280, "<12f"),
}
"""Place and form of fields of the NIfTI header."""


def nifti(data=GOOD, **header):
    """The bytes of a NIfTI file, with values in its header that nibabel would not write."""
    raw = bytearray(nib.Nifti1Image(data, np.eye(4)).to_bytes())
    for key, value in header.items():
        place, form = FIELDS[key]
        struct.pack_into(form, raw, place, *np.atleast_1d(value).tolist())
    return bytes(raw)


def colours():
    data = np.zeros(SHAPE, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    data["R"] = GOOD % 200
    return gzip.compress(nib.Nifti1Image(data, np.eye(4)).to_bytes())


def picture(pages, ending):
    images = [Image.fromarray((GOOD[:, :, n] % 256).astype(np.uint8)) for n in range(pages)]
    stream = io.BytesIO()
    more = {"save_all": True, "append_images": images[1:]} if pages > 1 else {}
    images[0].save(stream, ending, **more)
    return stream.getvalue()


def nrrd(folder):
    sitk.WriteImage(sitk.GetImageFromArray(GOOD), str(folder / "whole.nrrd"))
    return (folder / "whole.nrrd").read_bytes()


def mgh():
    return nib.MGHImage(GOOD, np.eye(4)).to_bytes()


def half(content):
    return content[: len(content) // 2]


DAMAGED, HUGE = "could not be read", "at most 256 million"
PLACE = "position in space is damaged"
BAD = {
    "empty.nii.gz": ("0 bytes", lambda folder: b""),
    "text.nii.gz": ("does not match its extension", lambda folder: b"this is no image" * 50),
    "text.dcm": ("does not match its extension", lambda folder: b"this is no image" * 50),
    "page.nii.gz": ("web page", lambda folder: b"<!DOCTYPE html><html>404</html>"),
    "pointer.nii": ("Git LFS", lambda folder: b"version https://git-lfs.github.com/spec/v1\n"),
    "note.docx": ("unknown format", lambda folder: b"x" * 400),
    "alone.img": ("header file", lambda folder: b"\1" * 1000),
    "cut.nii.gz": (DAMAGED, lambda folder: half(gzip.compress(nifti()))),
    "cut short.nii.gz": ("incomplete", lambda folder: gzip.compress(nifti())[:20]),
    "cut.nii": (DAMAGED, lambda folder: half(nifti())),
    "header only.nii": (DAMAGED, lambda folder: nifti()[:352]),
    "magic.nii": (DAMAGED, lambda folder: nifti()[:344] + b"xxxx" + nifti()[348:]),
    "huge.nii": (HUGE, lambda folder: nifti(dim=[3, 10000, 10000, 10000, 1, 1, 1, 1])),
    "huge.nii.gz": (
        HUGE,
        lambda folder: gzip.compress(nifti(dim=[3, 10000, 10000, 10000, 1, 1, 1, 1])),
    ),
    "no slices.nii": ("no image", lambda folder: nifti(dim=[3, 12, 13, 0, 1, 1, 1, 1])),
    "negative.nii": ("voxel size", lambda folder: nifti(pixdim=(-1, 1, 1))),
    "no number.nii": ("voxel size", lambda folder: nifti(pixdim=(np.nan, 1, 1))),
    "singular.nii": (PLACE, lambda folder: nifti(srow=np.zeros(12))),
    "infinite.nii": (PLACE, lambda folder: nifti(srow=np.full(12, np.inf))),
    "far.nii": (PLACE, lambda folder: nifti(srow=[1, 0, 0, 0, 0, 1, 0, 0, 0, 1e38, 1, 0])),
    "flat.nii": (PLACE, lambda folder: nifti(srow=[1, 0, 0, 0, 0, 1, 0, 0, 5e6, 4e6, 1, 0])),
    "infinite scale.nii": ("scale factor", lambda folder: nifti(scl_slope=np.inf)),
    "overflow.nii": ("values above", lambda folder: nifti(scl_slope=3e38)),
    "four axes.nii": ("3 volumes", lambda folder: nifti(np.random.random((*SHAPE, 3)))),
    "complex.nii": ("complex", lambda folder: nifti((GOOD * (1 + 1j)).astype(np.complex64))),
    "colours.nii.gz": ("colours", lambda folder: colours()),
    "zero.nii": ("every value is 0", lambda folder: nifti(0 * GOOD)),
    "constant.nii": ("every value is 7", lambda folder: nifti(0 * GOOD + 7)),
    "nan.nii": ("no finite", lambda folder: nifti(np.full(SHAPE, np.nan, np.float32))),
    "one row.nii": ("at least 2 per axis", lambda folder: nifti(GOOD[:1])),
    "pages.tif": ("3 images", lambda folder: picture(3, "TIFF")),
    "cut.png": (DAMAGED, lambda folder: half(picture(1, "PNG"))),
    "cut.nrrd": (DAMAGED, lambda folder: half(nrrd(folder))),
    "huge.nrrd": (
        HUGE,
        lambda folder: nrrd(folder).replace(b"sizes: 14 13 12", b"sizes: 9999 9999 9999"),
    ),
    "cut.mgh": (DAMAGED, lambda folder: half(mgh())),
    "huge.mgh": (
        HUGE,
        lambda folder: mgh()[:4] + struct.pack(">3i", 9999, 9999, 9999) + mgh()[16:],
    ),
    "Schädel ümläut 头.nii.gz": (DAMAGED, lambda folder: half(gzip.compress(nifti()))),
    f"{'a' * 300}.nii": ("does not exist", None),
    f"{'a/' * 2000}a.nii": ("does not exist", None),
    "missing.nii.gz": ("does not exist", None),
    "folder": ("contains no DICOM image", None),
}
"""Name → part of the message, and what makes the content; None for what is no file."""


def bad_file(folder, name):
    """Write one of the files, and return its path."""
    content = BAD[name][1]
    if content is not None:
        (folder / name).write_bytes(content(folder))
    elif name == "folder":
        (folder / name).mkdir()
    return folder / name
