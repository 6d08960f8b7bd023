"""Files that cannot be used, and a part of the sentence that says why."""

from __future__ import annotations

import gzip
import struct

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from PIL import Image

SHAPE = (12, 13, 14)


def nifti(folder, name, data, affine=None, **header):
    """A NIfTI file, with values of its header that nibabel would not write."""
    if np.iscomplexobj(data) or data.dtype.kind in "fiu":
        image = nib.Nifti1Image(data, np.eye(4) if affine is None else affine)
    raw = bytearray(image.to_bytes())
    offsets = {"pixdim": (80, "<3f"), "dim": (40, "<8h"), "scl_slope": (112, "<f"),
               "sform_code": (254, "<h"), "qform_code": (252, "<h"), "srow": (280, "<12f")}  # fmt: skip
    for key, value in header.items():
        place, form = offsets[key]
        struct.pack_into(form, raw, place, *np.atleast_1d(value).tolist())
    path = folder / name
    path.write_bytes(gzip.compress(bytes(raw), 1) if name.endswith(".gz") else bytes(raw))
    return path


def bad_files(folder):
    """Write all files into a folder; returns name → part of the message."""
    random = np.random.default_rng(0)
    good = random.integers(1, 900, SHAPE).astype(np.int16)
    real = random.random(SHAPE).astype(np.float32)
    out = {"missing.nii.gz": "does not exist", "a" * 300 + ".nii": "does not exist"}

    def add(name, part, content=None):
        if content is not None:
            (folder / name).write_bytes(content)
        out[name] = part

    (folder / "empty folder").mkdir()
    add("empty folder", "contains no DICOM image")
    add("empty.nii.gz", "0 bytes", b"")
    add("text.nii.gz", "does not match its extension", b"this is no image" * 50)
    add("text.dcm", "does not match its extension", b"this is no image" * 50)
    add("page.nii.gz", "web page", b"<!DOCTYPE html><html>404</html>")
    add("pointer.nii.gz", "Git LFS", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    add("note.docx", "unknown format", b"x" * 400)
    add("alone.img", "header file", b"\1" * 1000)
    packed = gzip.compress(nib.Nifti1Image(good, np.eye(4)).to_bytes())
    add("cut.nii.gz", "could not be read", packed[: len(packed) // 2])
    add("cut short.nii.gz", "could not be read", packed[:20])
    raw = nib.Nifti1Image(good, np.eye(4)).to_bytes()
    add("cut.nii", "could not be read", raw[:2000])
    add("header only.nii", "could not be read", raw[:352])
    add("magic.nii", "could not be read", raw[:344] + b"xxxx" + raw[348:])
    huge = [3, 10_000, 10_000, 10_000, 1, 1, 1, 1]
    for name in ("huge.nii", "huge.nii.gz"):
        nifti(folder, name, good, dim=huge)
        add(name, "at most 256 million")
    nifti(folder, "no slices.nii", good, dim=[3, 12, 13, 0, 1, 1, 1, 1])
    add("no slices.nii", "contains no image")
    for name, sizes in (("negative.nii", (-1, 1, 1)), ("not a number.nii", (np.nan, 1, 1))):
        nifti(folder, name, good, pixdim=sizes)
        add(name, "voxel size")
    nifti(folder, "singular.nii", good, srow=np.zeros(12))
    add("singular.nii", "position in space is damaged")
    nifti(folder, "infinite affine.nii", good, srow=np.full(12, np.inf))
    add("infinite affine.nii", "position in space is damaged")
    nifti(folder, "infinite scale.nii", good, scl_slope=np.inf)
    add("infinite scale.nii", "scale factor")
    nifti(folder, "overflow.nii", good, scl_slope=3e38)
    add("overflow.nii", "values above")
    nifti(folder, "four axes.nii.gz", random.random((*SHAPE, 3)))
    add("four axes.nii.gz", "3 volumes")
    nifti(folder, "complex.nii", (good + 1j * good).astype(np.complex64))
    add("complex.nii", "complex")
    nifti(folder, "zero.nii", np.zeros(SHAPE, np.int16))
    add("zero.nii", "every value is 0")
    nifti(folder, "constant.nii", np.full(SHAPE, 7, np.int16))
    add("constant.nii", "every value is 7")
    nifti(folder, "all nan.nii", np.full(SHAPE, np.nan, np.float32))
    add("all nan.nii", "no finite value")
    nifti(folder, "one line.nii", good[:1])
    add("one line.nii", "at least 2 per axis")
    colours = np.zeros(SHAPE, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    colours["R"], colours["G"] = good % 200, 9
    nib.save(nib.Nifti1Image(colours, np.eye(4)), folder / "colours.nii.gz")
    add("colours.nii.gz", "colours")
    frames = [Image.fromarray((255 * real[:, :, n]).astype(np.uint8)) for n in range(3)]
    frames[0].save(folder / "pages.tif", save_all=True, append_images=frames[1:])
    add("pages.tif", "3 images")
    frames[0].save(folder / "whole.png")
    add("cut.png", "could not be read", (folder / "whole.png").read_bytes()[:120])
    sitk.WriteImage(sitk.GetImageFromArray(good), str(folder / "whole.nrrd"))
    nrrd = (folder / "whole.nrrd").read_bytes()
    add("cut.nrrd", "could not be read", nrrd[: len(nrrd) // 2])
    add("huge.nrrd", "at most 256 million", nrrd.replace(b"sizes: 14 13 12", b"sizes: 9999 9999 9999"))
    mgh = nib.MGHImage(good, np.eye(4)).to_bytes()
    add("cut.mgh", "could not be read", mgh[:1000])
    add("huge.mgh", "at most 256 million", mgh[:4] + struct.pack(">3i", 9999, 9999, 9999) + mgh[16:])
    add("Schädel ümläut 头.nii.gz", "could not be read", packed[:200])
    return out
