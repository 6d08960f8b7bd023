"""NIfTI, Analyze and FreeSurfer: what their headers say, and where they contradict themselves."""

from __future__ import annotations

import gzip

import nibabel as nib
import numpy as np
import pytest
from helpers.bad_files import nifti
from nibabel import cifti2

from expert.errors import InputError
from expert.imaging.formats.recognition import beginning
from expert.imaging.volume import read_volume

SHAPE = (31, 32, 33)


@pytest.fixture
def head():
    affine = np.diag([2.0, 3.0, 4.0, 1.0])
    affine[:3, 3] = [-30, -40, -50]
    return np.random.default_rng(0).integers(0, 900, SHAPE).astype(np.int16), affine


@pytest.mark.parametrize("ending", ["mgz", "mgh"])
def test_freesurfer_volumes_have_their_place(head, tmp_path, ending):
    data, affine = head
    path = tmp_path / f"orig.{ending}"
    nib.save(nib.MGHImage(data, affine.astype(np.float32)), path)
    volume = read_volume(path)
    assert volume.space == "ras"
    np.testing.assert_array_equal(volume.data, data)
    np.testing.assert_allclose(volume.affine, affine, atol=1e-4)
    raw = bytearray(beginning(path, 10**6))
    raw[28:30] = b"\0\0"  # the flag that says whether the place is known
    path.write_bytes(raw)
    volume = read_volume(path)
    assert (volume.space, volume.spacing_known) == ("unknown", False)


@pytest.mark.parametrize(
    ("unit", "factor", "said"),
    [("meter", 1e-3, "in metres"), ("micron", 1e3, "in micrometres"), ("mm", 1.0, "")],
)
def test_units_of_length(head, tmp_path, unit, factor, said):
    data, affine = head
    scaled = affine.copy()
    scaled[:3] *= factor
    image = nib.Nifti1Image(data, scaled)
    image.header.set_xyzt_units(unit)
    nib.save(image, tmp_path / "a.nii")
    volume = read_volume(tmp_path / "a.nii")
    np.testing.assert_allclose(volume.affine, affine, rtol=1e-5)
    assert said in " ".join(volume.assumed)


def test_millimetres_that_are_called_metres(head, tmp_path):
    data, affine = head
    image = nib.Nifti1Image(data, affine)
    image.header.set_xyzt_units("meter")
    nib.save(image, tmp_path / "a.nii")
    volume = read_volume(tmp_path / "a.nii")
    np.testing.assert_allclose(volume.affine, affine)
    assert "mm were assumed" in volume.assumed[0]


def test_sform_and_qform_that_disagree_are_reported(head, tmp_path):
    data, affine = head
    for other, part in ((np.diag([-1, -1, 1, 1]) @ affine, "by up to"), (np.diag([-1, 1, 1, 1]) @ affine, "left and right")):  # fmt: skip  # noqa: E501
        image = nib.Nifti1Image(data, affine)
        image.set_sform(affine, 1)
        image.set_qform(other, 1)
        nib.save(image, tmp_path / "a.nii")
        volume = read_volume(tmp_path / "a.nii")
        np.testing.assert_allclose(volume.affine, affine)
        assert part in volume.doubts[0]
    image.set_qform(affine, 1)
    nib.save(image, tmp_path / "a.nii")
    assert read_volume(tmp_path / "a.nii").doubts == ()


def test_a_voxel_size_of_zero_is_unknown(head, tmp_path):
    raw = nifti(head[0], pixdim=(0, 0, 0), sform_code=0, qform_code=0)
    (tmp_path / "a.nii").write_bytes(raw)
    volume = read_volume(tmp_path / "a.nii")
    assert volume.space == "unknown"
    assert not volume.spacing_known


def test_analyze_does_not_know_left_from_right(head, tmp_path):
    nib.save(nib.AnalyzeImage(head[0], np.diag([2.0, 3, 4, 1])), tmp_path / "a.img")
    for name in ("a.img", "a.hdr"):
        volume = read_volume(tmp_path / name)
        assert (volume.space, volume.spacing_known) == ("unknown", True)
        assert volume.spacing == (2, 3, 4)


