"""Drawings of a report: matched patches, prototypes on the label axis, signed maps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import MaxNLocator

from expert.patches import (
    COLORS,
    DECREASE,
    FAINT,
    INCREASE,
    Plane,
    box,
    display,
    edge_letters,
    is_head,
    pairs,
    patches_in_plane,
    plane_image,
)
from expert.report.document import Drawing
from expert.report.style import INK, PREDICTION, STEM, Canvas, label, width_in_points
from expert.untrusted.text import plain_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from expert.explanation import Explanation

WHITE, BLACK = "#FFFFFF", "#000000"
NAMED = 3
"""Patches of a signed map whose value is written in, in each direction."""


def color_of(number: int) -> str:
    """Colour of a numbered patch (1-based)."""
    return COLORS[(number - 1) % len(COLORS)]


def decimals(largest: float) -> int:
    """Decimals that show two digits of the largest of some values."""
    return min(max(1 - math.floor(math.log10(largest)), 0), 6) if largest > 0 else 1


# --- images with matched patches ------------------------------------------------------------------
def _unit(e: Explanation) -> float:
    """Size of lines and letters in pixels of the view: the same on small and on large images."""
    return max(e.view_shape[-2:]) / 192


def _frame(
    e: Explanation, patch: int, x: float = 0.0
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Top left corner (x, y) and size (width, height) of a patch's box, slightly inset."""
    corners = box(e, patch, inset=_unit(e)) + 0.5
    (top, left), (bottom, right) = corners[0], corners[2]
    return (float(left) + x, float(top)), (float(right - left), float(bottom - top))


def _image(canvas: Canvas, e: Explanation, image: np.ndarray, plane: Plane, x: float = 0) -> None:
    """A plane of an image and its orientation letters, `x` from the left."""
    (height, width), u = e.view_shape[-2:], _unit(e)
    pixels = display(plane_image(image, plane), is_head(e))
    canvas.image(np.ascontiguousarray(pixels), x, width, height)
    places = {
        "left": (6 * u, height / 2),
        "right": (width - 6 * u, height / 2),
        "top": (width / 2, 10 * u),
        "bottom": (width / 2, height - 4 * u),
    }
    for side, letter in edge_letters(is_head(e)).items():
        across, down = places[side]
        canvas.text(x + across, down, letter, 8 * u, WHITE, outlined=True)


