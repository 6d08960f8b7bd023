"""Writers for File ▸ Save Selected Layers…: the explanation of a result, or its report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_expert.layer_geometry import OURS

if TYPE_CHECKING:
    from napari_expert.panel.main_widget import ExpertWidget


def write(path: str, layers: list[tuple[Any, dict[str, Any], str]]) -> list[str]:
    """Save what the layers of a result show.

    Parameters
    ----------
    path : str
        Ends in .json (the explanation), .html or .pdf (the report).
    layers : list of tuple
        From napari; layers besides those of the result are not saved.

    Returns
    -------
    list of str
        The path; empty where it could not be written, for which the panel shows the reason.

    Raises
    ------
    expert.errors.InputError
        The layers are not those of a result.
    """
    from expert.errors import InputError

    panel = _panel_of([arguments.get("metadata") for _, arguments, _ in layers])
    if panel is None or panel.explanation is None:
        raise InputError(
            "These layers show no explanation: save them in another format, or run ExPeRT "
            "and save the layers of its result."
        )
    panel.save("explanation" if path.lower().endswith(".json") else "report", path)
    return [path] if Path(path).is_file() else []


def _panel_of(metadata: list[Any]) -> ExpertWidget | None:
    """The panel whose result has these layers: its window need not be the active one."""
    from napari_expert.actions import open_panels

    for panel in open_panels():
        for layer in panel.viewer.layers:
            if OURS in layer.metadata and any(one is layer.metadata for one in metadata):
                return panel
    return None
