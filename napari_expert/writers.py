"""File ▸ Save Selected Layers… of a result: the layers are drawn from an explanation, and that, or
its report, is saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_expert.layer_geometry import OURS


def write(path: str, layers: list[tuple[Any, dict[str, Any], str]]) -> list[str]:
    """Save what the layers of a result were drawn from.

    Parameters
    ----------
    path : ends in .json (the explanation), .html or .pdf (the report)
    layers : as napari hands them over; layers beside the result's own are not saved

    Returns
    -------
    [path], or [] where the panel told why it could not be written

    Raises
    ------
    expert.errors.InputError
        The layers are not those of a result on show.
    """
    import napari

    from expert.errors import InputError
    from napari_expert.commands import panel_of

    viewer = napari.current_viewer()
    panel = None if viewer is None else panel_of(viewer, create=False)
    ours = any(OURS in arguments.get("metadata", {}) for _, arguments, _ in layers)
    if not ours or panel is None or panel.explanation is None:
        raise InputError(
            "These layers show no explanation: save them in another format, or run ExPeRT "
            "and save the layers of its result."
        )
    if path.lower().endswith(".json"):
        panel.save_explanation(path)
    else:
        panel.save_report(path)
    return [path] if Path(path).is_file() else []
