"""The drawings of a report: matched patches joined by lines, the prototypes on the label's axis,
maps of signed values."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

import numpy as np

from expert.patches import (
    COLORS,
    FAINT,
    Plane,
    box,
    display,
    edge_letters,
    is_head,
    pairs,
    patches_in_plane,
    plane_image,
)
from expert.report.document import Drawing, Line, Mark, Picture, Rect, Text

if TYPE_CHECKING:
    from expert.explanation import Explanation

UP, DOWN = "#E69F00", "#56B4E9"
"""Orange and sky blue of Okabe and Ito (2008): the two ends of a signed map, told apart by
colour-blind readers."""
STEM, PREDICTION, INK = "#0072B2", "#D55E00", "#222222"
NAMED = 3
"""Patches of a signed map that have their value written in, in each direction."""


def color_of(number: int) -> str:
    """Colour of a numbered patch (1-based)."""
    return COLORS[(number - 1) % len(COLORS)]


def decimals(largest: float) -> int:
    """Decimals that show two digits of the largest of some values."""
    return min(max(1 - math.floor(math.log10(largest)), 0), 6) if largest > 0 else 1


# --- the images -----------------------------------------------------------------------------------
def _unit(e: Explanation) -> float:
    """Size of a mark, in pixels of the view: marks look alike on small and on large images."""
    return max(e.view_shape[-2:]) / 192


def _picture(e: Explanation, image: np.ndarray, plane: Plane, x: float) -> Picture:
    from PIL import Image

    pixels = display(plane_image(image, plane), is_head(e))
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG", optimize=True)
    return Picture(x, 0, pixels.shape[1], pixels.shape[0], buffer.getvalue())


def _frame(e: Explanation, patch: int, x: float = 0.0) -> tuple[float, float, float, float]:
    """Left, top, width and height of a patch's box, a little within its borders."""
    corners = box(e, patch, inset=_unit(e)) + 0.5
    (top, left), (bottom, right) = corners[0], corners[2]
    return float(left) + x, float(top), float(right - left), float(bottom - top)


def _letters(e: Explanation, x: float) -> list[Mark]:
    height, width = e.view_shape[-2:]
    u = _unit(e)
    places = {
        "left": (6 * u, height / 2),
        "right": (width - 6 * u, height / 2),
        "top": (width / 2, 10 * u),
        "bottom": (width / 2, height - 4 * u),
    }
    letters = edge_letters(is_head(e)).items()
    return [
        Text(places[side][0] + x, places[side][1], letter, 8 * u, "#FFFFFF", halo=True)
        for side, letter in letters
    ]


def side_by_side(e: Explanation, plane: Plane, number: int, patches: list[int]) -> Drawing:
    """The subject and one prototype (0-based among those shown); boxes of one colour were matched,
    lines join them.

    Width and opacity are shares: a patch that was spread looks spread. Partners in another slice of
    a 3D view are not drawn.
    """
    match, u = e.prototypes[number], _unit(e)
    height, width = e.view_shape[-2:]
    across = width + 26 * u
    marks: list[Mark] = [Rect(0, -0.5 * u, across + width, height + u, fill="#000000")]
    marks.append(_picture(e, e.views[plane.view].image, plane, 0))
    if match.image is None:
        marks.append(
            Text(across + width / 2, height / 2 - 14 * u, "image not at hand", 9 * u, "#FFFFFF")
        )
    else:
        marks.append(_picture(e, match.image, plane, across))
    boxes, lines, numerals = [], [], []
    visible = patches_in_plane(e, plane)
    for pair in pairs(e, plane.view, number, patches):
        color = color_of(pair.number)
        left, top, wide, high = _frame(e, pair.source)
        size = min(10 * u, 0.6 * high)
        # Each number has a height of its own within its box: lines of one row of patches do not
        # cover each other.
        level = 0.25 + 0.5 * (pair.number - 0.5) / max(len(patches), 1)
        start = (left + wide, top + level * high)
        boxes.append(Rect(left, top, wide, high, stroke=color, stroke_width=1.4 * u))
        numerals.append(
            Text(
                left + 2.5 * u,
                top + size,
                str(pair.number),
                size,
                color,
                "start",
                bold=True,
                halo=True,
            )
        )
        shares = match.views[plane.view].matches(pair.source)
        for target in np.intersect1d(np.flatnonzero(shares >= FAINT), visible):
            share = float(shares[target])
            left, top, wide, high = _frame(e, int(target), across)
            strength = 0.25 + 0.75 * share
            boxes.append(
                Rect(
                    left,
                    top,
                    wide,
                    high,
                    stroke=color,
                    stroke_width=(0.4 + share) * u,
                    stroke_opacity=strength,
                )
            )
            for shade, extra, opacity in (("#000000", 1.0, 0.5), (color, 0.0, 0.9)):
                lines.append(
                    Line(
                        *start, left, top + level * high, shade, (1.6 * share + extra) * u, opacity
                    )
                )
            if target == pair.target:
                numerals.append(
                    Text(
                        left + 2.5 * u,
                        top + size,
                        str(pair.number),
                        size,
                        color,
                        "start",
                        bold=True,
                        halo=True,
                    )
                )
    letters = [*_letters(e, 0), *_letters(e, across)]
    names = [
        Text(4 * u, 10 * u, "this image", 8 * u, "#FFFFFF", "start", halo=True),
        Text(across + 4 * u, 10 * u, f"#{match.rank}", 8 * u, "#FFFFFF", "start", halo=True),
    ]
    description = f"This image and prototype {match.rank} with their matched patches"
    return Drawing(
        across + width, height, description, (*marks, *letters, *names, *boxes, *lines, *numerals)
    )


