"""The command `series`, and the list where a series must be chosen."""

from __future__ import annotations

from helpers.dicom_files import changed, series, write
from typer.testing import CliRunner

from expert.cli.main import app


def invoke(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments])


def test_series_are_listed_without_control_characters(tmp_path):
    files = series(SeriesNumber=2, SeriesDescription="T1\x1b[2J")
    write(tmp_path, files + changed(series(), SeriesNumber=4))
    result = invoke("series", tmp_path)
    assert result.exit_code == 0
    first, second = result.output.splitlines()
    assert first.startswith("    2  T1�[2J; MR; 14 slices of 9×11, 2×1.5×1.2 mm")
    assert second.startswith("    4  ")


def test_long_lists_are_cut(tmp_path):
    write(tmp_path, [file for n in range(70) for file in series(SeriesNumber=n)[:1]])
    lines = invoke("series", tmp_path).output.splitlines()
    assert len(lines) == 61
    assert lines[-1].strip() == "and 10 more"


def test_a_folder_without_series_is_one_sentence(tmp_path):
    result = invoke("series", tmp_path)
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")


def test_explain_lists_the_series_that_can_be_chosen(tmp_path):
    files = series(SeriesDescription="T1")
    write(tmp_path / "in", files + changed(series(SeriesNumber=4)))
    for command in ("explain", "view"):
        options = ("--out", tmp_path / "out") if command == "explain" else ()
        result = invoke(command, tmp_path / "in", *options)
        assert result.exit_code == 1
        assert "    3  T1; MR; 14 slices" in result.stderr
        assert "choose one with --series (there are 3, 4)." in result.stderr
    result = invoke("explain", tmp_path / "in", "--series", "5", "--out", tmp_path / "out")
    assert "has no DICOM series 5: there are 3, 4." in result.stderr
