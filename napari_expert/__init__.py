"""The napari plugin of ExPeRT: a prediction and its explanation beside the image.

Research use only. Not for clinical decisions.
"""

from __future__ import annotations

from typing import Any

__all__ = ["ExpertWidget", "screenshot", "view", "wait"]


def __getattr__(name: str) -> Any:
    # Importing the package is light: napari and Qt are imported with the first use.
    if name == "ExpertWidget":
        from napari_expert.panel.main_widget import ExpertWidget

        return ExpertWidget
    if name in ("screenshot", "view", "wait"):
        from napari_expert import api

        return getattr(api, name)
    raise AttributeError(f"module 'napari_expert' has no attribute '{name}'")
