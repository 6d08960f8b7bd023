"""Tests of `expert.cohort.cells`."""

from __future__ import annotations

import pytest

from expert.cohort.cells import cell, plain, plain_row


@pytest.mark.parametrize("text", ["=1+1", "+a", "-x.nii", "@a", "'=b", "'c", "a=b", "", "'"])
def test_no_text_is_a_formula_and_the_text_comes_back(text):
    written = cell("input", text)
    assert not written.startswith(("=", "+", "-", "@"))
    assert plain("input", written) == text
    assert plain_row({"input": written, "label": "-3"}) == {"input": text, "label": "-3"}


def test_numbers_keep_their_sign():
    assert cell("prediction", "-3.0000") == "-3.0000"
    assert cell("prototypes_in_radius", 4) == "4"


@pytest.mark.parametrize(
    ("text", "written"),
    [("two\r\nlines", "two  lines"), ("nul\0", "nul "), ("a\udcffb", "a\\udcffb"), ("é", "é")],
)
def test_every_cell_is_one_line_of_utf_8(text, written):
    assert cell("input", text) == written
