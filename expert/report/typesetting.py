"""Text on PDF pages: which characters can be printed, how wide they are, where lines are broken."""

from __future__ import annotations

import functools
import unicodedata
from dataclasses import dataclass

from matplotlib.figure import Figure as Page
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.ft2font import LoadFlags
from matplotlib.patches import Rectangle

PAGE_WIDTH, PAGE_HEIGHT = 210.0, 297.0
"""A4, mm."""
POINT = 25.4 / 72
"""mm."""
LEADING = 1.36
"""Height of a line in units of the font's size."""
TEXT = 8.2
"""Size of running text, points."""
INK = "#1b1b1b"


@dataclass(frozen=True)
class TextStyle:
    """How a text is printed."""

    size: float = TEXT
    color: str = INK
    bold: bool = False
    mono: bool = False

    @property
    def leading(self) -> float:
        """Height of a line, mm."""
        return self.size * LEADING * POINT


@functools.cache
def _path(bold: bool, mono: bool) -> str:
    family = "DejaVu Sans Mono" if mono else "DejaVu Sans"
    return str(findfont(FontProperties(family=[family], weight="bold" if bold else "normal")))


@functools.cache
def _letters() -> frozenset[int]:
    """Code points that all three fonts have."""
    kinds = ((False, False), (True, False), (False, True))
    return frozenset.intersection(
        *(frozenset(get_font(_path(bold, mono)).get_charmap()) for bold, mono in kinds)
    )


def printable(text: str) -> str:
    """Text in characters that the fonts have.

    Accents are dropped where necessary, other characters become "?"; control characters become
    spaces, invisible ones are left out.
    """
    out = []
    for letter in text:
        kind = unicodedata.category(letter)
        if kind == "Cf":
            continue
        if kind in ("Cc", "Zl", "Zp"):
            letter = " "
        elif not _known(letter):
            letter = unicodedata.normalize("NFKD", letter)
            letter = "".join(c for c in letter if not unicodedata.combining(c))
        out.append(letter if _known(letter) else "?")
    return "".join(out)


def _known(text: str) -> bool:
    return all(ord(letter) in _letters() and letter <= "\uffff" for letter in text)


@functools.cache
def _advance(letter: str, bold: bool, mono: bool) -> float:
    """Width of a letter in units of the font's size."""
    font = get_font(_path(bold, mono))
    font.set_size(100, 72)
    glyph = font.load_char(ord(letter), flags=LoadFlags.NO_HINTING)
    return float(glyph.linearHoriAdvance) / 65536 / 100


def text_width(text: str, kind: TextStyle) -> float:
    """Width of a printable text, mm."""
    return sum(_advance(c, kind.bold, kind.mono) for c in text) * kind.size * POINT


def wrap(text: str, kind: TextStyle, width: float) -> list[str]:
    """Lines of a text, broken at spaces and, where a word is wider than the line, within it."""
    lines, line, used = [], "", 0.0
    space = text_width(" ", kind)
    for word in printable(text).split(" "):
        wide = text_width(word, kind)
        if line and used + space + wide > width:
            lines.append(line)
            line, used = "", 0.0
        while wide > width:
            fits, there = 1, 0.0
            while fits < len(word) and there + text_width(word[fits - 1], kind) <= width:
                there += text_width(word[fits - 1], kind)
                fits += 1
            cut = max(fits - 1, 1)
            lines.append(word[:cut])
            word = word[cut:]
            wide = text_width(word, kind)
        if word:
            line, used = (f"{line} {word}", used + space + wide) if line else (word, wide)
    return [*lines, line] if line or not lines else lines


def print_line(
    page: Page, x: float, y: float, text: str, kind: TextStyle, align: str = "left"
) -> None:
    """Print one line whose top is at `y`."""
    page.text(
        x / PAGE_WIDTH,
        1 - (y + 0.78 * kind.leading) / PAGE_HEIGHT,
        text,
        fontsize=kind.size,
        family="DejaVu Sans Mono" if kind.mono else "DejaVu Sans",
        weight="bold" if kind.bold else "normal",
        color=kind.color,
        ha=align,
        va="baseline",
        parse_math=False,
    )


def fill(page: Page, x: float, y: float, width: float, height: float, color: str) -> None:
    """A filled rectangle; also used for rules."""
    page.add_artist(
        Rectangle(
            (x / PAGE_WIDTH, 1 - (y + height) / PAGE_HEIGHT),
            width / PAGE_WIDTH,
            height / PAGE_HEIGHT,
            transform=page.transFigure,
            facecolor=color,
            linewidth=0,
            zorder=0,
        )
    )
