"""Tests of `expert.report.style`."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from expert.report.drawings import side_by_side
from expert.report.style import Canvas, figure_style, inline_svg, write_svg


def test_settings_of_the_user_neither_matter_nor_change():
    with matplotlib.rc_context({"font.size": 33.0, "svg.fonttype": "path"}):
        with figure_style():
            assert matplotlib.rcParams["svg.fonttype"] == "none"
            assert matplotlib.rcParams["font.size"] != 33.0
        assert matplotlib.rcParams["font.size"] == 33.0
        assert matplotlib.rcParams["svg.fonttype"] == "path"


def test_a_drawing_is_the_same_svg_every_time(explanation):
    from expert.patches import planes

    drawing = side_by_side(explanation, planes(explanation)[2], 0, [7, 8])
    first, second = (inline_svg(drawing) for _ in range(2))
    assert first == second
    root = ElementTree.fromstring(first)
    assert root.attrib["aria-label"] == drawing.description
    assert not [node for node in root.iter() if "id" in node.attrib]
    assert "<text" in first


def test_a_canvas_has_the_units_of_the_drawing():
    with figure_style():
        axes = Figure(figsize=(200 / 72, 100 / 72)).add_axes((0, 0, 1, 1))
        canvas = Canvas(axes, 400, 200)
        assert canvas.points == 0.5
        canvas.line((0, 0), (10, 10), "#000000", width=4)
        canvas.image(np.zeros((4, 4), dtype=np.uint8), 10, 20, 30)
    assert axes.get_lines()[0].get_linewidth() == 2
    assert tuple(axes.get_images()[0].get_extent()) == (10, 30, 30, 0)
    assert axes.get_ylim() == (200, 0)  # downwards


def test_files_have_a_title_and_no_date(tmp_path):
    figure = Figure()
    figure.add_axes((0, 0, 1, 1)).set_title("$5 & <more>")
    one, two = (write_svg(figure, tmp_path / name, "A plot") for name in ("a.svg", "b.svg"))
    assert one.read_text() == two.read_text()
    assert "A plot" in one.read_text()
    ElementTree.parse(one)
