"""The pixel size of a DICOM image, wherever it stands."""

from __future__ import annotations

import pytest
from helpers.dicom_files import region, ultrasound

from expert.imaging.dicom.calibration import pixel_size


@pytest.fixture
def size(frames):
    """A function that reads the pixel size of an ultrasound image with some tags."""
    return lambda **tags: pixel_size(frames([ultrasound(**tags)])[0])


def test_an_image_without_calibration_has_no_size(size):
    assert size() == (None, [], [])
    assert size(PixelSpacing=[0, 0])[0] is None
    assert size(PixelAspectRatio=[1, 1])[0] is None


def test_the_pixel_spacing_is_used(size):
    assert size(PixelSpacing=[0.2, 0.3]) == ((0.2, 0.3), [], [])


def test_the_calibrated_region_is_used(size):
    steps, assumed, doubts = size(SequenceOfUltrasoundRegions=[region()])
    assert steps == pytest.approx((0.15, 0.15))
    assert "ultrasound region" in assumed[0]
    assert doubts == []
    item = region(PhysicalDeltaY=-0.02)
    assert size(SequenceOfUltrasoundRegions=[item])[0] == pytest.approx((0.2, 0.15))


def test_regions_of_other_kinds_are_not_used(size):
    others = [
        region(0.3, PhysicalUnitsXDirection=4),  # seconds
        region(0.3, RegionSpatialFormat=3),  # a spectrum
        region(0.0),
    ]
    assert size(SequenceOfUltrasoundRegions=others)[0] is None
    steps, _, doubts = size(SequenceOfUltrasoundRegions=[*others, region()])
    assert steps == pytest.approx((0.15, 0.15))
    assert doubts == []


def test_contradictions_are_said(size):
    regions = [region(0.02, (0, 0, 9, 9)), region()]
    steps, _, doubts = size(SequenceOfUltrasoundRegions=regions)
    assert steps == pytest.approx((0.15, 0.15))
    assert "different pixel sizes" in doubts[0]
    steps, _, doubts = size(SequenceOfUltrasoundRegions=[region()], PixelSpacing=[0.3, 0.3])
    assert steps == pytest.approx((0.15, 0.15))
    assert "0.3 mm" in doubts[0]


@pytest.mark.parametrize("keyword", ["NominalScannedPixelSpacing", "ImagerPixelSpacing"])
def test_a_size_at_the_detector_is_doubtful(size, keyword):
    steps, _, doubts = size(**{keyword: [0.2, 0.2]})
    assert steps == (0.2, 0.2)
    assert doubts
