"""Tests of `expert.cli.data_commands`."""

from __future__ import annotations

from typer.testing import CliRunner

from expert.cli.main import app

run = CliRunner().invoke


def test_phantom(tmp_path):
    from expert.imaging.volume import read_volume

    out = tmp_path / "p.nii.gz"
    assert run(app, ["phantom", "--age", "30", "--seed", "2", "--out", str(out)]).exit_code == 0
    assert read_volume(out).ndim == 3
