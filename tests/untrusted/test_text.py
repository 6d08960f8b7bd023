"""Tests of `expert.untrusted.text`."""

from __future__ import annotations

import pytest

from expert.errors import InputError
from expert.untrusted.text import LONGEST, UNSAFE, plain_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Schädel 头 1.5 × 2 mm – T1 🙂", "Schädel 头 1.5 × 2 mm – T1 🙂"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("scan\u202egnp.exe", r"scan\u202egnp.exe"),
        ("two\nlines\r\nand\ttab", "two lines and tab"),
        ("a\0b\x7f\x9b", r"a\x00b\x7f\x9b"),
        ("single \ud800", r"single \ud800"),
        ("\u2028\u200b\ufeff", r"\u2028\u200b\ufeff"),
        (3, "3"),
    ],
)
def test_control_characters_become_visible(text, expected):
    assert plain_text(text) == expected
    assert plain_text(expected) == expected
    assert str(InputError(text)) == expected


def test_lines_stay_where_they_are_wanted():
    assert plain_text("a\r\nb\n\x1b\tc", lines=True) == "a\nb\n\\x1b    c"


def test_no_unsafe_character_remains():
    every = "".join(map(chr, range(0x11000)))
    for lines in (False, True):
        assert not UNSAFE.search(plain_text(every, lines=lines).replace("\n", ""))


def test_a_long_text_is_shortened_in_the_middle_once():
    short = plain_text("a" * 5000 + "end.")
    assert len(short) < LONGEST
    assert short.endswith("end.")
    assert plain_text(short) == short
