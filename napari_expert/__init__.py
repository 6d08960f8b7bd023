"""The napari plugin of ExPeRT: a prediction and its reasons beside the image. Research use only.
Not for clinical decisions."""

from __future__ import annotations

from typing import Any

__all__ = ["ExpertWidget", "screenshot", "view", "wait"]


def __getattr__(name: str) -> Any:
    # Importing the package costs nothing: napari and Qt come with the first use.
    if name == "ExpertWidget":
        from napari_expert.panel.main_widget import ExpertWidget

        return ExpertWidget
    if name in ("screenshot", "view", "wait"):
        from napari_expert import api as window

        return getattr(window, name)
    raise AttributeError(f"module 'napari_expert' has no attribute '{name}'")
