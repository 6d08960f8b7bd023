"""Commands on fetal heads."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from studies.__main__ import app


@pytest.mark.parametrize("name", ["head-outline", "turned-heads"])
def test_help(name):
    assert CliRunner().invoke(app, [name, "--help"]).exit_code == 0
