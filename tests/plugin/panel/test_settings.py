"""Tests of `napari_expert.panel.settings`."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from npe2 import PluginManifest

import napari_expert
from napari_expert.panel.settings import Settings

MANIFEST = Path(napari_expert.__file__).with_name("napari.yaml")


def in_a_new_session(folder: Path, code: str) -> str:
    """What `code` prints in a Python of its own, whose napari keeps its settings in `folder`."""
    lines = [
        "from dataclasses import replace",
        "from napari_expert.panel.settings import Settings",
        code,
    ]
    environment = {**os.environ, "NAPARI_CONFIG": str(folder / "settings.yaml")}
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_choices_are_remembered_from_session_to_session(tmp_path):
    chosen = "Settings('/models/mine.safetensors', 5, 'lines', 'neurological', 'cpu', '/data')"
    assert (
        in_a_new_session(tmp_path, f"{chosen}.save()\nprint(Settings.load() == {chosen})")
        == "True\n"
    )
    assert (
        in_a_new_session(tmp_path, f"print(Settings.load() == {chosen})\nSettings().save()")
        == "True\n"
    )
    assert in_a_new_session(tmp_path, "print(Settings.load() == Settings())") == "True\n"


@pytest.mark.parametrize("content", ["[1", "hello", "panel: {prototypes: many}", "\x00\x01"])
def test_damaged_settings_become_the_defaults(tmp_path, content):
    file = tmp_path / "napari-expert.yaml"
    file.write_text(content)
    code = "print(Settings.load() == Settings())\nreplace(Settings(), prototypes=4).save()"
    assert in_a_new_session(tmp_path, code) == "True\n"
    assert yaml.safe_load(file.read_text()) == {"panel": {"prototypes": 4}}


def test_settings_that_cannot_be_kept_last_for_the_session(tmp_path):
    (tmp_path / "file").write_text("")
    code = "replace(Settings(), prototypes=4).save()\nprint(Settings.load().prototypes)"
    assert in_a_new_session(tmp_path / "file" / "folder", code) == "4\n"


def test_settings_and_manifest_agree():
    properties = PluginManifest.from_file(MANIFEST).contributions.configurations["panel"].properties
    assert {name: one.default for name, one in properties.items()} == {
        field.name: field.default for field in fields(Settings)
    }
