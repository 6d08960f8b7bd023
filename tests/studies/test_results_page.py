"""Tests of `studies.results_page`."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from expert.errors import InputError
from studies import results_page
from studies.__main__ import app


@pytest.fixture
def page(tmp_path, monkeypatch):
    """The page with two sections, in a folder of its own."""
    path = tmp_path / "results.md"
    path.write_text("# Results\n\n## ixi-volume\n\nFormer.\n\n## ixi-axial\n\nPresent.\n")
    (tmp_path / "images").mkdir()
    monkeypatch.setattr(results_page, "PAGE", path)
    monkeypatch.setattr(results_page, "IMAGES", tmp_path / "images")
    return path


def test_a_section_is_replaced_by_its_results_and_the_others_stay(page, tmp_path):
    folder = tmp_path / "runs" / "ixi-volume"
    folder.mkdir(parents=True)
    (folder / "results.md").write_text("# Results\n\n## ixi-volume\n\nNew. ![plot](plot.svg)\n")
    (folder / "plot.svg").write_text("<svg/>")
    assert results_page.write_page(tmp_path / "runs") == page
    text = page.read_text()
    assert "New. ![plot](images/plot.svg)" in text
    assert "Former." not in text
    assert "## ixi-axial\n\nPresent." in text
    assert (tmp_path / "images" / "plot.svg").exists()


def test_without_tables_the_page_stays_as_it_is(page, tmp_path):
    results_page.write_page(tmp_path / "runs")
    before = page.read_text()
    done = CliRunner().invoke(app, ["results", "--page", "--out", str(tmp_path / "runs")])
    assert done.exit_code == 0, done.output
    assert page.read_text() == before


def test_an_unknown_part_is_refused(page, tmp_path):
    with pytest.raises(InputError, match="no part 'nothing'"):
        results_page.run_parts(ixi=None, hc18=None, out=tmp_path, only=["nothing"])
