"""Fixtures of these tests."""

from __future__ import annotations

import pytest
from helpers.squares import draw_squares

import expert
from expert.explanation import Explanation
from expert.model_file import load_model


@pytest.fixture(scope="session")
def plain(tiny_model_file, tmp_path_factory) -> Explanation:
    """A plain 2D image: no letters, no mm."""
    folder = tmp_path_factory.mktemp("plain")
    draw_squares(folder, 4, 9)
    return expert.explain(
        load_model(tiny_model_file),
        expert.read_volume(folder / "square-02.png", pixel_size_mm=1.0),
        top=3,
    )
