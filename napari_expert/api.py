"""Use the window from a program: open it, wait for the result, save a screenshot."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from expert import DEFAULT_MODEL
from expert.errors import ExpertError

if TYPE_CHECKING:
    import napari

    from napari_expert.panel.main_widget import ExpertWidget


def view(
    path: str | os.PathLike[str],
    model: str = DEFAULT_MODEL,
    *,
    top: int | None = None,
    data: str | os.PathLike[str] | None = None,
    run: bool = True,
    show: bool = True,
    series: str | None = None,
) -> tuple[napari.Viewer, ExpertWidget]:
    """Open napari with an image and the panel.

    Parameters
    ----------
    path : str or path-like
        Image file or DICOM folder.
    model : str
        A shipped model's name or a model file.
    top : int, optional
        Number of prototypes to show; as many as the last time if None.
    data : str or path-like, optional
        Folder with the data set of the model's prototype images; the image's own folder if None.
    run : bool
        Start at once.
    show : bool
        Open the window on the screen.
    series : str, optional
        Number or UID of the DICOM series, where there are several.

    Returns
    -------
    viewer : napari.Viewer
    panel : ExpertWidget

    Raises
    ------
    expert.errors.ExpertError
        Image or model cannot be used.
    """
    import napari

    from napari_expert.actions import panel_of
    from napari_expert.readers import read

    layers = read(str(path), series)
    viewer = napari.Viewer(title="ExPeRT", show=show)
    panel = panel_of(viewer)
    assert panel is not None
    panel.input.choose_model(model)
    for pixels, arguments, _ in layers:
        viewer.add_image(pixels, **arguments)
    if top is not None:
        panel.input.prototypes.value = top
    panel.data = Path(path).parent if data is None else Path(data)
    if run:
        panel.run()
    return viewer, panel


def open_window(
    path: str | os.PathLike[str],
    model: str = DEFAULT_MODEL,
    *,
    top: int | None = None,
    data: str | os.PathLike[str] | None = None,
    series: str | None = None,
) -> None:
    """Open napari as `view` does, and wait until the window is closed (``expert view``)."""
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

    view(path, model, top=top, data=data, series=series)
    napari.run()


def wait(panel: ExpertWidget, timeout: float = 300.0) -> None:
    """Wait for a run to end, while the window stays responsive.

    Parameters
    ----------
    panel : ExpertWidget
        From `view`.
    timeout : float
        Seconds.

    Raises
    ------
    expert.errors.ExpertError
        It did not end in time, or the panel shows an error.
    """
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + timeout
    while panel.job is not None:
        if time.monotonic() > end:
            raise ExpertError(f"No result within {timeout:g} s.")
        QApplication.processEvents()
        time.sleep(0.01)
    settle()
    if panel.runs.error.text():
        raise ExpertError(panel.runs.error.text())


def settle(seconds: float = 0.5) -> None:
    """Let the window draw for some seconds."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.01)


def screenshot(viewer: napari.Viewer, path: str | os.PathLike[str]) -> Path:
    """Save a screenshot of the whole window.

    Parameters
    ----------
    viewer : napari.Viewer
        With a window.
    path : str or path-like
        PNG file.

    Returns
    -------
    pathlib.Path
        The file.
    """
    settle()
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    viewer.screenshot(str(target), canvas_only=False, flash=False)
    return target