def test_a_nifti_pair_is_read_by_either_file(head, tmp_path):
    nib.save(nib.Nifti1Pair(*head), tmp_path / "a.img")
    for name in ("a.img", "a.hdr"):
        assert read_volume(tmp_path / name).space == "ras"


def test_axes_of_length_one_are_dropped(head, tmp_path):
    data, affine = head
    for array in (data[None], data[..., None], data[None, None], data[..., None, None]):
        nib.save(nib.Nifti1Image(array, affine), tmp_path / "a.nii")
        volume = read_volume(tmp_path / "a.nii")
        np.testing.assert_array_equal(volume.data, data)
        np.testing.assert_allclose(volume.affine, affine)
    nib.save(nib.Nifti1Image(data[:, :, :1], affine), tmp_path / "a.nii")
    assert read_volume(tmp_path / "a.nii").space == "image"
    nib.save(nib.Nifti1Image(data[:, :, None], affine), tmp_path / "a.nii")
    with pytest.raises(InputError, match="33 volumes"):
        read_volume(tmp_path / "a.nii")


def test_equal_colours_are_grey_values(head, tmp_path):
    colours = np.zeros(SHAPE, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    for channel in "RGB":
        colours[channel] = head[0] % 250
    nib.save(nib.Nifti1Image(colours, head[1]), tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nii.gz").data, head[0] % 250)


def test_nifti_2_is_read(head, tmp_path):
    nib.save(nib.Nifti2Image(*head), tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nii.gz").data, head[0])


def test_cifti_is_no_volume(tmp_path):
    axis = cifti2.BrainModelAxis.from_mask(np.ones((4, 4, 4), bool), affine=np.eye(4), name="CIFTI_STRUCTURE_BRAIN_STEM")  # fmt: skip  # noqa: E501
    image = cifti2.Cifti2Image(np.ones((1, 64)), (cifti2.ScalarAxis(["thickness"]), axis))
    image.to_filename(tmp_path / "a.dscalar.nii")
    with pytest.raises(InputError, match="CIFTI file"):
        read_volume(tmp_path / "a.dscalar.nii")


@pytest.mark.parametrize("names", [("A.IMG", "A.HDR"), ("a.img.gz", "a.hdr.gz")])
def test_pairs_in_capitals_and_compressed_pairs_are_read(head, tmp_path, names):
    nib.save(nib.Nifti1Pair(*head), tmp_path / names[0].lower())
    for name in names:
        (tmp_path / name.lower()).rename(tmp_path / name)
    for name in names:
        np.testing.assert_array_equal(read_volume(tmp_path / name).data, head[0])
    (tmp_path / names[0]).unlink()
    with pytest.raises(InputError, match="no image file beside it"):
        read_volume(tmp_path / names[1])


def test_a_wrong_checksum_is_damage_and_bytes_behind_the_file_are_not(head, tmp_path):
    path = tmp_path / "a.nii.gz"
    content = gzip.compress(nib.Nifti1Image(*head).to_bytes())
    for rest in (b"\0" * 100, b"rest"):
        path.write_bytes(content + rest)
        np.testing.assert_array_equal(read_volume(path).data, head[0])
    for damaged, part in (
        (content[:-8] + bytes(4) + content[-4:], "checksum"),
        (content[:-4] + bytes(4), "checksum"),
        (content[:-8], "incomplete"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=part):
            read_volume(path)


def test_a_header_that_leaves_out_half_of_the_file_is_damaged(head, tmp_path):
    content = nib.Nifti1Image(*head).to_bytes()
    (tmp_path / "a.nii").write_bytes(content + bytes(1000))
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nii").data, head[0])
    (tmp_path / "a.nii").write_bytes(content[:70] + b"\2\0\x08\0" + content[74:])  # 8 bits
    with pytest.raises(InputError, match="twice as many bytes"):
        read_volume(tmp_path / "a.nii")


def test_voxels_do_not_begin_in_the_header(head, tmp_path):
    content = nib.Nifti1Image(*head).to_bytes()
    (tmp_path / "a.nii").write_bytes(content[:108] + bytes(4) + content[112:])
    with pytest.raises(InputError, match="begin in its header"):
        read_volume(tmp_path / "a.nii")
