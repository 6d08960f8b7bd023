"""What is opened, saved, chosen from a menu and remembered: the manifest and what stands behind
it."""

from __future__ import annotations

import ast
import importlib
import json
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import napari
import numpy as np
import pytest
import yaml
from napari.utils.notifications import notification_manager
from npe2 import PluginManager, PluginManifest

import expert
from expert.datasets import table as datasets
from expert.datasets.prototype_images import SAMPLE, SAMPLE_AGE, find_reference
from expert.errors import InputError
from expert.model_file import SHIPPED, load_model, shipped_models
from napari_expert import commands, readers, writers
from napari_expert.layer_geometry import layer_arguments
from napari_expert.panel.main_widget import ExpertWidget
from napari_expert.panel.settings import Settings

MANIFEST = Path(commands.__file__).with_name("napari.yaml")


def needs(method: str):
    """Skip where the panel has no such method yet."""
    return pytest.mark.skipif(
        not hasattr(ExpertWidget, method), reason=f"the panel has no {method} yet"
    )


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy()


@pytest.fixture
def panel(viewer, dock):
    return dock(viewer)


@pytest.fixture
def saved(explanation, tmp_path) -> Path:
    return explanation.save(tmp_path / "e.json")


@pytest.fixture
def model_file(tmp_path) -> Path:
    """The embedded model under another name, as somebody would send it."""
    path = tmp_path / "theirs.safetensors"
    path.write_bytes((SHIPPED / "phantom.safetensors").read_bytes())
    return path


def told() -> list[str]:
    return [str(record.message) for record in notification_manager.records]


def panels(viewer) -> list[ExpertWidget]:
    return [
        widget for widget in viewer.window.dock_widgets.values() if isinstance(widget, ExpertWidget)
    ]


# --- the manifest ---------------------------------------------------------------------------------
def test_every_command_of_the_manifest_leads_to_something():
    manifest = PluginManifest.from_file(MANIFEST)
    for command in manifest.contributions.commands:
        module, name = command.python_name.split(":")
        assert callable(getattr(importlib.import_module(module), name)), command.id
    ids = {command.id for command in manifest.contributions.commands}
    functions = {
        name
        for name, value in vars(commands).items()
        if getattr(value, "__module__", "") == commands.__name__
    }
    assert {f"napari-expert.{name}" for name in functions - {"panel_of", "_panel"}} <= ids


@needs("run_or_cancel")
def test_the_panel_has_every_method_that_a_command_calls():
    tree = ast.parse(Path(commands.__file__).read_text(encoding="utf-8"))
    called = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "panel"
    }
    assert len(called) > 10
    assert [name for name in sorted(called - {"parent"}) if not hasattr(ExpertWidget, name)] == []


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
    # With two claimants napari asks which reader to take: not for an ultrasound image.
    assert "napari-expert" not in claimants("a.png") | claimants("a.tif") | claimants(
        "a.dcm"
    ) | claimants("a.csv")


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


# --- commands -------------------------------------------------------------------------------------
def test_a_command_opens_the_panel_that_the_menu_means(viewer):
    commands.show_panel()
    (panel,) = panels(viewer)
    menu = viewer.window.plugins_menu
    menu.aboutToShow.emit()
    entry = next(action for action in menu.actions() if action.text() == commands.DOCK)
    entry.trigger()
    assert panels(viewer) == [panel]
    dock = panel.parent()
    dock.hide()
    commands.show_panel()
    assert not dock.isHidden()
    assert panels(viewer) == [panel]
    panel.close_down()


def test_a_command_finds_a_panel_however_it_was_opened(viewer):
    _, widget = viewer.window.add_plugin_dock_widget("napari-expert", "ExPeRT")
    assert commands.panel_of(napari.current_viewer()) is widget
    commands.show_panel()
    assert panels(viewer) == [widget]
    widget.close_down()


def test_a_command_acts_on_the_panel(panel, explanation):
    panel.show_explanation(explanation)
    PluginManager.instance().commands.execute("napari-expert.clear")
    assert panel.explanation is None


def test_without_a_panel_a_command_says_what_to_do(viewer):
    commands.next_plane()
    commands.save_report()
    assert told()[-2:] == [commands.NOTHING] * 2
    assert panels(viewer) == []


@needs("run_or_cancel")
def test_the_run_command_runs(panel, viewer, head, qtbot):
    data, arguments = layer_arguments(head)
    viewer.add_image(data, **arguments)
    with qtbot.waitSignal(panel.ended, timeout=120_000):
        commands.run()
    assert panel.explanation is not None


# --- opening --------------------------------------------------------------------------------------
def test_a_dropped_model_is_chosen_in_the_panel(viewer, model_file):
    assert viewer.open(str(model_file), plugin=None) == []
    (panel,) = panels(viewer)
    assert panel.model == str(model_file)
    assert len(viewer.layers) == 0
    panel.close_down()


@needs("open_explanation")
def test_a_dropped_explanation_is_shown_without_its_image(viewer, saved, explanation):
    assert viewer.open(str(saved), plugin=None) == []
    (panel,) = panels(viewer)
    assert panel.explanation.prediction == explanation.prediction
    assert len(panel.scene.cells) == 4
    panel.close_down()


@needs("open_explanation")
def test_a_dropped_explanation_is_shown_beside_its_image(viewer, panel, saved, explanation, head):
    data, arguments = layer_arguments(head)
    viewer.add_image(data, **arguments, name="head")
    viewer.open(str(saved), plugin=None)
    assert panel.explanation.prediction == explanation.prediction
    assert "head" in viewer.layers


