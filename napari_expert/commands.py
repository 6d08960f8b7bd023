"""Commands of the manifest, for the command palette and the menus: each finds the panel and calls
one of its methods.

napari puts "(ExPeRT)" behind their titles itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import napari.viewer

    from napari_expert.panel.main_widget import ExpertWidget

DOCK = "ExPeRT (ExPeRT)"
"""What napari calls the dock that *Plugins ▸ ExPeRT* opens: with this name, menu and commands mean
one and the same panel."""
NOTHING = "Nothing is explained yet: open Plugins ▸ ExPeRT, choose model and image, and press Run."


def panel_of(viewer: napari.viewer.Viewer, create: bool = True) -> ExpertWidget | None:
    """The panel of a viewer.

    Parameters
    ----------
    viewer : with a window
    create : open the panel where there is none, and bring a hidden one to the front

    Returns
    -------
    The panel, or None where there is none and none was to be made
    """
    from napari_expert.panel.main_widget import ExpertWidget

    panel = next(
        (
            widget
            for widget in viewer.window.dock_widgets.values()
            if isinstance(widget, ExpertWidget)
        ),
        None,
    )
    if not create:
        return panel
    if panel is None:
        panel = ExpertWidget(viewer)
        viewer.window.add_dock_widget(panel, name=DOCK)
    dock = panel.parent()
    dock.show()
    dock.raise_()
    return panel


def _panel(create: bool = False) -> ExpertWidget | None:
    """The current viewer's panel; where there is none, it is said."""
    import napari
    from napari.utils.notifications import show_info

    viewer = napari.current_viewer()
    panel = None if viewer is None else panel_of(viewer, create)
    if panel is None:
        show_info(NOTHING)
    return panel


# --- explaining -----------------------------------------------------------------------------------
def show_panel() -> None:
    """Open the panel, or bring it to the front."""
    _panel(create=True)


def run() -> None:
    """Explain the chosen image with the chosen model; where that is going on, cancel it."""
    if panel := _panel(create=True):
        panel.run_or_cancel()


def compare() -> None:
    """Choose a saved explanation and show it beside the one on show."""
    if panel := _panel(create=True):
        panel.compare()


def clear() -> None:
    """Take the result away and give the viewer back as it was."""
    if panel := _panel():
        panel.clear()


# --- walking --------------------------------------------------------------------------------------
def next_plane() -> None:
    """Show the plane above."""
    if panel := _panel():
        panel.step_plane(+1)


def previous_plane() -> None:
    """Show the plane below."""
    if panel := _panel():
        panel.step_plane(-1)


def next_prototype() -> None:
    """Go to the prototype with the next smaller share."""
    if panel := _panel():
        panel.step_prototype(+1)


def previous_prototype() -> None:
    """Go to the prototype with the next larger share."""
    if panel := _panel():
        panel.step_prototype(-1)


# --- looking --------------------------------------------------------------------------------------
def toggle_lines() -> None:
    """Change between the grid and lines between matched patches."""
    if panel := _panel():
        panel.toggle_lines()


def toggle_own_space() -> None:
    """Show patches and contributions on the image as it was opened, or as the model saw it."""
    if panel := _panel():
        panel.toggle_own_space()


def toggle_convention() -> None:
    """Change between the radiological and the neurological convention."""
    if panel := _panel():
        panel.toggle_convention()


def closest_patches() -> None:
    """Number the patches in which the images are most alike."""
    if panel := _panel():
        panel.choose_patches("closest")


def different_patches() -> None:
    """Number the patches in which the images differ most."""
    if panel := _panel():
        panel.choose_patches("different")


def all_patches() -> None:
    """Number every patch with something in it."""
    if panel := _panel():
        panel.choose_patches("all")


# --- saving ---------------------------------------------------------------------------------------
def save_report() -> None:
    """Save the report, HTML or PDF; a dialog asks where."""
    if panel := _panel():
        panel.save_report()


def save_explanation() -> None:
    """Save the explanation as JSON; a dialog asks where."""
    if panel := _panel():
        panel.save_explanation()


def save_table() -> None:
    """Save the matched patches as CSV; a dialog asks where."""
    if panel := _panel():
        panel.save_table()


def save_layers() -> None:
    """Save the layers of the result; a dialog asks where."""
    if panel := _panel():
        panel.save_layers()