def signed_map(
    e: Explanation,
    plane: Plane,
    values: np.ndarray,
    ends: tuple[str, str],
    *,
    limit: float | None = None,
    named: int = NAMED,
) -> Drawing:
    """Values of the subject's patches (M,) as translucent colours over it, with a scale below.

    Parameters
    ----------
    e, plane : what is drawn
    values : (M,) signed; 0 is clear, the largest one strongest
    ends : what negative and positive values speak for
    limit : value of the strongest colour; the largest of `values` if None
    named : patches in each direction whose value is written in; 0 leaves away the scale, too
    """
    u, (height, width) = _unit(e), e.view_shape[-2:]
    largest = max(float(np.abs(values).max()) if limit is None else limit, negligible(e))
    digits = decimals(largest)
    marks: list[Mark] = [
        Rect(0, 0, width, height, fill="#000000"),
        _picture(e, e.views[plane.view].image, plane, 0),
    ]
    inside = patches_in_plane(e, plane).ravel()
    for patch in inside:
        value = float(values[patch])
        strength = min(abs(value) / max(largest, 1e-12), 1.0)
        if strength >= 0.02:
            marks.append(
                Rect(
                    *_frame(e, int(patch)),
                    fill=UP if value > 0 else DOWN,
                    fill_opacity=0.75 * strength,
                )
            )
    marks += _letters(e, 0)
    if not named:
        return Drawing(width, height, f"Map of {ends[0]} and {ends[1]}", tuple(marks))
    for patch in {p for sign in (1, -1) for p in strongest(e, values, sign)[:named]} & set(
        inside.tolist()
    ):
        left, top, wide, high = _frame(e, patch)
        size = min(8.5 * u, 0.34 * wide)
        text = f"{values[patch]:+.{digits}f}".replace("-", "–")
        marks.append(
            Text(
                left + wide / 2,
                top + high / 2 + size / 3,
                text,
                size,
                "#FFFFFF",
                bold=True,
                halo=True,
            )
        )
    return Drawing(
        width,
        height + 26 * u,
        f"Map of {ends[0]} and {ends[1]}",
        (*marks, *_scale(e, largest, ends)),
    )


