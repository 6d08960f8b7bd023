"""Limits of what is read, and texts of headers on the screen."""

from __future__ import annotations

import pytest

from expert.errors import InputError
from expert.imaging.formats.stored import check_size, printable


def test_empty_and_huge_images_are_refused():
    check_size((400, 400, 400), "a.nii")
    with pytest.raises(InputError, match=r"a\.nii has 0×5×5 voxels"):
        check_size((0, 5, 5), "a.nii")
    with pytest.raises(InputError, match="at most 256 million"):
        check_size((10_000, 10_000, 10_000), "a.nii")


def test_control_characters_are_not_shown():
    assert printable("T1 \x1b[31mred\u202e\n") == "T1 �[31mred�"
    assert len(printable("x" * 500)) == 64
