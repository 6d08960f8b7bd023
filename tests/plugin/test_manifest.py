"""Tests of `napari_expert/napari.yaml`."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

from npe2 import PluginManager, PluginManifest

import expert
import napari_expert
from napari_expert.actions import ACTIONS
from napari_expert.panel.main_widget import ExpertWidget

MANIFEST = Path(napari_expert.__file__).with_name("napari.yaml")


def test_every_command_of_the_manifest_leads_to_something():
    manifest = PluginManifest.from_file(MANIFEST)
    for command in manifest.contributions.commands:
        module, name = command.python_name.split(":")
        assert callable(getattr(importlib.import_module(module), name)), command.id
    ids = {command.id for command in manifest.contributions.commands}
    assert {f"napari-expert.{action.name}" for action in ACTIONS} <= ids


def test_manifest_and_key_list_are_those_of_the_table_of_actions():
    tool = MANIFEST.parents[1] / "tools" / "write_actions.py"
    done = subprocess.run(
        [sys.executable, tool, "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_only_what_is_ours_is_claimed():
    def claimants(name):
        return {
            reader.plugin_name
            for reader in PluginManager.instance().iter_compatible_readers([name])
        }

    PluginManager.instance().discover()
    assert "napari-expert" in claimants("head.nii.gz") & claimants("m.safetensors") & claimants(
        "e.json"
    )
    # napari itself takes one slice of a series for an image.
    assert "napari-expert" in claimants("a.dcm") & claimants("a.zip")
    # With two claimants napari asks which reader to take: not for an ultrasound image.
    assert "napari-expert" not in claimants("a.png") | claimants("a.tif") | claimants("a.csv")


def test_the_menus_have_the_commands(viewer):
    def entries(menu, *names):
        menu.aboutToShow.emit()
        for name in names:
            menu = next(
                a.menu() for a in menu.actions() if a.menu() and a.text().replace("&", "") == name
            )
            menu.aboutToShow.emit()
        return [action.text() for action in menu.actions() if action.text()]

    saving = entries(viewer.window.file_menu, "IO Utilities")
    assert sum("ExPeRT" in text and text.startswith("Save the ") for text in saving) == 4
    walking = entries(viewer.window.layers_menu, "Visualize", "ExPeRT")
    assert {
        "Next plane (ExPeRT)",
        "Previous prototype (ExPeRT)",
        "Switch between grid and lines (ExPeRT)",
    } <= set(walking)
    samples = entries(viewer.window.file_menu, "Open Sample", "ExPeRT")
    assert len(samples) == 4
    assert any("CC BY-SA 3.0" in text for text in samples)


def test_the_manifest_offers_the_panel(viewer):
    _, widget = viewer.window.add_plugin_dock_widget("napari-expert", "ExPeRT")
    assert isinstance(widget, ExpertWidget)
    assert widget.input.model == expert.DEFAULT_MODEL
    widget.close_down()