def _scale(e: Explanation, largest: float, ends: tuple[str, str]) -> list[Mark]:
    u, (height, width), steps = _unit(e), e.view_shape[-2:], 20
    top, step, digits = height + 4 * u, width / steps, decimals(largest)
    marks: list[Mark] = [Rect(0, top, width, 7 * u, fill="#555555")]
    for n in range(steps):
        value = (n + 0.5) / steps * 2 - 1
        marks.append(
            Rect(
                n * step,
                top,
                step,
                7 * u,
                fill=UP if value > 0 else DOWN,
                fill_opacity=0.75 * abs(value),
            )
        )
    below, size = top + 17 * u, 8.5 * u
    return [
        *marks,
        Text(0, below, f"–{largest:.{digits}f} {ends[0]}", size, INK, "start"),
        Text(width / 2, below, "0", size, INK),
        Text(width, below, f"{ends[1]} +{largest:.{digits}f}", size, INK, "end"),
    ]


def negligible(e: Explanation) -> float:
    """Label units too small to be told of a patch: a hundredth of the radius, shared out over all
    patches."""
    return 0.01 * e.radius / math.prod(e.grid)


def strongest(e: Explanation, values: np.ndarray, sign: int) -> list[int]:
    """Patches whose value has this sign, the strongest first; those below a twentieth of the
    largest are left away."""
    signed = values * sign
    floor = max(0.05 * float(np.abs(values).max()), negligible(e))
    return [int(patch) for patch in np.argsort(-signed, kind="stable") if signed[patch] > floor]


# --- the plot -------------------------------------------------------------------------------------
def prototype_plot(e: Explanation) -> Drawing:
    """All prototypes as ticks on the label's axis, those that speak as stems, the prediction over
    its interval."""
    values: list[float] = [*e.labels.tolist(), e.prediction]
    if e.interval is not None:
        values += [e.interval.lower, e.interval.upper]
    low, high = min(values), max(values)
    left, wide, base, top = 14.0, 612.0, 96.0, 32.0

    def across(value: float) -> float:
        return left + wide * (value - low) / max(high - low, 1e-9)

    marks: list[Mark] = []
    if e.interval is not None:
        start, stop = across(e.interval.lower), across(e.interval.upper)
        marks.append(
            Rect(start, top - 8, stop - start, base - top + 8, fill=PREDICTION, fill_opacity=0.14)
        )
    marks.append(Line(left, base, left + wide, base, INK))
    marks += [
        Line(across(label), base, across(label), base + 5, INK, 0.8) for label in e.labels.tolist()
    ]
    peak = max(float(e.shares.max()), 1e-9)
    tips = {
        index: base - (base - top) * float(e.shares[index]) / peak
        for index in np.flatnonzero(e.shares > 0).tolist()
    }
    for index, tip in tips.items():
        x = across(float(e.labels[index]))
        marks.append(Line(x, base, x, tip, STEM, 3))
    middle = across(e.prediction)
    marks.append(Line(middle, 17, middle, base, PREDICTION, 2))
    taken: list[tuple[float, float]] = []
    for match in e.prototypes:
        x, y = across(match.label), tips.get(match.index, base)
        if abs(x - middle) < 9:  # beside its stem, away from the prediction's line
            x, y = (x - 11, y + 11) if x <= middle else (x + 11, y + 11)
        # A rank that would cover another one is left to the table.
        if match.index in tips and all(abs(x - a) > 15 or abs(y - b) > 11 for a, b in taken):
            marks.append(Text(x, y - 3, f"#{match.rank}", 10, STEM, bold=True))
            taken.append((x, y))
    marks.append(
        Text(
            min(max(middle, 40), 600), 13, f"{e.prediction:.1f} {e.unit}", 12, PREDICTION, bold=True
        )
    )
    step = nice_step(high - low)
    digits = max(-math.floor(math.log10(step)), 0)
    for n in range(math.ceil(low / step), math.floor(high / step) + 1):
        marks.append(Line(across(n * step), base + 6, across(n * step), base + 10, INK, 1.2))
        marks.append(Text(across(n * step), base + 21, f"{n * step:.{digits}f}", 11, INK))
    marks.append(Text(320, base + 36, f"{e.label_name} ({e.unit})", 11, INK))
    return Drawing(
        640, base + 42, "Prototypes by label with their shares of the prediction", tuple(marks)
    )


def nice_step(extent: float) -> float:
    """A step of 1, 2 or 5 times a power of ten that divides an extent into about eight."""
    rough = max(extent, 1e-6) / 8
    power = math.pow(10, math.floor(math.log10(rough)))
    return power * next(factor for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
