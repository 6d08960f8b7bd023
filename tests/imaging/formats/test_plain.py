"""Plain images: every place where a pixel size can stand, and what is not one."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from expert.errors import InputError
from expert.imaging.formats.plain import pixel_size_of, read_plain
from expert.imaging.volume import read_volume

PIXELS = np.random.default_rng(0).integers(0, 255, (200, 300)).astype(np.uint8)


def tiff(path, description="", x=None, y=None, unit=1):
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    if description:
        tags[270] = description
    if x is not None:
        tags[282], tags[283], tags[296] = x, y or x, unit
    Image.fromarray(PIXELS).save(path, tiffinfo=tags)
    return path


@pytest.mark.parametrize(
    ("unit", "per_unit"),
    [("mm", 5.0), ("cm", 50.0), ("inch", 127.0), ("micron", 0.005), ("\\u00B5m", 0.005)],
)
def test_imagej_states_the_unit(tmp_path, unit, per_unit):
    path = tiff(tmp_path / "a.tif", f"ImageJ=1.53t\nunit={unit}\n", per_unit)
    image = read_plain(path)
    assert image.spacing_known
    np.testing.assert_allclose(np.diag(image.affine)[:2], 0.2, rtol=1e-3)
    assert "ImageJ" in image.assumed[0]
    assert pixel_size_of(path)[0] == pytest.approx((0.2, 0.2), rel=1e-3)


def test_imagej_without_a_unit_states_no_size(tmp_path):
    for description in ("ImageJ=1.53t\n", "ImageJ=1.53t\nunit=pixel\n"):
        assert not read_plain(tiff(tmp_path / "a.tif", description, 5.0)).spacing_known


def test_rows_and_columns_may_have_different_sizes(tmp_path):
    image = read_plain(tiff(tmp_path / "a.tif", "ImageJ=1.5\nunit=mm\n", 5.0, 4.0))
    np.testing.assert_allclose(np.diag(image.affine)[:2], (0.25, 0.2), rtol=1e-3)


def test_ome_metadata(tmp_path):
    text = '<OME><Pixels PhysicalSizeX="0.2" PhysicalSizeXUnit="mm" PhysicalSizeY="0.25" PhysicalSizeYUnit="mm"/></OME>'  # noqa: E501
    image = read_plain(tiff(tmp_path / "a.tif", text))
    np.testing.assert_allclose(np.diag(image.affine)[:2], (0.25, 0.2), rtol=1e-3)
    microns = text.replace('"mm"', '"µm"').replace('"0.2', '"200').replace("2005", "250")
    np.testing.assert_allclose(
        np.diag(read_plain(tiff(tmp_path / "b.tif", microns.encode())).affine)[1], 0.2, rtol=1e-3
    )


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.bmp"])
def test_a_resolution_is_a_pixel_size_unless_it_is_a_screens(tmp_path, name):
    path = tmp_path / name
    Image.fromarray(PIXELS).save(path, dpi=(169, 169))
    image = read_plain(path)
    assert np.diag(image.affine)[:2] == pytest.approx(0.15, rel=0.01)
    assert "check it" in image.assumed[0]
    for dpi in (72, 96, 300):
        Image.fromarray(PIXELS).save(path, dpi=(dpi, dpi))
        image = read_plain(path)
        assert not image.spacing_known
        assert f"{dpi} dpi" in image.assumed[0]
    for dpi in (1, 20_000):
        Image.fromarray(PIXELS).save(path, dpi=(dpi, dpi))
        image = read_plain(path)
        assert not image.spacing_known
        assert "was not used" in image.assumed[0]


def test_a_tiff_states_pixels_per_centimetre(tmp_path):
    image = read_plain(tiff(tmp_path / "a.tif", "", 67.0, unit=3))
    assert np.diag(image.affine)[0] == pytest.approx(10 / 67, rel=1e-3)
    assert not read_plain(tiff(tmp_path / "a.tif", "", 67.0, unit=1)).spacing_known


def test_a_given_pixel_size_is_used(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "a.png", dpi=(169, 169))
    assert read_volume(tmp_path / "a.png", pixel_size_mm=0.3).spacing == (0.3, 0.3)
    assert not read_plain(tiff(tmp_path / "b.tif")).spacing_known


def test_a_photo_is_turned_as_it_says(tmp_path):
    upright = Image.fromarray(PIXELS)
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.rotate(90, expand=True).save(tmp_path / "a.png", exif=exif)
    image = read_plain(tmp_path / "a.png")
    np.testing.assert_array_equal(image.data, PIXELS)
    assert "EXIF" in image.assumed[0]


def test_colours_become_luminance(tmp_path):
    for mode in ("RGB", "RGBA"):
        Image.fromarray(PIXELS).convert(mode).save(tmp_path / "a.png")
        np.testing.assert_array_equal(read_plain(tmp_path / "a.png").data, PIXELS)


def test_several_images_in_a_file_are_refused(tmp_path):
    pages = [Image.fromarray(PIXELS)] * 2
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(InputError, match="2 images"):
        read_plain(tmp_path / "a.tif")


def test_too_many_pixels_are_refused(tmp_path, monkeypatch):
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(InputError, match="too many pixels"):
        read_plain(tmp_path / "a.png")


def test_no_pixel_size_of_other_files(tmp_path):
    (tmp_path / "a.png").write_text("no image")
    for name in ("a.png", "a.nii", "missing.png"):
        assert pixel_size_of(tmp_path / name) == (None, [])


def test_white_is_zero_in_some_tiff_files_of_16_bits(tmp_path):
    deep = PIXELS.astype(np.uint16) * 257
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[262] = 0
    Image.fromarray(deep.max() - deep).save(tmp_path / "a.tif", tiffinfo=tags)
    np.testing.assert_array_equal(read_plain(tmp_path / "a.tif").data, deep)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_pixels_are_dark_whatever_their_colour(tmp_path, mode):
    image = Image.fromarray(PIXELS).convert(mode)
    image.putalpha(Image.fromarray(np.where(PIXELS > 100, 255, 0).astype(np.uint8)))
    image.save(tmp_path / "a.png")
    found = read_plain(tmp_path / "a.png").data
    np.testing.assert_array_equal(found, np.where(PIXELS > 100, PIXELS, 0))


@pytest.mark.parametrize("widths", [((9, 9), (9, 9)), ((0, 5), (0, 0)), ((0, 0), (30, 60))])
def test_a_bright_frame_becomes_dark(tmp_path, widths):
    for value in (255, 0):
        framed = np.pad(PIXELS, widths, constant_values=value)
        Image.fromarray(framed).save(tmp_path / "a.png")
        image = read_plain(tmp_path / "a.png")
        np.testing.assert_array_equal(image.data, np.pad(PIXELS, widths))
        assert ("The bright frame" in str(image.assumed)) == (value > 0)


def test_the_preview_in_a_photo_is_left_out(tmp_path):
    photo = Image.fromarray(PIXELS)
    photo.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[photo])
    assert read_plain(tmp_path / "a.jpg").data.shape == PIXELS.shape


def test_pixels_that_are_stored_in_another_way_are_refused(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "a.tif")
    content = (tmp_path / "a.tif").read_bytes()
    bits = bytes((2, 1, 3, 0, 1, 0, 0, 0))
    assert bits + b"\x08" in content
    (tmp_path / "a.tif").write_bytes(content.replace(bits + b"\x08", bits + b"\x40"))
    with pytest.raises(InputError, match="Save it as PNG"):
        read_plain(tmp_path / "a.tif")
