"""Tests of `studies.external.by_site`."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from helpers.squares import draw_squares

from expert.errors import InputError
from expert.model_file import load_model
from expert.schema import RESEARCH_USE
from studies.external.by_site import run_study, write_page


@pytest.fixture(scope="module")
def tables(tmp_path_factory) -> list[Path]:
    """A table without sites, with a damaged image, and one with two sites."""
    folder = tmp_path_factory.mktemp("tables")
    first, second = (draw_squares(folder / name, 6, seed) for seed, name in enumerate("AB"))
    (first.parent / "square-01.png").write_text("no image")
    header, *rows = second.read_text().split()
    sites = [f"{row},{'B1' if n < 3 else 'B2'}" for n, row in enumerate(rows)]
    second.write_text("\n".join([f"{header},site", *sites]))
    return [first, second]


@pytest.fixture(scope="module")
def found(tiny_model_file, tables):
    return run_study(load_model(tiny_model_file), tables, jobs=1)


def test_sites_of_all_tables_are_listed(found):
    assert [site.name for site in found.sites] == ["A", "B1", "B2", "all"]
    assert [site.heads for site in found.sites] == [6, 3, 3, 12]
    assert [site.refused for site in found.sites] == [1, 0, 0, 1]
    error = [abs(one.prediction - one.label) for one in found.images if one.prediction is not None]
    assert found.sites[-1].errors.mae == pytest.approx(np.mean(error))
    # The file names of the two tables are the same, their subjects are not.
    assert found.sites[-1].subjects == 11


def test_the_page_has_a_table_and_a_plot(found, tmp_path):
    plot = write_page(found, tmp_path / "external.md")
    assert plot == tmp_path / "external.svg"
    text = (tmp_path / "external.md").read_text()
    for name in ("A", "B1", "B2", "all"):
        assert f"\n| {name} | " in text
    assert "(external.svg)" in text
    assert "prototypes of the model" not in text
    assert RESEARCH_USE in text
    assert "square-01" not in text
    assert "Refused:" in text
    drawn = "".join(ElementTree.parse(plot).getroot().itertext())
    assert all(name in drawn for name in ("A", "B1", "B2"))


def test_a_study_needs_a_table(tiny_model_file):
    with pytest.raises(InputError, match="--data"):
        run_study(load_model(tiny_model_file), [])
