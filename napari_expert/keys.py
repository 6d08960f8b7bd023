"""Keys of the visit: bound to the viewer while the panel lives, and given back when it goes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from napari.utils.key_bindings import coerce_keybinding

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_expert.panel.main_widget import ExpertWidget

KEYS: dict[str, tuple[str, tuple[Any, ...], str]] = {
    "Shift-R": ("run_or_cancel", (), "Run, or cancel what runs"),
    "PageUp": ("step_plane", (1,), "Next plane up"),
    "PageDown": ("step_plane", (-1,), "Next plane down"),
    "Shift-K": ("step_patch", (1,), "Next numbered patch"),
    "Shift-J": ("step_patch", (-1,), "Previous numbered patch"),
    "Escape": ("release", (), "Let go of the patch"),
    "Shift-N": ("step_prototype", (1,), "Next prototype beside the image (lines)"),
    "Shift-B": ("step_prototype", (-1,), "Previous prototype beside the image (lines)"),
    "Shift-G": ("show_grid", (), "Grid"),
    "Shift-M": ("toggle_lines", (), "Lines between matched patches"),
    "Shift-O": ("toggle_own_space", (), "The original image in its own space"),
    "Shift-F": ("toggle_convention", (), "Radiological or neurological"),
}
"""Key to the panel's method, its arguments, and what it does in words. None of them is one of
napari's own viewer keys."""


class Keys:
    """Binds `KEYS` to a viewer until `unbind`; a key the user has bound is left alone.

    Parameters
    ----------
    viewer : gets the keys
    panel : is called
    """

    def __init__(self, viewer: ViewerModel, panel: ExpertWidget) -> None:
        self._viewer = viewer
        self._bound: list[str] = []
        for key, (method, arguments, _) in KEYS.items():
            if coerce_keybinding(key) not in viewer.keymap:
                viewer.bind_key(key, partial(self._call, getattr(panel, method), arguments))
                self._bound.append(key)

    @staticmethod
    def _call(method: Any, arguments: tuple[Any, ...], viewer: ViewerModel) -> None:
        method(*arguments)

    def unbind(self) -> None:
        """Give the keys back."""
        while self._bound:
            self._viewer.bind_key(self._bound.pop(), None)
