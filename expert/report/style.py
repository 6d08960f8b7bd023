"""Matplotlib settings of all figures, and figures as SVG."""

from __future__ import annotations

import base64
import io
import warnings
import xml.etree.ElementTree as ElementTree  # nosec B405
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import matplotlib
import numpy as np
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import Stroke
from PIL import Image

from expert.untrusted.text import plain_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from expert.report.document import Drawing

STEM, PREDICTION, INK = "#0072B2", "#D55E00", "#222222"
OUTLINE, OUTLINED = "outline", "outlined"
SVG, XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
SETTINGS: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "expert",  # the same figure gives the same file
    "pdf.fonttype": 42,
    "image.composite_image": False,
}


@contextmanager
def figure_style() -> Iterator[None]:
    """Matplotlib's defaults with `SETTINGS`, whatever the user has configured."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS)
        # Browsers have glyphs that the font does not; for PDF, `pdf.printable` replaces them.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


class Canvas:
    """Axes in the units of a drawing, y downwards; lines and letters are measured in these, too.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Drawn into.
    width, height : float
        Size of the drawing, units.
    """

    def __init__(self, axes: Axes, width: float, height: float) -> None:
        axes.set(xlim=(0, width), ylim=(height, 0))
        axes.axis("off")
        self.axes = axes
        self.points = width_in_points(axes) / width
        """Points per unit."""

    def image(self, pixels: np.ndarray, x: float, width: float, height: float) -> None:
        """8-bit grey values stretched over a rectangle whose top left corner is (x, 0)."""
        self.axes.imshow(
            pixels,
            cmap="gray",
            vmin=0,
            vmax=255,
            extent=(x, x + width, height, 0),
            aspect="auto",
            interpolation="none",
            clip_on=False,
            zorder=2,
        )

    def rectangle(
        self,
        corner: tuple[float, float],
        size: tuple[float, float],
        *,
        fill: str = "none",
        edge: str = "none",
        width: float = 1.0,
        opacity: float = 1.0,
    ) -> None:
        """A filled or outlined rectangle."""
        self.axes.add_artist(
            Rectangle(
                corner,
                *size,
                facecolor=fill if fill == "none" else to_rgba(fill, opacity),
                edgecolor=edge if edge == "none" else to_rgba(edge, opacity),
                linewidth=width * self.points if edge != "none" else 0,
                clip_on=False,
                zorder=2,
            )
        )

    def line(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        color: str,
        width: float = 1.0,
        opacity: float = 1.0,
    ) -> None:
        """A straight line."""
        (x1, y1), (x2, y2) = start, end
        self.axes.plot(
            (x1, x2),
            (y1, y2),
            color=color,
            linewidth=width * self.points,
            alpha=opacity,
            solid_capstyle="butt",
            clip_on=False,
            scalex=False,
            scaley=False,
        )

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        color: str = INK,
        *,
        align: Literal["left", "center", "right"] = "center",
        bold: bool = False,
        outlined: bool = False,
    ) -> None:
        """One line of text on the baseline `y`; outlined in black, it is legible on any image."""
        label(
            self.axes,
            (x, y),
            text,
            size * self.points,
            color,
            align=align,
            bold=bold,
            outlined=outlined,
        )


def width_in_points(axes: Axes) -> float:
    """Width of axes on screen or paper."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    return float(axes.bbox.width * 72 / figure.dpi)


def label(
    axes: Axes,
    place: tuple[float, float],
    text: str,
    size: float,
    color: str,
    *,
    align: Literal["left", "center", "right"] = "center",
    bold: bool = False,
    outlined: bool = False,
) -> None:
    """Text at a place of the axes' data, `size` in points."""
    for stroke in (True, False) if outlined else (False,):
        drawn = axes.text(
            *place,
            plain_text(text),  # an SVG file cannot hold control characters
            fontsize=size,
            color="black" if stroke else color,
            ha=align,
            va="baseline",
            weight="bold" if bold else "normal",
            clip_on=False,
            parse_math=False,  # a "$" in a name is a "$"
            zorder=4,
        )
        # A stroked text becomes a path in every file format, so the text itself is drawn over it.
        if stroke:
            drawn.set_path_effects([Stroke(linewidth=0.22 * size, foreground="black")])
        if outlined:
            drawn.set_gid(OUTLINE if stroke else OUTLINED)


def figure_of(drawing: Drawing) -> Figure:
    """A drawing as a Matplotlib figure, one unit per point."""
    figure = Figure(figsize=(drawing.width / 72, drawing.height / 72))
    figure.patch.set_visible(False)
    drawing.draw(figure.add_axes((0, 0, 1, 1)))
    return figure


def inline_svg(drawing: Drawing) -> str:
    """A drawing as an ``<svg>`` element for an HTML page whose style sheet sets font and outlines.

    Parameters
    ----------
    drawing : Drawing
        Must not use clipping or markers.

    Returns
    -------
    str
        The element, without identifiers, date and style sheet of its own.
    """
    buffer = io.BytesIO()
    with figure_style():
        figure_of(drawing).savefig(buffer, format="svg", metadata={"Date": None})
    # Matplotlib has just written it: nothing from outside is parsed.
    root = ElementTree.fromstring(buffer.getvalue())  # nosec B314
    root.attrib = {
        "viewBox": root.attrib["viewBox"],
        "preserveAspectRatio": "xMinYMid",
        "role": "img",
        "aria-label": plain_text(drawing.description),
    }
    for parent in list(root.iter()):
        parent.tag = parent.tag.removeprefix(SVG)
        if parent.attrib.pop("id", "") == OUTLINED:
            parent.attrib["class"] = OUTLINED
        if XLINK in parent.attrib:
            parent.attrib["href"] = _as_grey(parent.attrib.pop(XLINK))
        for child in list(parent):
            if child.tag in (f"{SVG}metadata", f"{SVG}defs") or child.get("id") == OUTLINE:
                parent.remove(child)
    return ElementTree.tostring(root, encoding="unicode")


def _as_grey(link: str) -> str:
    """An embedded PNG with one channel instead of RGBA if it is opaque and grey: smaller."""
    start = "data:image/png;base64,"
    if not link.startswith(start):
        return link
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(link[len(start) :]))))
    if pixels.ndim != 3 or pixels.shape[2] != 4:
        return link
    grey = pixels[..., 0]
    if (pixels[..., 3] < 255).any() or (pixels[..., 1:3] != grey[..., None]).any():
        return link
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(grey)).save(buffer, format="PNG", optimize=True)
    return start + base64.b64encode(buffer.getvalue()).decode("ascii")


def write_svg(figure: Figure, path: Path, description: str) -> Path:
    """Write a figure as an SVG file without a date.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : pathlib.Path
        File to write.
    description : str
        Title in the file.

    Returns
    -------
    Path
        The file.
    """
    with figure_style():
        figure.savefig(path, format="svg", metadata={"Date": None, "Title": description})
    return path
