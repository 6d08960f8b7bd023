"""A file is what its content says, whatever its name."""

from __future__ import annotations

import bz2
import gzip
import lzma

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from expert.errors import InputError
from expert.imaging.formats.recognition import beginning, beside, is_dicom, is_nifti, recognise
from expert.imaging.volume import read_volume


@pytest.fixture
def raw():
    return nib.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.eye(4)).to_bytes()


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.NII", "a.mgz", "a.dcm", "a.bin", "brain"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_nifti_file_is_read_whatever_its_name(raw, tmp_path, name, packed):
    path = tmp_path / name
    path.write_bytes(gzip.compress(raw) if packed else raw)
    assert recognise(path) == "nifti"
    assert read_volume(path).shape == (3, 4, 5)


def test_images_are_read_whatever_their_name(tmp_path):
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8)).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert recognise(tmp_path / "a.jpg") == "plain"
    assert read_volume(tmp_path / "a.jpg").shape == (6, 8)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "0 bytes"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"\n<html><head>", "web page"),
        (b"something else", "does not match its extension"),
        (gzip.compress(b"short"), "damaged or incomplete"),
    ],
)
def test_other_files_are_named_for_what_they_are(tmp_path, content, part):
    (tmp_path / "a.nii.gz").write_bytes(content)
    with pytest.raises(InputError, match=part):
        recognise(tmp_path / "a.nii.gz")


def test_dicom_files_may_begin_like_other_files(tmp_path):
    for beginning_of_other in (b"II*\0", b"MM\0*", (348).to_bytes(4, "little"), b"\x89PNG"):
        content = beginning_of_other.ljust(128, b"\0") + b"DICM" + b"x" * 500
        (tmp_path / "a.dcm").write_bytes(content)
        assert recognise(tmp_path / "a.dcm") == "dicom"


def test_a_packed_dicom_file_is_named(tmp_path):
    (tmp_path / "a.dcm.gz").write_bytes(gzip.compress(b"\0" * 128 + b"DICM" + b"x" * 500))
    with pytest.raises(InputError, match="compressed DICOM file"):
        recognise(tmp_path / "a.dcm.gz")


def test_the_beginning_of_a_damaged_file_is_short(tmp_path, raw):
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(raw))
    assert is_nifti(beginning(tmp_path / "a.nii.gz"))
    (tmp_path / "a.nii.gz").write_bytes(b"\x1f\x8b" + b"x" * 30)
    assert not is_nifti(beginning(tmp_path / "a.nii.gz"))
    assert beginning(tmp_path / "missing") == b""


def test_dicom_with_and_without_its_preamble():
    assert is_dicom(b"\0" * 128 + b"DICM")
    assert is_dicom(b"\x08\0\x05\0" + b"x" * 200)
    assert not is_dicom(b"\x08\0\x05\0")
    assert not is_dicom(b"x" * 200)


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("a.nii.bz2", bz2.compress(b"x" * 900), "an archive: unpack it"),
        ("a.nii.xz", lzma.compress(b"x" * 900), "an archive: unpack it"),
        ("a.7z", b"7z\xbc\xaf\x27\x1c".ljust(900), "an archive: unpack it"),
        ("a.tar", b"x".ljust(257, b"\0") + b"ustar".ljust(300), "an archive: unpack it"),
        ("a.tar.gz", gzip.compress(b"x".ljust(257) + b"ustar".ljust(300)), "an archive: unpack it"),
        ("a.nii.gz", gzip.compress(gzip.compress(np.random.default_rng(0).bytes(900))), "twice"),
        ("a.nii.gz", b"/annex/objects/MD5E-s1--d41d8cd9.nii.gz\n", "git-annex pointer"),
        ("a.nrrd.gz", gzip.compress(b"NRRD0004\n".ljust(900)), "compressed NRRD file"),
    ],
)
def test_archives_and_pointers_are_named(tmp_path, name, content, part):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=part):
        recognise(tmp_path / name)


@pytest.mark.parametrize(
    ("image", "header"),
    [("a.img", "a.hdr"), ("A.IMG", "A.HDR"), ("a.img.gz", "a.hdr.gz")],
)
def test_the_files_of_a_pair_find_each_other(tmp_path, image, header):
    for name, other in ((image, header), (header, image)):
        assert beside(tmp_path / name) is None
        (tmp_path / other).write_bytes(b"x")
        assert beside(tmp_path / name) == tmp_path / other
        (tmp_path / other).unlink()
