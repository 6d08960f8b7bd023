"""Hands and eyes for the tests of the window: where a patch is drawn, and a key that is pressed."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QPoint
from qtpy.QtWidgets import QApplication

from expert.patches import box


def canvas_of(viewer):
    """The native canvas: a mouse event goes its whole way from there."""
    return viewer.window._qt_viewer.canvas.native


def place_of(viewer, scene, cell: int, patch: int) -> QPoint:
    """Where a patch of a cell is drawn on the canvas (grid mode)."""
    native = canvas_of(viewer)
    rows, columns = viewer.canvas.grid.actual_shape(viewer.layers)
    row, column = divmod(cell, columns)
    size = np.array([native.height() / rows, native.width() / columns])
    image = scene.cells[cell].image
    world = np.array(image.data_to_world(box(scene.explanation, patch).mean(axis=0)))[-2:]
    camera = viewer.scene.camera
    away = (world - np.array(camera.center[-2:])) * camera.zoom
    y, x = (np.array([row, column]) + 0.5) * size + away
    return QPoint(round(x), round(y))


def press(viewer, name: str) -> None:
    """What napari does when a key is pressed on the canvas."""
    from napari.utils.key_bindings import coerce_keybinding

    viewer.keymap[coerce_keybinding(name)](viewer)
    QApplication.processEvents()