def side_by_side(e: Explanation, plane: Plane, number: int, patches: list[int]) -> Drawing:
    """The image and one prototype; boxes of one colour were matched, lines join them.

    Width and opacity show the share, so that a patch spread over several partners is seen as such.
    Partners in another slice of a 3D view are not drawn.

    Parameters
    ----------
    e : Explanation
    plane : Plane
        The plane to draw.
    number : int
        0-based among the prototypes shown.
    patches : list of int
        Patches of the image, in the order of their numbers.

    Returns
    -------
    Drawing
        In pixels of the view.
    """
    match, u = e.prototypes[number], _unit(e)
    height, width = e.view_shape[-2:]
    across = width + 26 * u
    visible = patches_in_plane(e, plane)

    def name(
        canvas: Canvas, patch: int, text: str, color: str, x: float = 0.0, before: int = 0
    ) -> None:
        """Write the number of a patch into its box, after `before` others."""
        (left, top), (_, high) = _frame(e, patch, x)
        size = min(10 * u, 0.6 * high)
        left += 2.5 * u + 0.8 * size * (before % 3)
        top += size * (1 + before // 3)
        canvas.text(left, top, text, size, color, align="left", bold=True, outlined=True)

    def draw(axes: Axes) -> None:
        canvas = Canvas(axes, across + width, height)
        canvas.rectangle((0, -0.5 * u), (across + width, height + u), fill=BLACK)
        _image(canvas, e, e.views[plane.view].image, plane)
        right = f"#{match.rank}"
        if match.image is None:
            right += " · image not available"
        else:
            _image(canvas, e, match.image, plane, across)
        for x, title in ((0.0, "this image"), (across, right)):
            canvas.text(x + 4 * u, 10 * u, title, 8 * u, WHITE, align="left", outlined=True)
        targets: list[int] = []
        for pair in pairs(e, plane.view, number, patches):
            color = color_of(pair.number)
            (left, top), (wide, high) = _frame(e, pair.source)
            # Each number has its own height within its box, so that lines of one row of patches
            # do not cover each other.
            level = high * (0.25 + 0.5 * (pair.number - 0.5) / max(len(patches), 1))
            start = (left + wide, top + level)
            canvas.rectangle((left, top), (wide, high), edge=color, width=1.4 * u)
            shares = match.views[plane.view].matches(pair.source)
            for target in np.intersect1d(np.flatnonzero(shares >= FAINT), visible).tolist():
                share = float(shares[target])
                corner, size = _frame(e, target, across)
                canvas.rectangle(
                    corner, size, edge=color, width=(0.4 + share) * u, opacity=0.25 + 0.75 * share
                )
                end = (corner[0], corner[1] + level)
                canvas.line(start, end, BLACK, (1.6 * share + 1) * u, 0.5)
                canvas.line(start, end, color, 1.6 * share * u, 0.9)
                if target == pair.target:
                    before = targets.count(target)
                    name(canvas, target, str(pair.number), color, across, before)
                    targets.append(target)
            name(canvas, pair.source, str(pair.number), color)

    description = f"This image and prototype {match.rank} with their matched patches"
    return Drawing(across + width, height, description, draw)


# --- maps of signed values ------------------------------------------------------------------------
def signed_map(
    e: Explanation,
    plane: Plane,
    values: np.ndarray,
    ends: tuple[str, str],
    *,
    limit: float | None = None,
    named: int = NAMED,
) -> Drawing:
    """Signed values of the image's patches as translucent colours over it, with a scale below.

    Parameters
    ----------
    e : Explanation
    plane : Plane
        The plane to draw.
    values : (M,) ndarray
        Signed; 0 is transparent, the largest absolute value has the strongest colour.
    ends : (str, str)
        Meaning of negative and of positive values.
    limit : float, optional
        Value of the strongest colour; the largest absolute value if None.
    named : int
        Number of patches in each direction whose value is written in; 0 also omits the scale.

    Returns
    -------
    Drawing
        In pixels of the view.
    """
    u, (height, width) = _unit(e), e.view_shape[-2:]
    largest = max(float(np.abs(values).max()) if limit is None else limit, negligible(e))
    digits = decimals(largest)
    inside = patches_in_plane(e, plane).ravel().tolist()
    written = {patch for sign in (1, -1) for patch in strongest(e, values, sign)[:named]}

    def draw(axes: Axes) -> None:
        canvas = Canvas(axes, width, height + (26 * u if named else 0))
        _image(canvas, e, e.views[plane.view].image, plane)
        for patch in inside:
            strength = min(abs(float(values[patch])) / max(largest, 1e-12), 1.0)
            if strength >= 0.02:
                color = INCREASE if values[patch] > 0 else DECREASE
                canvas.rectangle(*_frame(e, patch), fill=color, opacity=0.75 * strength)
        for patch in sorted(written & set(inside)):
            (left, top), (wide, high) = _frame(e, patch)
            size = min(8.5 * u, 0.24 * wide)
            text = f"{values[patch]:+.{digits}f}".replace("-", "–")
            middle = (left + wide / 2, top + high / 2 + size / 3)
            canvas.text(*middle, text, size, WHITE, bold=True, outlined=True)
        if named:
            scale(canvas)

    def scale(canvas: Canvas) -> None:
        top, high, below, steps = height + 4 * u, 7 * u, height + 21 * u, 20
        step = width / steps
        canvas.rectangle((0, top), (width, high), fill="#555555")
        for n in range(steps):
            value = (n + 0.5) / steps * 2 - 1
            color = INCREASE if value > 0 else DECREASE
            canvas.rectangle((n * step, top), (step, high), fill=color, opacity=0.75 * abs(value))
        canvas.text(0, below, f"–{largest:.{digits}f} {ends[0]}", 8 * u, align="left")
        canvas.text(width / 2, below, "0", 8 * u)
        canvas.text(width, below, f"{ends[1]} +{largest:.{digits}f}", 8 * u, align="right")

    full = height + (26 * u if named else 0)
    return Drawing(width, full, f"Map of {ends[0]} and {ends[1]}", draw)


def negligible(e: Explanation) -> float:
    """Smallest value that is reported for a patch, label units.

    A hundredth of the radius, divided by the number of patches.
    """
    return 0.01 * e.radius / math.prod(e.grid)


def strongest(e: Explanation, values: np.ndarray, sign: int) -> list[int]:
    """Patches whose value has this sign, the strongest first.

    Those below a twentieth of the largest are left out.
    """
    signed = values * sign
    floor = max(0.05 * float(np.abs(values).max()), negligible(e))
    return [int(patch) for patch in np.argsort(-signed, kind="stable") if signed[patch] > floor]


# --- prototypes on the label axis -----------------------------------------------------------------
def prototype_plot(e: Explanation) -> Drawing:
    """Plot of all prototypes: labels as ticks, weights as stems, prediction and interval."""

    def draw(axes: Axes) -> None:
        Canvas(axes, 640, 130)
        inner = axes.inset_axes((0.02, 0.27, 0.96, 0.5))
        ranks = {match.index: match.rank for match in e.prototypes}
        points = width_in_points(axes)
        draw_prototypes(inner, [e], ranks, points=0.96 * points, size=points / 64)

    return Drawing(640, 130, "Prototypes by label with their weights in the prediction", draw)


def draw_prototypes(
    axes: Axes,
    explanations: list[Explanation],
    ranks: dict[int, int],
    *,
    points: float,
    size: float = 8.0,
    ink: str = INK,
    stem: str = STEM,
    name: str = STEM,
    under: int = -1,
) -> None:
    """Draw prototypes, weights and predictions on the label axis.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Drawn into.
    explanations : list of Explanation
        The prototypes of the first one are drawn; predictions and intervals of all.
    ranks : dict of int to int
        Index of a prototype to the rank written at its stem.
    points : float
        Width of the axes, points.
    size : float
        Size of the letters, points.
    ink, stem, name : str
        Colours of the axis, of the stems and of the ranks.
    under : int
        Index of the prototype to highlight, -1 for none.
    """
    e = explanations[0]
    low, high = label_range(explanations)
    per_point = (high - low) / points
    peak = max(float(e.shares.max()), 1e-9)
    axes.set(xlim=(low, high), ylim=(0, 1), yticks=[])
    axes.patch.set_visible(False)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set(color=ink, linewidth=0.1 * size)
    for one in explanations:
        if one.interval is not None:
            ends = (one.interval.lower, one.interval.upper)
            axes.axvspan(*ends, color=PREDICTION, alpha=0.15, linewidth=0, clip_on=False)
    axes.vlines(e.labels, -0.06, 0, color=ink, linewidth=0.08 * size, clip_on=False)
    used = np.flatnonzero(e.shares > 0)
    colors = [ink if index == under else stem for index in used]
    axes.vlines(
        e.labels[used], 0, e.shares[used] / peak, color=colors, linewidth=0.3 * size, clip_on=False
    )
    letters = ("A ", "B ") if len(explanations) > 1 else ("",)
    free = -math.inf
    for letter, one in sorted(
        zip(letters, explanations, strict=False), key=lambda pair: pair[1].prediction
    ):
        text = f"{letter}{one.prediction:.1f}" + ("" if letter else f" {e.unit}")
        half = 0.38 * size * len(text) * per_point
        middle = min(max(one.prediction, low + half, free + half), high - half)
        axes.vlines(one.prediction, 0, 1.16, color=PREDICTION, linewidth=0.2 * size, clip_on=False)
        label(axes, (middle, 1.24), text, 1.1 * size, PREDICTION, bold=True)
        free = middle + half
    taken: list[tuple[float, float]] = []
    for index in sorted(ranks, key=lambda index: ranks[index]):
        x, y = float(e.labels[index]), float(e.shares[index]) / peak
        aside = min((x - one.prediction for one in explanations), key=abs)
        if abs(aside) < 0.7 * size * per_point:  # beside its stem, away from the prediction's line
            x += math.copysign(1.1 * size * per_point, aside)
            y -= 0.14
        # A rank that would cover another one is only in the table.
        free_place = all(abs(x - a) > 1.6 * size * per_point or abs(y - b) > 0.15 for a, b in taken)
        if e.shares[index] > 0 and free_place:
            label(axes, (x, y + 0.04), f"#{ranks[index]}", 0.95 * size, name, bold=True)
            taken.append((x, y))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10]))
    axes.tick_params(length=0, pad=0.6 * size, labelsize=size, labelcolor=ink)
    words = plain_text(f"{e.label_name} ({e.unit})")
    axes.set_xlabel(words, fontsize=size, color=ink, parse_math=False)


def label_range(explanations: list[Explanation]) -> tuple[float, float]:
    """Ends of the label axis: all prototypes, predictions and intervals."""
    values = explanations[0].labels.tolist()
    for e in explanations:
        values.append(e.prediction)
        if e.interval is not None:
            values += [e.interval.lower, e.interval.upper]
    return min(values), max(max(values), min(values) + 1e-9)
