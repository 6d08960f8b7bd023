"""Tests of `expert.report.typesetting`."""

from __future__ import annotations

import numpy as np
import pytest

from expert.report.typesetting import TextStyle, printable, text_width, wrap

KIND = TextStyle()


def test_the_width_of_a_text_is_the_sum_of_its_letters_and_grows_with_the_size():
    assert text_width("ab", KIND) == pytest.approx(text_width("a", KIND) + text_width("b", KIND))
    assert text_width("a", TextStyle(size=2 * KIND.size)) == pytest.approx(
        2 * text_width("a", KIND)
    )
    assert text_width("mm", KIND) > text_width("ii", KIND)
    mono = TextStyle(mono=True)
    assert text_width("mm", mono) == pytest.approx(text_width("ii", mono))


def test_no_line_is_wider_than_the_column_and_no_letter_is_lost():
    generator = np.random.default_rng(0)
    words = ["a" * int(n) for n in generator.integers(1, 60, 80)]
    lines = wrap(" ".join(words), KIND, 40.0)
    assert all(text_width(line, KIND) <= 40.0 for line in lines)
    assert "".join(lines).replace(" ", "") == "".join(words)


def test_lines_are_broken_at_spaces_where_they_can_be():
    width = text_width("one two", KIND) + 0.1
    assert wrap("one two three", KIND, width) == ["one two", "three"]
    assert wrap("", KIND, width) == [""]


@pytest.mark.parametrize(
    ("text", "printed"), [("a\nb", "a b"), ("a\u00adb", "ab"), ("頭", "?"), ("ó", "ó")]
)
def test_letters_that_no_font_has_are_replaced(text, printed):
    assert printable(text) == printed