@pytest.mark.parametrize(
    "damage", [lambda content: content[:-50], lambda content: b"no model"], ids=["cut", "text"]
)
def test_a_damaged_model_is_told_and_changes_nothing(
    viewer, panel, model_file, explanation, damage
):
    panel.show_explanation(explanation)
    model_file.write_bytes(damage(model_file.read_bytes()))
    assert viewer.open(str(model_file), plugin=None) == []
    assert told()[-1].startswith("theirs.safetensors is not a readable model file")
    assert panel.model == "phantom"
    assert panel.explanation is explanation


@needs("open_explanation")
def test_a_damaged_explanation_is_told_and_changes_nothing(viewer, panel, saved, explanation):
    panel.show_explanation(explanation)
    saved.write_text(saved.read_text()[:20_000])
    assert viewer.open(str(saved), plugin=None) == []
    assert "is not an explanation saved by napari-expert" in told()[-1]
    assert panel.explanation is explanation


def test_other_peoples_files_are_left_to_them(tmp_path):
    from safetensors.numpy import save_file

    save_file({"x": np.zeros(3)}, tmp_path / "other.safetensors")
    (tmp_path / "other.json").write_text(json.dumps({"schema_version": 1, "data": [1, 2]}))
    (tmp_path / "text.json").write_bytes(b"\xff\xfe nothing")
    for name in ("other.safetensors", "other.json", "text.json", "missing.json"):
        assert readers.get_reader(str(tmp_path / name)) is None


def test_kinds_are_not_mixed(model_file, saved, head_file):
    assert readers.get_reader([str(head_file), str(head_file)]) is readers.read
    assert readers.get_reader([str(model_file), str(head_file)]) is None
    assert readers.get_reader([]) is None


def test_without_a_window_a_model_names_the_way(model_file, saved):
    for path, way in ((model_file, "expert.load_model"), (saved, "expert.Explanation.load")):
        with pytest.raises(InputError, match=way):
            readers.get_reader(str(path))(str(path))


# --- saving ---------------------------------------------------------------------------------------
@needs("save_explanation")
@pytest.mark.parametrize("ending", [".json", ".html"])
def test_the_layers_of_a_result_are_saved_as_what_they_show(
    viewer, panel, explanation, tmp_path, ending
):
    panel.show_explanation(explanation)
    path = tmp_path / f"r{ending}"
    assert viewer.layers.save(str(path)) == [str(path)]
    if ending == ".json":
        assert expert.Explanation.load(path).prediction == explanation.prediction
    else:
        assert expert.schema.RESEARCH_USE in path.read_text()


def test_other_layers_are_not_saved_as_an_explanation(viewer, tmp_path):
    viewer.add_image(np.zeros((8, 8)))
    viewer.add_shapes([[[0, 0], [4, 4]]], shape_type="line")
    viewer.add_vectors(np.zeros((1, 2, 2)))
    with pytest.raises(InputError, match="show no explanation"):
        viewer.layers.save(str(tmp_path / "x.json"))
    assert not (tmp_path / "x.json").exists()


def test_the_scene_is_recognised_by_its_layers(viewer, panel, explanation):
    panel.show_explanation(explanation)
    assert any(writers.OURS in layer.metadata for layer in viewer.layers)
    kinds = {layer.as_layer_data_tuple()[2] for layer in viewer.layers}
    assert {"image", "shapes", "vectors"} <= kinds


# --- the real head --------------------------------------------------------------------------------
def test_the_real_head_opens_from_the_data_folder(viewer, ixi, monkeypatch):
    monkeypatch.setenv("EXPERT_DATA_DIR", str(ixi.parent))
    if find_reference(SAMPLE)[0] is None:
        pytest.skip("the sample head is not among the IXI heads at hand")
    (layer,) = viewer.open_sample("napari-expert", "ixi")
    assert layer.data.ndim == 3
    assert layer.metadata["age_years"] == SAMPLE_AGE
    assert "CC BY-SA 3.0" in layer.metadata["licence"]
    assert layer.metadata["source"].startswith("https://")
    assert "CC BY-SA 3.0" in told()[-1]
    panel = ExpertWidget(viewer)
    assert "will be registered" in panel.fit.text()
    panel.close_down()


def test_offline_the_real_head_is_one_clear_sentence(viewer, monkeypatch, tmp_path):
    monkeypatch.delenv("EXPERT_DATA_DIR", raising=False)
    monkeypatch.setattr(datasets, "cache_folder", lambda: tmp_path)
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(
            name, "http://127.0.0.1:9"
        )  # nobody answers there: as good as no network
    with pytest.raises(InputError) as caught:
        viewer.open_sample("napari-expert", "ixi")
    message = str(caught.value)
    assert "could not be downloaded" in message
    assert "network" in message
    assert "EXPERT_DATA_DIR" in message
    assert message.count(". ") == 0
    assert len(viewer.layers) == 0
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_the_real_head_is_not_its_own_prototype():
    for name in shipped_models():
        shown = {
            prototype.reference.subject
            for prototype in load_model(name).info.prototypes
            if prototype.reference
        }
        assert SAMPLE.subject not in shown


# --- settings -------------------------------------------------------------------------------------
def in_a_new_session(folder: Path, code: str) -> str:
    """What `code` prints in a Python of its own, whose napari keeps its settings in `folder`."""
    lines = ["from dataclasses import replace", "from napari_expert.settings import Settings", code]
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
