"""Headers: numbers that are damaged, files that are incomplete, frames of an enhanced file."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.dicom_files import dataset, enhanced, series, ultrasound, write
from pydicom.dataset import Dataset

from expert.imaging.dicom.headers import (
    film_length,
    frames_of,
    image_type,
    number,
    numbers,
    read_file,
)


def test_numbers_are_finite_or_missing():
    header = {"PixelSpacing": ["1", "2"], "EchoTime": "x", "FlipAngle": float("nan"), "Rows": 3}
    np.testing.assert_array_equal(numbers(header, "PixelSpacing", 2), [1, 2])
    assert numbers(header, "PixelSpacing", 3) is None
    assert number(header, "EchoTime") is None
    assert number(header, "FlipAngle") is None
    assert number(header, "Missing") is None
    assert number(header, "Rows") == 3


@pytest.mark.parametrize("part", [0.1, 0.3, 0.5, 0.9, 0.999])
def test_an_incomplete_file_is_damaged(tmp_path, part):
    path = write(tmp_path, series()[:1]) / "IM0001.dcm"
    assert read_file(path, "a").damage == ""
    raw = path.read_bytes()
    path.write_bytes(raw[: max(140, int(part * len(raw)))])
    assert read_file(path, "a").damage


def test_the_image_type_may_have_one_value_or_several():
    assert image_type({"ImageType": "derived"}) == ["DERIVED"]
    assert image_type({"ImageType": ["ORIGINAL", "PRIMARY"]}) == ["ORIGINAL", "PRIMARY"]
    assert image_type({}) == []


@pytest.mark.parametrize("kind", ["1.2.840.10008.5.1.4.1.1.88.11", "1.3.12.2.1107.5.9.1"])
def test_a_report_is_no_image(tmp_path, kind):
    report = dataset(np.zeros((4, 4), np.int16))
    report.SOPClassUID = kind
    for tag in ("Rows", "Columns", "PixelData"):
        delattr(report, tag)
    assert read_file(write(tmp_path, [report]) / "IM0001.dcm", "a") is None


def test_frames_of_an_enhanced_file_have_places_and_traits(tmp_path):
    files = series()
    echoes = []
    for n in range(len(files)):
        echoes.append(Dataset())
        echoes[-1].EffectiveEchoTime = float(n % 2)
    path = write(tmp_path, [enhanced(files, MREchoSequence=echoes)]) / "IM0001.dcm"
    frames = frames_of(read_file(path, "a"))
    assert [frame.index for frame in frames] == list(range(14))
    for frame, file, echo in zip(frames, files, echoes, strict=True):
        np.testing.assert_allclose(frame.position, np.array(file.ImagePositionPatient, float))
        np.testing.assert_allclose(frame.spacing, np.array(file.PixelSpacing, float))
        assert frame.traits["echo"] == (echo.EffectiveEchoTime,)
    assert film_length(frames[0]) == 1


def test_a_film_and_directions_that_are_none(tmp_path):
    film = ultrasound()
    film.NumberOfFrames, film.PixelData = 3, film.PixelData * 3
    film.ImageOrientationPatient = [1, 0, 0, 1, 0, 0]
    (frame,) = frames_of(read_file(write(tmp_path, [film]) / "IM0001.dcm", "a"))
    assert film_length(frame) == 3
    assert frame.orientation is None
