"""NRRD: what its header does not state is not known."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from expert.errors import InputError
from expert.imaging.formats.nrrd import read_nrrd
from expert.imaging.volume import read_volume


@pytest.fixture
def header(tmp_path):
    """A function that writes a NRRD file with the given lines in its header."""

    def write(*lines):
        data = np.arange(60, dtype=np.int16)
        text = "\n".join(
            ("NRRD0004", "type: short", "dimension: 3", "sizes: 3 4 5", "encoding: raw",
             "endian: little", *lines)
        )  # fmt: skip
        (tmp_path / "a.nrrd").write_bytes(text.encode() + b"\n\n" + data.tobytes())
        return tmp_path / "a.nrrd"

    return write


def test_space_and_spacing_are_as_far_known_as_they_are_stated(header):
    directions = "space directions: (2,0,0) (0,3,0) (0,0,4)"
    full = read_nrrd(header("space: left-posterior-superior", directions, "space origin: (1,2,3)"))
    assert (full.space, full.spacing_known) == ("ras", True)
    np.testing.assert_allclose(full.affine[:3, 3], [-1, -2, 3])
    np.testing.assert_allclose(np.diag(full.affine), [-2, -3, 4, 1])
    spaced = read_nrrd(header("spacings: 2 3 4"))
    assert (spaced.space, spaced.spacing_known) == ("unknown", True)
    bare = read_nrrd(header())
    assert (bare.space, bare.spacing_known) == ("unknown", False)
    assert bare.data.shape == (3, 4, 5)


def test_damaged_headers_are_refused(header):
    with pytest.raises(InputError, match="no valid voxel size"):
        read_nrrd(header("spacings: nan 3 4"))


def test_colours_and_huge_volumes_are_refused(tmp_path):
    colours = sitk.GetImageFromArray(np.zeros((5, 4, 3, 3), np.uint8), isVector=True)
    sitk.WriteImage(colours, str(tmp_path / "a.nrrd"))
    with pytest.raises(InputError, match="3 values per voxel"):
        read_nrrd(tmp_path / "a.nrrd")


@pytest.mark.parametrize("space", ["scanner-xyz", "3D-right-handed", "3D-left-handed"])
def test_a_space_that_is_not_the_patients_has_no_sides(header, space):
    directions = ("space directions: (2,0,0) (0,3,0) (0,0,4)", "space origin: (1,2,3)")
    image = read_nrrd(header(f"space: {space}", *directions))
    assert (image.space, image.spacing_known) == ("unknown", True)
    assert read_nrrd(header("space: LAS", *directions)).space == "ras"


def test_the_content_counts_and_not_the_extension(header, tmp_path):
    header().rename(tmp_path / "a.nii.gz")
    assert read_volume(tmp_path / "a.nii.gz").shape == (3, 4, 5)


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("data file: lost.raw", "is missing"),
        ("data file: /etc/passwd", "another folder"),
        ("DATAFILE: ../a.raw", "another folder"),
        ("data file: C:\\a.raw", "another folder"),
        ("data file: a%d.raw 0 1 1", "several files"),
        ("data file: LIST\n/etc/passwd", "several files"),
    ],
)
def test_only_one_data_file_beside_the_header_is_read(header, line, part):
    with pytest.raises(InputError, match=part):
        read_nrrd(header(line))


def test_a_data_file_may_be_in_a_subfolder(header, tmp_path):
    (tmp_path / "Raw").mkdir()
    (tmp_path / "Raw" / "a.raw").write_bytes(np.arange(60, dtype=np.int16).tobytes())
    for name in ("Raw/a.raw", "./Raw/a.raw"):
        path = header(f"data file: {name}").rename(tmp_path / "a.nhdr")
        assert read_nrrd(path).data.ravel("F").tolist() == list(range(60))


def test_bzip2_is_named(tmp_path, header):
    path = header()
    path.write_bytes(path.read_bytes().replace(b"encoding: raw", b"encoding: bzip2"))
    with pytest.raises(InputError, match="compressed with bzip2"):
        read_nrrd(path)
