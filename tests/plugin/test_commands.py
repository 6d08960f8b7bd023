"""What is opened, saved, chosen from a menu and remembered: the manifest and what stands behind
it."""

from __future__ import annotations

import ast
from pathlib import Path

import napari
from helpers.window import notifications, panels
from npe2 import PluginManager

from napari_expert import commands
from napari_expert.layer_geometry import layer_arguments
from napari_expert.panel.main_widget import ExpertWidget


def test_the_panel_has_every_method_that_a_command_calls():
    tree = ast.parse(Path(commands.__file__).read_text(encoding="utf-8"))
    called = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "panel"
    }
    assert len(called) > 10
    assert [name for name in sorted(called - {"parent"}) if not hasattr(ExpertWidget, name)] == []


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


def test_a_command_acts_on_the_panel(empty_panel, explanation):
    empty_panel.show_explanation(explanation)
    PluginManager.instance().commands.execute("napari-expert.clear")
    assert empty_panel.explanation is None


def test_without_a_panel_a_command_says_what_to_do(viewer):
    commands.next_plane()
    commands.save_report()
    assert notifications()[-2:] == [commands.NOTHING] * 2
    assert panels(viewer) == []


def test_the_run_command_runs(empty_panel, viewer, head, qtbot):
    data, arguments = layer_arguments(head)
    viewer.add_image(data, **arguments)
    with qtbot.waitSignal(empty_panel.ended, timeout=120_000):
        commands.run()
    assert empty_panel.explanation is not None
