"""Reading images: every orientation, every format, and what is wrong with a file in one
sentence."""

from __future__ import annotations

import itertools
import os

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from helpers.bad_files import BAD, bad_file
from PIL import Image

from expert.errors import InputError, SeriesChoiceError
from expert.imaging.volume import Volume, read_volume, write_volume

ORIENTATIONS = [
    (order, flips)
    for order in itertools.permutations(range(3))
    for flips in itertools.product((1, -1), repeat=3)
]


def marker() -> tuple[np.ndarray, np.ndarray]:
    """An array with one bright voxel at R+12, A+9, S+8 mm of its first voxel; spacing 3, 1.5, 2
    mm."""
    data = np.zeros((10, 14, 12), dtype=np.float32)
    data[4, 6, 4] = 100.0
    data[0, 0, 0] = 1.0
    affine = np.diag([3.0, 1.5, 2.0, 1.0])
    affine[:3, 3] = [-10, -20, 30]
    return data, affine


@pytest.mark.parametrize(("order", "flips"), ORIENTATIONS)
def test_every_axis_order_keeps_the_marker_in_place(order, flips, tmp_path):
    data, affine = marker()
    orientation = np.column_stack([order, flips])
    turned = nib.apply_orientation(data, orientation)
    turned_affine = affine @ nib.orientations.inv_ornt_aff(orientation, data.shape)
    path = tmp_path / "head.nii.gz"
    nib.save(nib.Nifti1Image(turned, turned_affine), path)
    volume = read_volume(path).canonical()
    place = volume.affine @ [*np.unravel_index(volume.data.argmax(), volume.data.shape), 1]
    np.testing.assert_allclose(place[:3], [2, -11, 38], atol=1e-4)
    np.testing.assert_array_equal(volume.data, data)


def test_oblique_affine_survives_nifti_and_nrrd(tmp_path):
    data, affine = marker()
    angle = 0.3
    affine[:3, :3] = [
        [np.cos(angle), -np.sin(angle), 0],
        [np.sin(angle), np.cos(angle), 0],
        [0, 0, 1],
    ] @ affine[:3, :3]
    volume = Volume.from_array(data, affine)
    nifti = read_volume(write_volume(volume, tmp_path / "a.nii.gz"))
    np.testing.assert_allclose(nifti.affine, affine, atol=1e-4)
    image = sitk.ReadImage(str(tmp_path / "a.nii.gz"))
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"))
    nrrd = read_volume(tmp_path / "a.nrrd")
    place = nrrd.affine @ [*np.unravel_index(nrrd.data.argmax(), nrrd.data.shape), 1]
    np.testing.assert_allclose(place, affine @ [4, 6, 4, 1], atol=1e-3)


def write_dicom(folder, uid: str = "1.2.3.4") -> None:
    """Slices of 5x7 with the slice number as value, 4 mm apart, heads first."""
    folder.mkdir(exist_ok=True)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for n in range(6):
        image = sitk.GetImageFromArray(np.full((1, 7, 5), 10 * n, dtype=np.int16))
        image.SetSpacing((1.5, 2.0, 4.0))
        for tag, value in {
            "0008|0060": "MR", "0020|000e": uid, "0020|000d": "1.2.3", "0008|0018": f"{uid}.{n}", "0020|0013": str(n),  # noqa: E501
            "0020|0032": f"-10\\-20\\{4 * n}", "0020|0037": "1\\0\\0\\0\\1\\0", "0010|0010": "Doe^Jane",  # noqa: E501
        }.items():  # fmt: skip
            image.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{uid}-{n}.dcm"))
        writer.Execute(image)


def test_dicom_folder(tmp_path):
    write_dicom(tmp_path / "series")
    volume = read_volume(tmp_path / "series")
    assert volume.shape == (5, 7, 6)
    np.testing.assert_allclose(volume.spacing, (1.5, 2.0, 4.0))
    # DICOM counts towards left and back: in RAS the first voxel lies at +10, +20.
    np.testing.assert_allclose((volume.affine @ [0, 0, 5, 1])[:3], [10, 20, 20], atol=1e-6)
    assert volume.data[0, 0, 5] == 50
    assert "Doe" not in repr(volume)


def test_one_of_two_series_must_be_chosen(tmp_path):
    write_dicom(tmp_path / "series")
    write_dicom(tmp_path / "series", "1.2.3.5")
    with pytest.raises(SeriesChoiceError, match="2 DICOM series"):
        read_volume(tmp_path / "series")
    assert read_volume(tmp_path / "series", series="1.2.3.5").shape == (5, 7, 6)


def test_only_dicom_has_series(tmp_path):
    write_volume(Volume.from_array(*marker()), tmp_path / "a.nii")
    with pytest.raises(InputError, match="has no series"):
        read_volume(tmp_path / "a.nii", series=1)


def test_plain_image_with_and_without_pixel_size(tmp_path):
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8)).save(tmp_path / "a.png")
    assert not read_volume(tmp_path / "a.png").spacing_known
    volume = read_volume(tmp_path / "a.png", pixel_size_mm=0.2)
    assert volume.spacing == (0.2, 0.2)
    assert volume.space == "image"


def test_a_given_pixel_size_is_used_for_2d_images_only(tmp_path):
    data, affine = marker()
    write_volume(Volume.from_array(data, affine), tmp_path / "a.nii")
    assert read_volume(tmp_path / "a.nii", pixel_size_mm=0.2).spacing == (3, 1.5, 2)
    nib.save(nib.Nifti1Image(data[:, :, :1], affine), tmp_path / "b.nii")
    volume = read_volume(tmp_path / "b.nii", pixel_size_mm=0.2)
    assert volume.spacing == (0.2, 0.2)
    assert "states a pixel size of 3 × 1.5 mm" in volume.doubts[0]
    with pytest.raises(InputError, match="positive number"):
        read_volume(tmp_path / "b.nii", pixel_size_mm=-1)


def test_values_that_are_no_numbers_become_zero(tmp_path):
    data, affine = marker()
    data[2, 2, 2:5] = (np.nan, np.inf, -np.inf)
    nib.save(nib.Nifti1Image(data, affine), tmp_path / "a.nii")
    volume = read_volume(tmp_path / "a.nii")
    assert (volume.data[2, 2, 2:5] == 0).all()
    assert "non-finite values set to 0" in volume.history


@pytest.mark.parametrize("name", BAD, ids=lambda name: name[:20])
def test_a_bad_file_gets_one_sentence(name, tmp_path):
    path = bad_file(tmp_path, name)
    with pytest.raises(InputError) as caught:
        read_volume(path)
    message = str(caught.value)
    assert BAD[name][0] in message
    assert "\n" not in message
    assert message.endswith(".")
    assert len(message) < 400


def test_what_is_no_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "a.nii.gz")
    with pytest.raises(InputError, match="neither a file nor a folder"):
        read_volume(tmp_path / "a.nii.gz")
    (tmp_path / "b.nii.gz").symlink_to(tmp_path / "objects" / "b.nii.gz")
    with pytest.raises(InputError, match="a link to a file that is not there"):
        read_volume(tmp_path / "b.nii.gz")
