"""Tests of `napari_expert.actions`: commands, menus and keys."""

from __future__ import annotations

import napari
import pytest
from helpers.window import notifications, panels, press
from npe2 import PluginManager

from expert.patches import CHOICES
from napari_expert import actions
from napari_expert.layer_geometry import layer_arguments


@pytest.mark.visible
def test_every_action_can_be_done(viewer, shown, monkeypatch):
    """All of the table, those that open a dialog with Cancel pressed in it."""
    from qtpy.QtWidgets import QFileDialog

    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *arguments: ("", ""))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *arguments: ("", ""))
    for action in sorted(actions.ACTIONS, key=lambda action: action.name in ("clear", "run")):
        if shown.session.patches:
            shown.session.set_focus(0, shown.session.patches[0], pin=True)
        getattr(actions, action.name)()
        error = shown.runs.error.text()
        if action.name == "toggle_planes":  # for models of volumes
            assert "model of volumes" in error
        else:
            assert not error, action.name
    assert shown.job is not None or shown.explanation is None
    shown.runs.cancel()


def test_actions_have_names_and_keys_of_their_own():
    for values in (
        [action.name for action in actions.ACTIONS],
        [action.title for action in actions.ACTIONS],
        [action.key for action in actions.ACTIONS if action.key],
    ):
        assert len(set(values)) == len(values)


def test_a_command_opens_the_panel_that_the_menu_means(viewer):
    actions.show_panel()
    (panel,) = panels(viewer)
    menu = viewer.window.plugins_menu
    menu.aboutToShow.emit()
    entry = next(action for action in menu.actions() if action.text() == actions.DOCK)
    entry.trigger()
    assert panels(viewer) == [panel]
    dock = panel.parent()
    dock.hide()
    actions.show_panel()
    assert not dock.isHidden()
    assert panels(viewer) == [panel]
    panel.close_down()


def test_a_command_finds_a_panel_however_it_was_opened(viewer):
    _, widget = viewer.window.add_plugin_dock_widget("napari-expert", "ExPeRT")
    assert actions.panel_of(napari.current_viewer()) is widget
    actions.show_panel()
    assert panels(viewer) == [widget]
    widget.close_down()


def test_a_command_acts_on_the_panel(empty_panel, explanation):
    empty_panel.show_explanation(explanation)
    PluginManager.instance().commands.execute("napari-expert.clear")
    assert empty_panel.explanation is None


def test_without_a_panel_a_command_says_what_to_do(viewer):
    actions.next_plane()
    actions.save_report()
    assert notifications()[-2:] == [actions.NOTHING] * 2
    assert panels(viewer) == []


def test_the_run_command_runs(empty_panel, viewer, head, qtbot):
    data, arguments = layer_arguments(head)
    viewer.add_image(data, **arguments)
    with qtbot.waitSignal(empty_panel.ended, timeout=120_000):
        actions.run()
    assert empty_panel.explanation is not None


@pytest.mark.visible
def test_every_key_does_something(viewer, shown):
    first = shown.session.plane_number
    press(viewer, "PageUp")
    assert shown.session.plane_number == first + 1
    press(viewer, "Shift-K")
    assert shown.session.focus.patch == shown.session.patches[0]
    press(viewer, "Shift-J")
    assert shown.session.focus.patch == shown.session.patches[-1]
    press(viewer, "Shift-M")
    assert shown.result_layers.mode == "lines"
    press(viewer, "Shift-N")
    assert shown.session.partner == 2
    press(viewer, "Shift-G")
    assert shown.result_layers.mode == "grid"
    actions.all_patches()
    assert shown.result.choice_box.currentText() == list(CHOICES)[3]
