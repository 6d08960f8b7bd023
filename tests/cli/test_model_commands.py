"""Tests of `expert.cli.model_commands`."""

from __future__ import annotations

from typer.testing import CliRunner

from expert.cli.main import app
from expert.schema import RESEARCH_USE

run = CliRunner().invoke


def test_info_and_version():
    result = run(app, ["info", "phantom"])
    assert result.exit_code == 0
    assert RESEARCH_USE in result.output
    assert "napari-expert" in run(app, ["--version"]).output
