"""The table of actions: commands, menus and keys all come from `ACTIONS`.

`tools/write_actions.py` writes the commands and menus of napari.yaml and the list of keys in
docs/viewer.md from it. A command is a function of this module with the action's name, made when it
is asked for; napari adds "(ExPeRT)" to the titles itself. Keys are bound to the viewer while the
panel is open (`KeyBindings`), because napari ignores those of a manifest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from napari_expert.navigation import show_axis, step_patch, step_plane

if TYPE_CHECKING:
    import napari.viewer
    from napari.components import ViewerModel

    from napari_expert.panel.main_widget import ExpertWidget

PLUGIN = "napari-expert"
DOCK = "ExPeRT (ExPeRT)"
"""What napari calls the dock that *Plugins ▸ ExPeRT* opens: with this name, menu and commands refer
to the same panel."""
PANEL_NAME = "expert_panel"
"""Object name of the panel's widget: it is found by it."""
NOTHING = "Nothing is explained yet: open Plugins ▸ ExPeRT, choose model and image, and press Run."


@dataclass(frozen=True)
class Action:
    """Something a user can do."""

    name: str
    """The command's id is `napari-expert.` and this."""
    title: str
    """In the command palette and the menus."""
    call: Callable[[ExpertWidget], object]
    """Gets the panel."""
    key: str = ""
    """None of them is one of napari's own viewer keys."""
    key_help: str = ""
    """What the key does, for the documentation; the title if empty."""
    menu: str = ""
    """Group in *Layers ▸ Visualize ▸ ExPeRT*; in no menu if empty."""
    file_menu: bool = False
    """Whether it is in *File ▸ IO Utilities* as well."""
    opens_panel: bool = False
    """Whether it opens the panel where there is none."""


ACTIONS = (
    Action(
        "show_panel",
        "Open the panel: explain a prediction",
        lambda panel: None,
        menu="1_run",
        opens_panel=True,
    ),
    Action(
        "run",
        "Run or cancel: explain the chosen image",
        lambda panel: panel.run_or_cancel(),
        key="Shift-R",
        key_help="run, or cancel the run",
        menu="1_run",
        opens_panel=True,
    ),
    Action(
        "compare",
        "Compare with a saved explanation…",
        lambda panel: panel.compare(),
        menu="1_run",
        file_menu=True,
        opens_panel=True,
    ),
    Action("clear", "Clear the result", lambda panel: panel.clear(), menu="1_run"),
    Action(
        "previous_plane",
        "Previous plane",
        lambda panel: step_plane(panel.session, -1),
        key="PageDown",
        key_help="next plane down",
        menu="2_walk",
    ),
    Action(
        "next_plane",
        "Next plane",
        lambda panel: step_plane(panel.session, +1),
        key="PageUp",
        key_help="next plane up",
        menu="2_walk",
    ),
    Action(
        "previous_prototype",
        "Previous prototype",
        lambda panel: panel.session.browser.step(-1),
        key="Shift-B",
        menu="2_walk",
    ),
    Action(
        "next_prototype",
        "Next prototype",
        lambda panel: panel.session.browser.step(+1),
        key="Shift-N",
        menu="2_walk",
    ),
    Action(
        "sort_by_weight",
        "Sort the prototypes by weight",
        lambda panel: panel.session.browser.sort("weight"),
        menu="2_walk",
    ),
    Action(
        "sort_by_label",
        "Sort the prototypes by label (age), from the prediction",
        lambda panel: panel.session.browser.sort("label"),
        menu="2_walk",
    ),
    Action(
        "sort_by_patch",
        "Sort the prototypes by similarity in the selected patch",
        lambda panel: panel.session.browser.sort("patch"),
        key="Shift-S",
        key_help="prototypes most similar in the selected patch",
        menu="2_walk",
    ),
    Action(
        "previous_patch",
        "Previous numbered patch",
        lambda panel: step_patch(panel.session, -1),
        key="Shift-J",
        menu="2_walk",
    ),
    Action(
        "next_patch",
        "Next numbered patch",
        lambda panel: step_patch(panel.session, +1),
        key="Shift-K",
        menu="2_walk",
    ),
    Action(
        "release_patch",
        "Release the patch",
        lambda panel: panel.session.set_focus(None),
        key="Escape",
        menu="2_walk",
    ),
    Action(
        "contribution_patches",
        "Number the 6 patches with the largest contribution",
        lambda panel: panel.session.choose_patches("contribution"),
        menu="3_patches",
    ),
    Action(
        "closest_patches",
        "Number the 6 most similar patches",
        lambda panel: panel.session.choose_patches("closest"),
        menu="3_patches",
    ),
    Action(
        "different_patches",
        "Number the 6 least similar patches",
        lambda panel: panel.session.choose_patches("different"),
        menu="3_patches",
    ),
    Action(
        "all_patches",
        "Number all foreground patches",
        lambda panel: panel.session.choose_patches("all"),
        menu="3_patches",
    ),
    Action(
        "show_grid",
        "Show the grid",
        lambda panel: panel.session.show_mode("grid"),
        key="Shift-G",
        key_help="grid",
        menu="4_view",
    ),
    Action(
        "toggle_lines",
        "Switch between grid and lines",
        lambda panel: panel.session.toggle_mode("lines"),
        key="Shift-M",
        key_help="lines between matched patches, on or off",
        menu="4_view",
    ),
    Action(
        "toggle_planes",
        "Three linked planes: axial, coronal, sagittal",
        lambda panel: panel.session.toggle_mode("planes"),
        key="Shift-P",
        key_help="three planes of the image and one prototype (3D models), on or off",
        menu="4_view",
    ),
    Action(
        "next_orientation",
        "Next orientation: axial, coronal, sagittal",
        lambda panel: show_axis(panel.session, (panel.session.viewing.axis + 1) % 3),
        key="Shift-V",
        key_help="axial, coronal or sagittal slices (3D models)",
        menu="4_view",
    ),
    Action(
        "toggle_magnifier",
        "Magnifier: the patch and its matches, enlarged",
        lambda panel: panel.session.viewing.toggle_magnifier(),
        key="Shift-Z",
        key_help="magnifier: the patch and its matches enlarged, on or off",
        menu="4_view",
    ),
    Action(
        "toggle_crosshair",
        "Show or hide the crosshair",
        lambda panel: panel.session.viewing.toggle_cross(),
        key="Shift-X",
        key_help="crosshair, on or off (3D models)",
        menu="4_view",
    ),
    Action(
        "next_window",
        "Next grey-value window: full range, brain, grey and white matter",
        lambda panel: panel.session.viewing.next_window(),
        key="Shift-W",
        key_help="next grey-value window",
        menu="4_view",
    ),
    Action(
        "toggle_own_space",
        "Native space: contribution map on the original image",
        lambda panel: panel.session.toggle_mode("native"),
        key="Shift-O",
        key_help="native space, on or off",
        menu="4_view",
    ),
    Action(
        "toggle_convention",
        "Flip left and right (radiological, neurological)",
        lambda panel: panel.session.toggle_convention(),
        key="Shift-F",
        key_help="radiological or neurological convention",
        menu="4_view",
    ),
    Action(
        "save_report",
        "Save the report (HTML, PDF)…",
        lambda panel: panel.save("report"),
        file_menu=True,
    ),
    Action(
        "save_explanation",
        "Save the explanation (JSON)…",
        lambda panel: panel.save("explanation"),
        file_menu=True,
    ),
    Action(
        "save_table",
        "Save the patch table (CSV)…",
        lambda panel: panel.save("table"),
        file_menu=True,
    ),
    Action(
        "save_layers",
        "Save the contribution map (NIfTI)…",
        lambda panel: panel.save("layers"),
        file_menu=True,
    ),
)


