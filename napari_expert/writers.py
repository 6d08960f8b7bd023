"""Writers for File ▸ Save Selected Layers…: the explanation of a result, or its report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_expert.layer_geometry import OURS


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
    import napari

    from expert.errors import InputError
    from napari_expert.actions import panel_of

    viewer = napari.current_viewer()
    panel = None if viewer is None else panel_of(viewer, create=False)
    ours = any(OURS in arguments.get("metadata", {}) for _, arguments, _ in layers)
    if not ours or panel is None or panel.explanation is None:
        raise InputError(
            "These layers show no explanation: save them in another format, or run ExPeRT "
            "and save the layers of its result."
        )
    panel.save("explanation" if path.lower().endswith(".json") else "report", path)
    return [path] if Path(path).is_file() else []
