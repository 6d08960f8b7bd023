"""The window from a program: open it with an image and a model, wait for the answer, take a picture
of it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from expert.errors import ExpertError

if TYPE_CHECKING:
    import napari

    from napari_expert.panel.main_widget import ExpertWidget


def view(
    path: str | os.PathLike[str],
    model: str = "phantom",
    *,
    top: int | None = None,
    data: str | os.PathLike[str] | None = None,
    run: bool = True,
    show: bool = True,
) -> tuple[napari.Viewer, ExpertWidget]:
    """Open napari with an image and the panel.

    Parameters
    ----------
    path : image file or DICOM folder
    model : a shipped model's name or a model file
    top : prototypes to show; as many as the last time if None
    data : folder with the data set of the model's prototype images; the image's own folder if None
    run : start at once
    show : open the window on the screen

    Returns
    -------
    viewer, panel

    Raises
    ------
    expert.errors.ExpertError
        Image or model cannot be used.
    """
    import napari

    from napari_expert.commands import panel_of
    from napari_expert.readers import read

    layers = read(str(path))
    viewer = napari.Viewer(title="ExPeRT", show=show)
    panel = panel_of(viewer)
    assert panel is not None
    panel.choose_model(model)
    for pixels, arguments, _ in layers:
        viewer.add_image(pixels, **arguments)
    if top is not None:
        panel.top.setValue(top)
    panel.data = Path(path).parent if data is None else Path(data)
    if run:
        panel.run()
    return viewer, panel


def open_window(
    path: str | os.PathLike[str],
    model: str = "phantom",
    *,
    top: int | None = None,
    data: str | os.PathLike[str] | None = None,
) -> None:
    """`view`, then wait until the window is closed; what the command ``expert view`` does."""
    import sys

    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        if os.environ.get("QT_QPA_PLATFORM") not in ("offscreen", "vnc"):
            raise ExpertError(
                "There is no display to open a window on: use 'expert explain' for a "
                "report instead."
            )
    import napari

    view(path, model, top=top, data=data)
    napari.run()


def wait(panel: ExpertWidget, timeout: float = 300.0) -> None:
    """Wait for a run to end, the window staying alive.

    Parameters
    ----------
    panel : from `view`
    timeout : seconds

    Raises
    ------
    expert.errors.ExpertError
        It did not end in time, or the panel shows an error.
    """
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + timeout
    while panel.job is not None:
        if time.monotonic() > end:
            raise ExpertError(f"No answer within {timeout:g} s.")
        QApplication.processEvents()
        time.sleep(0.01)
    settle()
    if panel.error.text():
        raise ExpertError(panel.error.text())


def settle(seconds: float = 0.5) -> None:
    """Let the window draw what is pending."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.01)


def screenshot(viewer: napari.Viewer, path: str | os.PathLike[str]) -> Path:
    """Write a picture of the whole window (PNG)."""
    settle()
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    viewer.screenshot(str(target), canvas_only=False, flash=False)
    return target