# --- commands -------------------------------------------------------------------------------------
def panel_of(viewer: napari.viewer.Viewer, create: bool = True) -> ExpertWidget | None:
    """Find the panel of a viewer.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        With a window.
    create : bool
        Open the panel where there is none, and bring a hidden one to the front.

    Returns
    -------
    ExpertWidget or None
        None where there is none and none was to be made.
    """
    from npe2 import PluginManager

    panel: Any = next(
        (
            widget
            for widget in viewer.window.dock_widgets.values()
            if getattr(widget, "objectName", str)() == PANEL_NAME
        ),
        None,
    )
    if not create:
        return cast("ExpertWidget | None", panel)
    if panel is None:
        panel = PluginManager.instance().commands.get(f"{PLUGIN}.open")(viewer)
        viewer.window.add_dock_widget(panel, name=DOCK)
    dock = panel.parent()
    dock.show()
    dock.raise_()
    return cast("ExpertWidget", panel)


def open_panels() -> list[ExpertWidget]:
    """The panels of all viewers."""
    from qtpy.QtWidgets import QApplication

    widgets: list[Any] = QApplication.allWidgets()
    return [widget for widget in widgets if widget.objectName() == PANEL_NAME]


def perform(action: Action) -> None:
    """Do an action in the current viewer; without a panel, a notification says what to do first."""
    import napari
    from napari.utils.notifications import show_info

    viewer = napari.current_viewer()
    panel = None if viewer is None else panel_of(viewer, action.opens_panel)
    if panel is None:
        show_info(NOTHING)
    else:
        panel.attempt(lambda: action.call(panel))


def _command(action: Action) -> Callable[[], None]:
    def command() -> None:
        perform(action)

    command.__name__, command.__doc__ = action.name, f"{action.title}."
    return command


def __getattr__(name: str) -> Callable[[], None]:
    for action in ACTIONS:
        if action.name == name:
            return _command(action)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


# --- keys -----------------------------------------------------------------------------------------
class KeyBindings:
    """Binds the keys of `ACTIONS` until `unbind`; a key the user has bound is left alone.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Gets the keys.
    panel : ExpertWidget
        Does the actions.
    """

    def __init__(self, viewer: ViewerModel, panel: ExpertWidget) -> None:
        from napari.utils.key_bindings import coerce_keybinding

        self._viewer = viewer
        self._bound: list[str] = []
        for action in ACTIONS:
            if action.key and coerce_keybinding(action.key) not in viewer.keymap:
                viewer.bind_key(action.key, partial(self._pressed, panel, action))
                self._bound.append(action.key)

    @staticmethod
    def _pressed(panel: ExpertWidget, action: Action, viewer: ViewerModel) -> None:
        panel.attempt(lambda: action.call(panel))

    def unbind(self) -> None:
        """Remove the keys."""
        while self._bound:
            self._viewer.bind_key(self._bound.pop(), None)
