"""Tests of `expert.report.style`."""

from __future__ import annotations

import base64
import io
import re
from xml.etree import ElementTree

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from expert.report.document import Drawing
from expert.report.drawings import prototype_plot
from expert.report.style import Canvas, inline_svg, write_svg


def hostile(axes) -> None:
    canvas = Canvas(axes, 40, 20)
    canvas.text(20, 10, "$x^2$ <b>&\x00\ud800", 5, outlined=True)


def test_text_stays_text_and_markup_is_escaped():
    root = ElementTree.fromstring(inline_svg(Drawing(40, 20, "a < b", hostile)))
    assert [text.text for text in root.iter("text")] == [r"$x^2$ <b>&\x00\ud800"]
    assert root.get("aria-label") == "a < b"
    assert [group.get("class") for group in root.iter("g") if group.find("text") is not None] == [
        "outlined"
    ]


def test_the_same_drawing_is_the_same_svg_without_identifiers_and_date(explanation):
    drawing = prototype_plot(explanation)
    first = inline_svg(drawing)
    assert first == inline_svg(drawing)
    assert not re.search(r"\bid=|url\(|<style|metadata|xlink", first)


def test_the_settings_of_the_user_neither_count_nor_change(explanation):
    drawing = prototype_plot(explanation)
    plain = inline_svg(drawing)
    with matplotlib.rc_context({"font.size": 30, "svg.fonttype": "path", "axes.grid": True}):
        before = dict(matplotlib.rcParams)
        inline_svg(drawing)
        assert dict(matplotlib.rcParams) == before
    assert inline_svg(drawing) == plain


def test_grey_images_are_embedded_with_one_channel():
    pixels = np.arange(200, dtype=np.uint8).reshape(10, 20)

    def draw(axes) -> None:
        Canvas(axes, 20, 10).image(pixels, 0, 20, 10)

    root = ElementTree.fromstring(inline_svg(Drawing(20, 10, "grey", draw)))
    (image,) = root.iter("image")
    data = image.attrib["href"].removeprefix("data:image/png;base64,")
    embedded = Image.open(io.BytesIO(base64.b64decode(data)))
    assert embedded.mode == "L"
    # Matplotlib's grey colour map rounds some values down.
    np.testing.assert_allclose(np.asarray(embedded, dtype=int), pixels, atol=1)


def test_a_file_has_a_title_and_no_date(tmp_path):
    figure = Figure()
    figure.add_subplot().plot([1, 2])
    text = write_svg(figure, tmp_path / "a.svg", "Errors").read_text()
    assert "<title>Errors</title>" in text
    assert "dc:date" not in text
    write_svg(figure, tmp_path / "b.svg", "Errors")
    assert (tmp_path / "b.svg").read_text() == text
