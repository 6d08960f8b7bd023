"""Several series: listed, chosen by number or UID, and only the right one without a choice."""

from __future__ import annotations

import contextlib
import pickle

import numpy as np
import pytest
from helpers.dicom_files import CAPTURE, changed, dataset, series, ultrasound, write
from pydicom.fileset import FileSet
from typer.testing import CliRunner

from expert.cli.main import app
from expert.errors import InputError, SeriesChoiceError
from expert.imaging.dicom import list_series
from expert.imaging.dicom.series import image_key, one_per_series
from expert.imaging.volume import read_volume


def test_series_are_listed_with_description_size_and_spacing(tmp_path):
    write(tmp_path / "b", series(SeriesNumber=11, SeriesDescription="T1\x1b[31m\n MPRAGE"))
    write(tmp_path / "a", series(SeriesNumber=2, SeriesDescription="scout")[:3])
    first, second = list_series(tmp_path)
    assert (first.number, first.shape, first.remark) == ("2", (9, 11, 3), "few slices")
    assert second.text == "   11  T1�[31m� MPRAGE; MR; 14 slices of 9×11, 2×1.5×1.2 mm"
    assert second.spacing_mm == pytest.approx((2, 1.5, 1.2))


def test_the_only_whole_volume_is_read(tmp_path):
    files = series(SeriesNumber=11)
    capture = dataset(np.full((60, 50, 3), 9, np.uint8), 1, CAPTURE, SeriesNumber=12)
    derived = series(SeriesNumber=13, ImageType=["DERIVED", "SECONDARY", "MPR"])
    write(tmp_path, [*series(SeriesNumber=2)[:3], *files, capture, *derived])
    volume = read_volume(tmp_path)
    assert volume.shape == (9, 11, 14)
    assert volume.assumed == ("DICOM series 11 was read, one of 4: 14 slices.",)
    assert read_volume(tmp_path, series=13).assumed[0].startswith("DICOM series 13")
    assert read_volume(tmp_path, series=2).shape == (9, 11, 3)


def test_of_several_volumes_one_must_be_chosen(tmp_path):
    files = series(SeriesNumber=11, SeriesDescription="secret")
    write(tmp_path, files + changed(series(SeriesNumber=4)))
    with pytest.raises(SeriesChoiceError, match="--series") as caught:
        read_volume(tmp_path)
    assert [one.number for one in caught.value.choices] == ["4", "11"]
    assert "secret" not in str(caught.value)
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.choices == caught.value.choices
    for choice in (11, "11", files[0].SeriesInstanceUID):
        volume = read_volume(tmp_path, series=choice)
        assert (
            volume.data[3, 4, 5] == np.frombuffer(files[5].PixelData, np.int16).reshape(11, 9)[4, 3]
        )
    with pytest.raises(SeriesChoiceError, match="no DICOM series 5: there are 4, 11"):
        read_volume(tmp_path, series=5)


def test_parts_of_a_series_have_numbers_of_their_own(tmp_path):
    files = series(EchoTime=2)
    write(tmp_path, files + changed(files, 2, 15, EchoTime=9))
    with pytest.raises(SeriesChoiceError, match="2 images of the same slices"):
        read_volume(tmp_path)
    with pytest.raises(SeriesChoiceError):
        read_volume(tmp_path, series=3)
    first, second = (read_volume(tmp_path, series=f"3.{n}").data for n in (1, 2))
    np.testing.assert_array_equal(2 * first, second)


def test_series_with_the_same_number_are_two(tmp_path):
    write(tmp_path, series() + changed(series(), 2))
    assert [one.number for one in list_series(tmp_path)] == ["3.1", "3.2"]


def test_patients_are_not_mixed(tmp_path):
    files = series()
    write(tmp_path, files + changed(files, 1, PatientID="other"))
    assert len(list_series(tmp_path)) == 2


def test_one_file_chooses_its_series(tmp_path):
    write(tmp_path, [*series(EchoTime=1), *series(SeriesNumber=4)])
    assert read_volume(tmp_path / "IM0020.dcm").assumed == ()
    files = [ultrasound(series="1.2.3", PixelSpacing=[n / 10, n / 10]) for n in (1, 2)]
    write(tmp_path / "us", files)
    assert read_volume(tmp_path / "us" / "IM0002.dcm").spacing == pytest.approx((0.2, 0.2))


