"""Tests of `expert.datasets.derived_images`."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from expert.datasets.derived_images import (
    grey_pixels,
    halved,
    make_from_archive,
    pixels_checksum,
)
from expert.errors import InputError

MEMBER = "training_set/1_HC.png"


def original(shape=(54, 80)):
    pixels = np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)
    return Image.fromarray(pixels)


def archive(path, data=None, member=MEMBER):
    if data is None:
        stream = io.BytesIO()
        original().save(stream, "PNG")
        data = stream.getvalue()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as files:
        files.writestr(member, data)
    return path


def test_a_checksum_is_of_values_and_shape():
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert pixels_checksum(pixels) == pixels_checksum(np.asfortranarray(pixels))
    others = [pixels.reshape(4, 3), pixels.T, pixels + 1]
    assert len({pixels_checksum(one) for one in (pixels, *others)}) == 4


@pytest.mark.parametrize("shape", [(54, 80), (55, 81)])
def test_ways_to_halve_differ_and_are_of_half_the_size(shape):
    full = np.asarray(original(shape))
    found = list(halved(original(shape)))
    exact = full[:54, :80].reshape(27, 2, 40, 2).mean(axis=(1, 3))
    for method, pixels in found:
        assert pixels.dtype == np.uint8
        assert all(abs(n - m / 2) <= 0.5 for n, m in zip(pixels.shape, shape, strict=True)), method
        if method.startswith("mean"):
            assert np.abs(pixels - exact).max() < 1
    assert len({pixels_checksum(pixels) for _, pixels in found}) >= 8


@pytest.mark.parametrize(
    "way", ["mean of 2×2 pixels, rounded to even", "Pillow, lanczos", "every second pixel from 0"]
)
def test_the_image_with_the_pixels_of_the_training_is_made(tmp_path, way):
    wanted = dict(halved(original()))[way]
    target = tmp_path / "folder" / "1_HC.png"
    method = make_from_archive(archive(tmp_path / "a.zip"), MEMBER, pixels_checksum(wanted), target)
    assert method == way
    np.testing.assert_array_equal(grey_pixels(target), wanted)


def test_an_image_that_cannot_be_made_again_is_not_shown(tmp_path):
    target = tmp_path / "1_HC.png"
    with pytest.raises(InputError, match="no known way to halve it gives the pixels"):
        make_from_archive(archive(tmp_path / "a.zip"), MEMBER, "0" * 64, target)
    assert not target.exists()


def test_damaged_archives_are_one_sentence(tmp_path):
    (tmp_path / "text.zip").write_text("text")
    cases = [
        (tmp_path / "text.zip", "BadZipFile"),
        (archive(tmp_path / "other.zip", member="x.png"), "KeyError"),
        (archive(tmp_path / "noise.zip", b"no image"), "UnidentifiedImageError"),
        (archive(tmp_path / "huge.zip", bytes(60_000_000)), "too large"),
    ]
    for path, reason in cases:
        with pytest.raises(InputError, match=reason) as caught:
            make_from_archive(path, MEMBER, "0" * 64, tmp_path / "1_HC.png")
        assert str(caught.value).count(". ") == 0


def test_other_files_have_no_grey_pixels(tmp_path, head_file):
    (tmp_path / "a.png").write_text("text")
    assert grey_pixels(tmp_path / "a.png") is None
    assert grey_pixels(head_file) is None
