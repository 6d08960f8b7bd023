"""Commands on the head network."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from studies.__main__ import app
from studies.heads.commands import AFFINES


def test_poses_are_there():
    poses = json.loads(AFFINES.read_text())
    assert len(poses) == 165
    assert all(len(rows) == 3 and all(len(row) == 4 for row in rows) for rows in poses.values())


def test_help():
    for name in ("head-network", "brain-finding"):
        assert CliRunner().invoke(app, [name, "--help"]).exit_code == 0


@pytest.mark.slow
def test_brain_finding(ixi, tmp_path):
    out = tmp_path / "page.md"
    arguments = ["brain-finding", "--data", str(ixi), "--out", str(out)]
    arguments += ["--heads", "1", "--turned", "1", "--every", "145"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "skull-stripped" in out.read_text(encoding="utf-8")
