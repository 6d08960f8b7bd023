"""A self-contained HTML page of an explanation: images with their matched patches joined by lines, plot, tables, provenance."""

from __future__ import annotations

import base64
import datetime
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from expert.errors import InputError
from expert.explanation import Explanation
from expert.matches import (
    COLORS,
    CONVENTION,
    FAINT,
    Plane,
    box,
    chosen_patches,
    display,
    edge_letters,
    is_head,
    middle_plane,
    pairs,
    patches_in_plane,
    plane_image,
    planes,
    sharpness,
    whereabouts,
)

if TYPE_CHECKING:
    from expert.schema import ModelInfo

GAP = 26.0


def write_report(
    explanation: Explanation, path: str | os.PathLike[str], *, model: ModelInfo | None = None, source: str | None = None
) -> Path:
    """Write an explanation as one HTML file that needs nothing else and prints on A4.

    Parameters
    ----------
    explanation : from `expert.explain` or `Explanation.load`
    path : file to write
    model : the model's own description, for its card (`expert.load_model(...).info`)
    source : what to call the image; nothing about the image's origin is written unless given

    Returns
    -------
    Path of the file

    Raises
    ------
    InputError
        The file cannot be written.
    """
    import jinja2

    environment = jinja2.Environment(loader=jinja2.PackageLoader("expert"), autoescape=True, undefined=jinja2.StrictUndefined)
    text = environment.get_template("report.html").render(_content(explanation, model, source))
    target = Path(path)
    temporary = target.with_name(target.name + ".part")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(target)
    except OSError as error:
        raise InputError(f"The report could not be written to {target}: {error.strerror}.") from error
    return target


def _content(e: Explanation, model: ModelInfo | None, source: str | None) -> dict[str, Any]:
    head, plane = is_head(e), planes(e)[middle_plane(e)]
    patches = chosen_patches(e, plane, "closest")
    rows = [
        {
            "pair": pair,
            "rank": match.rank,
            "color": COLORS[(pair.number - 1) % len(COLORS)],
            "source": whereabouts(e, plane.view, pair.source),
            "target": whereabouts(e, plane.view, pair.target),
        }
        for number, match in enumerate(e.prototypes)
        for pair in pairs(e, plane.view, number, patches)
    ]
    return {
        "e": e,
        "head": head,
        "convention": CONVENTION,
        "plane": plane,
        "figures": [_figure(e, plane, number, patches) for number in range(len(e.prototypes))],
        "rows": rows,
        "plot": _plot(e),
        "voices": int((e.shares > 0).sum()),
        "sharpness": sharpness(e, plane.view),
        "model": model,
        "source": source,
        "date": datetime.date.today().isoformat(),
    }


def _png(image: np.ndarray) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _figure(e: Explanation, plane: Plane, number: int, patches: list[int]) -> dict[str, Any]:
    """Subject and one prototype side by side: pixel coordinates of an SVG whose unit is a pixel of the input."""
    head, match, visible = is_head(e), e.prototypes[number], patches_in_plane(e, plane)
    height, width = e.view_shape[-2:]
    across = width + GAP
    boxes, lines, numerals = [], [], []
    for pair in pairs(e, plane.view, number, patches):
        color = COLORS[(pair.number - 1) % len(COLORS)]
        left = box(e, pair.source, inset=1) + 0.5
        boxes.append({"x": left[0, 1], "y": left[0, 0], "color": color, "width": 1.4, "opacity": 1})
        numerals.append({"x": left[0, 1] + 2.5, "y": left[0, 0] + 11, "color": color, "text": pair.number})
        shares = match.views[plane.view].matches(pair.source)
        start = left.mean(axis=0)
        for target in np.intersect1d(np.flatnonzero(shares >= FAINT), visible):
            share = float(shares[target])
            right = box(e, int(target), inset=1) + np.array([0.5, 0.5 + across])
            end = right.mean(axis=0)
            opacity = 0.25 + 0.75 * share
            boxes.append({"x": right[0, 1], "y": right[0, 0], "color": color, "width": 0.4 + share, "opacity": opacity})
            lines.append({"x1": start[1], "y1": start[0], "x2": end[1], "y2": end[0], "color": color, "width": 1.6 * share})
            if target == pair.target:
                numerals.append({"x": right[0, 1] + 2.5, "y": right[0, 0] + 11, "color": color, "text": pair.number})
    side = np.array(e.view_shape[-2:]) / np.array(e.grid[-2:]) - 2
    places = {
        "left": (6, height / 2), "right": (width - 6, height / 2), "top": (width / 2, 9), "bottom": (width / 2, height - 3),
    }  # fmt: skip
    letters = [
        {"x": places[edge][0] + shift, "y": places[edge][1], "text": letter}
        for edge, letter in edge_letters(head).items()
        for shift in (0, across)
    ]
    return {
        "match": match,
        "height": height,
        "width": width,
        "across": across,
        "box": (float(side[1]), float(side[0])),
        "subject": _png(display(plane_image(e.views[plane.view].image, plane), head)),
        "prototype": None if match.image is None else _png(display(plane_image(match.image, plane), head)),
        "boxes": boxes,
        "lines": lines,
        "numerals": numerals,
        "letters": letters,
    }


def _plot(e: Explanation) -> dict[str, Any]:
    """The prototypes on the label's axis, in the units of an SVG of 640 by 130."""
    low, high = float(e.labels.min()), float(e.labels.max())
    if e.interval is not None:
        low, high = min(low, e.interval.lower), max(high, e.interval.upper)
    low, high = min(low, e.prediction), max(high, e.prediction)
    left, wide, base, top = 20.0, 600.0, 90.0, 22.0

    def across(value: float) -> float:
        return left + wide * (value - low) / max(high - low, 1e-9)

    peak = max(float(e.shares.max()), 1e-9)
    return {
        "base": base,
        "top": top,
        "left": left,
        "right": left + wide,
        "ticks": [(across(float(v)), f"{v:.0f}") for v in np.linspace(low, high, 7)],
        "marks": [across(float(label)) for label in e.labels],
        "stems": [
            (across(float(label)), base - (base - top) * float(share) / peak)
            for label, share in zip(e.labels, e.shares, strict=True)
            if share > 0
        ],
        "prediction": across(e.prediction),
        "interval": None if e.interval is None else (across(e.interval.lower), across(e.interval.upper)),
    }
