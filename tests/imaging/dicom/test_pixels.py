"""Pixels: rescaled, inverted, without overlays, decompressed, colours as luminance."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from helpers.dicom_files import dataset, enhanced, series, write
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, HTJ2KLossless, RLELossless

from expert.errors import InputError
from expert.imaging.dicom.headers import frames_of, read_file
from expert.imaging.dicom.pixels import grey_values, stored_bytes

GREY = (np.arange(63, dtype=np.uint16) * 60).reshape(7, 9)


@pytest.fixture
def values(frames):
    """A function that reads the pixels of one file."""
    return lambda file: grey_values(frames([file]))[0]


def test_signed_and_unsigned_values_are_as_stored(values):
    for pixels in (GREY, GREY.astype(np.int16) - 2000, GREY.astype(np.uint8)):
        found = values(dataset(pixels))
        assert found.dtype == pixels.dtype
        np.testing.assert_array_equal(found, pixels)


def test_overlays_in_unused_bits_are_left_out(values):
    found = values(dataset(GREY | 0x1000, BitsStored=12, HighBit=11))
    np.testing.assert_array_equal(found, GREY)
    signed = GREY.astype(np.int16) - 1800
    found = values(dataset((signed & 0xFFF).astype(np.int16), BitsStored=12, HighBit=11))
    np.testing.assert_array_equal(found, signed)


def test_every_slice_has_its_own_scale(frames):
    files = [dataset(GREY, n, RescaleSlope=1.5 + n, RescaleIntercept=-3) for n in range(3)]
    found = grey_values(frames(files))
    assert found.dtype == np.float32
    for n in range(3):
        np.testing.assert_allclose(found[n], GREY * (1.5 + n) - 3)


def test_whole_numbers_stay_whole(values):
    found = values(dataset(GREY.astype(np.int16), RescaleSlope=1, RescaleIntercept=-1024))
    assert found.dtype == np.int16
    np.testing.assert_array_equal(found, GREY.astype(int) - 1024)


@pytest.mark.parametrize("slope", [0, "nan"])
def test_a_scale_that_cannot_be_used_is_refused(values, slope):
    file = dataset(GREY)
    file.add_new("RescaleSlope", "LO" if slope == "nan" else "DS", slope)
    with pytest.raises(InputError, match="rescale slope"):
        values(file)


def test_inverted_grey_values_are_turned_round(values):
    found = values(
        dataset(GREY, PhotometricInterpretation="MONOCHROME1", BitsStored=12, HighBit=11)
    )
    np.testing.assert_array_equal(found, 4095 - GREY.astype(int))


def test_colours_are_read_as_luminance(values):
    from PIL import Image

    colours = np.random.default_rng(0).integers(0, 255, (7, 9, 3)).astype(np.uint8)
    expected = np.asarray(Image.fromarray(colours).convert("L"))
    np.testing.assert_array_equal(values(dataset(colours)), expected)
    planes = dataset(colours, PlanarConfiguration=1)
    planes.PixelData = colours.transpose(2, 0, 1).tobytes()
    np.testing.assert_array_equal(values(planes), expected)
    grey = np.dstack([GREY.astype(np.uint8), *[np.full((7, 9), 128, np.uint8)] * 2])
    found = values(dataset(grey, PhotometricInterpretation="YBR_FULL"))
    np.testing.assert_array_equal(found, GREY.astype(np.uint8))
    deep = values(dataset(np.dstack([GREY * 10] * 3)))
    np.testing.assert_array_equal(deep, np.rint(GREY * 10 / 257))


def test_a_palette_is_applied(values):
    indices = np.arange(63, dtype=np.uint8).reshape(7, 9)
    file = dataset(indices, PhotometricInterpretation="PALETTE COLOR")
    table = (np.arange(256, dtype="<u2") * 257)[::-1]
    for colour in ("Red", "Green", "Blue"):
        setattr(file, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(file, f"{colour}PaletteColorLookupTableData", table.tobytes())
    np.testing.assert_array_equal(values(file), 255 - indices)


@pytest.mark.parametrize("method", ["JPEG", "JPEG2000"])
def test_compressed_files_are_read(tmp_path, method):
    writer = sitk.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.UseCompressionOn()
    writer.SetCompressor(method)
    writer.SetFileName(str(tmp_path / "a.dcm"))
    pixels = GREY.astype(np.int16) - 500
    writer.Execute(sitk.GetImageFromArray(pixels[None]))
    assert pydicom.dcmread(tmp_path / "a.dcm").file_meta.TransferSyntaxUID.is_compressed
    found = grey_values(frames_of(read_file(tmp_path / "a.dcm", "a.dcm")))
    np.testing.assert_array_equal(found[0], pixels)


def test_run_lengths_and_deflated_files_are_read(values):
    file = dataset(GREY)
    file.compress(RLELossless)
    np.testing.assert_array_equal(values(file), GREY)
    file = dataset(GREY)
    file.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    np.testing.assert_array_equal(values(file), GREY)


def test_an_unknown_compression_is_named(values):
    file = dataset(GREY)
    file.file_meta.TransferSyntaxUID = HTJ2KLossless
    file.PixelData = pydicom.encaps.encapsulate([file.PixelData[:50]])
    with pytest.raises(InputError, match="could not be decompressed"):
        values(file)


def test_frames_have_their_own_scales_and_bytes(frames):
    files, scales = series(), []
    for n in range(len(files)):
        scales.append(Dataset())
        scales[-1].RescaleSlope, scales[-1].RescaleIntercept = n + 1, 0
    found = frames([enhanced(files, PixelValueTransformationSequence=scales)])
    pixels = grey_values(found)
    for n, file in enumerate(files):
        stored = np.frombuffer(file.PixelData, np.int16).reshape(11, 9)
        np.testing.assert_array_equal(pixels[n], stored * (n + 1))
        assert stored_bytes(found[n]) == file.PixelData


def test_missing_pixels_name_the_file(tmp_path):
    folder = write(tmp_path, [dataset(GREY)])
    file = read_file(folder / "IM0001.dcm", "IM0001.dcm")
    (folder / "IM0001.dcm").write_bytes((folder / "IM0001.dcm").read_bytes()[:-9])
    with pytest.raises(InputError, match=r"IM0001\.dcm"):
        grey_values(frames_of(file))


@pytest.mark.parametrize("high", [13, 15])
def test_values_in_the_upper_bits_are_whole(values, high):
    shifted = (GREY.astype(np.uint16) << (high - 11)).astype(np.uint16)
    np.testing.assert_array_equal(values(dataset(shifted, BitsStored=12, HighBit=high)), GREY)


def test_padding_far_from_all_values_becomes_the_lowest(values):
    pixels = GREY.astype(np.int16)
    pixels[:2] = -32768
    file = dataset(pixels)
    file.add_new("PixelPaddingValue", "SS", -32768)
    found = values(file)
    np.testing.assert_array_equal(found[2:], GREY[2:])
    assert (found[:2] == GREY[2:].min()).all()
    file["PixelPaddingValue"].value = int(GREY[4, 4])  # a value like all others
    np.testing.assert_array_equal(values(file), pixels)
