"""A head from DICOM is that from NIfTI: the same voxels at the same place, whatever the slices."""

from __future__ import annotations

import itertools

import nibabel as nib
import numpy as np
import pytest
from helpers.dicom_files import (
    DATE,
    IDENTIFIER,
    NAME,
    archive,
    changed,
    enhanced,
    head,
    region,
    series,
    ultrasound,
    write,
)
from helpers.orientations import turn

from expert.errors import InputError
from expert.imaging.volume import read_volume

ORIENTATIONS = [
    (order, flips)
    for order in itertools.permutations(range(3))
    for flips in itertools.product((1, -1), repeat=3)
]


@pytest.mark.parametrize(("order", "flips"), ORIENTATIONS)
def test_every_axis_order_gives_the_head_of_the_nifti_file(order, flips, tmp_path):
    data, affine = head((10, 11, 12))
    affine[:3, :3] = turn(0.1, -0.05, 0.08) @ affine[:3, :3]
    orientation = np.column_stack([order, flips])
    turned = nib.apply_orientation(data, orientation)
    turned_affine = affine @ nib.orientations.inv_ornt_aff(orientation, data.shape)
    nib.save(nib.Nifti1Image(turned, turned_affine), tmp_path / "a.nii")
    nifti = read_volume(tmp_path / "a.nii").canonical()
    files = series(turned, turned_affine)
    volume = read_volume(write(tmp_path / "a", files))
    assert volume.space == "ras"
    dicom = volume.canonical()
    np.testing.assert_array_equal(dicom.data, nifti.data)
    np.testing.assert_allclose(dicom.affine, nifti.affine, atol=1e-3)
    assert dicom.fingerprint() == nifti.fingerprint()
    one = read_volume(write(tmp_path / "b", [enhanced(files[::2] + files[1::2])])).canonical()
    np.testing.assert_array_equal(one.data, nifti.data)
    np.testing.assert_allclose(one.affine, nifti.affine, atol=1e-3)


def test_folder_file_and_archive_are_the_same(tmp_path):
    folder = write(tmp_path / "in", series(), "IM{:04d}")
    archive(tmp_path / "a.zip", folder)
    first = read_volume(folder)
    for path in (tmp_path, folder / "IM0007", tmp_path / "a.zip"):
        volume = read_volume(path)
        np.testing.assert_array_equal(volume.data, first.data)
        np.testing.assert_array_equal(volume.affine, first.affine)
        if path != tmp_path:  # which contains the archive, too
            assert volume.assumed == ()


def test_a_single_missing_slice_is_interpolated_and_said(tmp_path):
    files = series()
    volume = read_volume(write(tmp_path, files[:6] + files[7:]))
    assert volume.shape == (9, 11, 14)
    expected = np.rint((volume.data[:, :, 5].astype(float) + volume.data[:, :, 7]) / 2)
    np.testing.assert_array_equal(volume.data[:, :, 6], expected)
    np.testing.assert_allclose(volume.canonical().affine, head()[1], atol=1e-4)
    assert "Slice 7 of 14" in volume.doubts[0]
    assert volume.doubts[0] in volume.history


def test_a_tilt_is_said(tmp_path):
    data, affine = head()
    affine[1, 2] = 0.5
    volume = read_volume(write(tmp_path, series(data, affine)))
    np.testing.assert_allclose(volume.canonical().affine, affine, atol=1e-5)
    assert "tilt of 23°" in volume.doubts[0]


def test_a_damaged_file_is_named(tmp_path):
    path = write(tmp_path, series()) / "IM0005.dcm"
    raw = path.read_bytes()
    for size in (0, 100, 300, 700, 1000, len(raw) - 1):
        path.write_bytes(raw[:size])
        with pytest.raises(InputError, match=r"IM0005\.dcm"):
            read_volume(tmp_path)
    write(tmp_path / "other", series(SeriesNumber=8))
    assert read_volume(tmp_path, series=8).shape == (9, 11, 14)


def test_slices_without_a_place_have_no_orientation(tmp_path):
    files = series(SpacingBetweenSlices=1.2)
    for file in files:
        del file.ImagePositionPatient, file.ImageOrientationPatient
    volume = read_volume(write(tmp_path, files))
    assert (volume.space, volume.spacing_known) == ("unknown", True)
    assert "state no position" in volume.assumed[0]
    assert volume.spacing == pytest.approx((2, 1.5, 1.2))


def test_an_ultrasound_image_and_its_pixel_size(tmp_path):
    volume = read_volume(write(tmp_path / "a", [ultrasound()]))
    assert (volume.space, volume.spacing_known) == ("image", False)
    assert read_volume(tmp_path / "a", pixel_size_mm=0.3).spacing == (0.3, 0.3)
    grey = volume.data
    file = ultrasound(colours=True, SequenceOfUltrasoundRegions=[region()])
    volume = read_volume(write(tmp_path / "b", [file]))
    np.testing.assert_array_equal(volume.data, grey)
    assert volume.spacing == pytest.approx((0.15, 0.15))
    given = read_volume(tmp_path / "b", pixel_size_mm=0.3)
    assert given.spacing == (0.3, 0.3)
    assert "0.3 mm was given" in given.doubts[-1]


def test_films_and_mosaics_are_refused(tmp_path):
    film = ultrasound()
    film.NumberOfFrames, film.PixelData = 3, film.PixelData * 3
    with pytest.raises(InputError, match="3 images without positions"):
        read_volume(write(tmp_path / "a", [film]))
    mosaic = series(ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"])[:1]
    with pytest.raises(InputError, match="mosaic"):
        read_volume(write(tmp_path / "b", mosaic))


def test_nothing_about_the_patient_leaves_the_reader(tmp_path):
    files = series(SeriesDescription="Doe T1", StudyDate="20240229", InstitutionName="Clinic")
    write(tmp_path, files[:6] + files[7:] + files[:2])
    write(tmp_path, changed(files, 2, EchoTime=3)[:3], "X{}.dcm")
    volume = read_volume(tmp_path)
    text = repr((volume.history, volume.assumed, volume.doubts))
    for secret in (*NAME.split("^"), IDENTIFIER, DATE, "20240229", "Clinic", str(tmp_path)):
        assert secret not in text
    with pytest.raises(InputError) as caught:
        read_volume(write(tmp_path / "b", files[::2]))
    for secret in (*NAME.split("^"), IDENTIFIER, DATE, "20240229", "Clinic"):
        assert secret not in str(caught.value)