def test_files_of_one_volume_are_one_input(tmp_path):
    files = series(EchoTime=1)
    write(tmp_path, [*files, *changed(files, 2, 15, EchoTime=9)])
    write(tmp_path / "us", [ultrasound(series="1.2.3"), ultrasound(series="1.2.3")])
    (tmp_path / "a.nii").write_bytes(b"x")
    us = sorted((tmp_path / "us").iterdir())
    paths = [*sorted(tmp_path.glob("IM*")), tmp_path, tmp_path / "a.nii", *us]
    kept = one_per_series(paths)
    assert kept == [paths[0], paths[14], tmp_path, tmp_path / "a.nii", *us]
    assert image_key(tmp_path / "missing") is None


def test_a_localizer_is_named(tmp_path):
    files = series()[:2]
    for cosines in ([0, 1, 0, 0, 0, -1], [1, 0, 0, 0, 0, -1]):
        files += changed(series()[3:5], 2, ImageOrientationPatient=cosines)
    for file in files:
        file.SeriesInstanceUID = files[0].SeriesInstanceUID
    with pytest.raises(InputError, match="3 orientations with up to 2 slices"):
        read_volume(write(tmp_path / "in", files))


def test_other_folders_are_named_for_what_they_contain(tmp_path):
    (tmp_path / "bids" / "sub-01").mkdir(parents=True)
    with pytest.raises(InputError, match="no DICOM image"):
        list_series(tmp_path)
    (tmp_path / "bids" / "sub-01" / "T1w.nii.gz").write_bytes(b"x")
    with pytest.raises(InputError, match=r"one file to open: bids/sub-01/T1w\.nii\.gz"):
        list_series(tmp_path)
    (tmp_path / "a.png").write_bytes(b"x")
    with pytest.raises(InputError, match=r"2 other images: open one of them, for example a\.png"):
        list_series(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        list_series(tmp_path / "missing")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"\x28\x00\x10\x00US", b"\x28\x00\x10\x00Ui"),  # rows of an unknown type
        (b"\x28\x00\x10\x00US\x02\x00", b"\x28\x00\x10\x00DS\x02\x00"),
        (b"\x28\x00\x30\x00DS", b"\x28\x00\x30\x00SQ"),
        (b"\x20\x00\x32\x00DS", b"\x20\x00\x32\x00FD"),
        (b"\x20\x00\x13\x00IS", b"\x20\x00\x13\x00SQ"),
        (b"\x02\x00\x10\x00UI", b"\x02\x00\x10\x00Ui"),  # transfer syntax
        (b"\x02\x00\x02\x00UI", b"\x02\x00\x02\x00UL"),
        (b"\xe0\x7f\x10\x00OW", b"\xe0\x7f\x10\x00SQ"),
    ],
)
def test_a_damaged_header_is_one_sentence_for_every_reader(before, after, tmp_path):
    (path,) = write(tmp_path, series()[:1]).iterdir()
    content = path.read_bytes()
    assert before in content
    path.write_bytes(content.replace(before, after))
    for read in (list_series, read_volume, image_key):
        with contextlib.suppress(InputError):
            read(path)
    shown = CliRunner().invoke(app, ["series", str(path)])
    assert shown.exit_code in (0, 1)
    assert len(shown.stderr.splitlines()) == shown.exit_code
    assert not shown.exception or isinstance(shown.exception, SystemExit)


def test_a_cd_without_its_images_is_named(tmp_path):
    files = FileSet()
    for file in series():
        file.StudyDate, file.StudyTime, file.StudyID = "20200101", "101010", "1"
        files.add(file)
    files.write(tmp_path / "cd")
    (tmp_path / "cd" / "DICOMDIR").rename(tmp_path / "DICOMDIR")
    with pytest.raises(InputError, match="None of the 14 files that DICOMDIR lists is there"):
        read_volume(tmp_path / "DICOMDIR")
