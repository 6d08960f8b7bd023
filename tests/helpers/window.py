"""Hands and eyes for the tests of the window: where a patch is drawn, and a key that is pressed."""

from __future__ import annotations

import numpy as np
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QPoint, Qt, QThreadPool
from qtpy.QtWidgets import QApplication

from expert.patches import box
from napari_expert.panel.main_widget import ExpertWidget


def canvas_of(viewer):
    """The native canvas: a mouse event goes its whole way from there."""
    return viewer.window._qt_viewer.canvas.native


def place_of(viewer, drawn, tile: int, patch: int) -> QPoint:
    """Where a patch of a tile is drawn on the canvas (grid mode)."""
    native = canvas_of(viewer)
    rows, columns = viewer.canvas.grid.actual_shape(viewer.layers)
    row, column = divmod(tile, columns)
    size = np.array([native.height() / rows, native.width() / columns])
    image = drawn.tiles[tile].image
    world = np.array(image.data_to_world(box(drawn.session.explanation, patch).mean(axis=0)))[-2:]
    camera = viewer.scene.camera
    away = (world - np.array(camera.center[-2:])) * camera.zoom
    y, x = (np.array([row, column]) + 0.5) * size + away
    return QPoint(round(x), round(y))


def list_rows(viewer) -> list:
    """Layers whose rows are in the layer list, from the top."""
    view = viewer.window._qt_viewer.layers
    rows = [row for row in range(view.model().rowCount()) if not view.isRowHidden(row)]
    return [view.model().index(row, 0).data(Qt.ItemDataRole.UserRole) for row in rows]


def press(viewer, name: str) -> None:
    """What napari does when a key is pressed on the canvas."""
    from napari.utils.key_bindings import coerce_keybinding

    viewer.keymap[coerce_keybinding(name)](viewer)
    QApplication.processEvents()


def notifications() -> list[str]:
    return [str(record.message) for record in notification_manager.records]


def panels(viewer) -> list[ExpertWidget]:
    return [
        widget for widget in viewer.window.dock_widgets.values() if isinstance(widget, ExpertWidget)
    ]


def state(viewer):
    grid, camera = viewer.canvas.grid, viewer.scene.camera
    return (
        [(layer.name, layer.visible) for layer in viewer.layers],
        grid.enabled,
        grid.stride,
        grid.shape,
        viewer.canvas.background_color_override,
        tuple(camera.center),
        camera.zoom,
        viewer.dims.ndisplay,
        len(viewer.mouse_move_callbacks),
        len(viewer.mouse_drag_callbacks),
        len(viewer.layers.events.inserted.callbacks),
        len(viewer.layers.events.removed.callbacks),
        len(viewer.canvas.events.size.callbacks),
    )


def wait_for_run(panel, qtbot):
    with qtbot.waitSignal(panel.ended, timeout=120_000):
        panel.run()


def square(brightness: float, size: int = 32) -> np.ndarray:
    """A drawn square as the tiny model knows them."""
    image = np.zeros((32, 32))
    image[6:26, 6:26] = brightness * 2.5
    image[0, :2] = image[1, :6] = 255
    return np.kron(image, np.ones((size // 32, size // 32))).astype(np.uint8)


def run_without_error(panel, qtbot):
    with qtbot.waitSignal(panel.ended, timeout=120_000):
        panel.run()
    assert not panel.runs.error.text()
    QApplication.processEvents()


def words_of(panel) -> str:
    """All texts of the result section and of the tiles."""
    answer = panel.result
    texts = [
        answer.headline,
        answer.about,
        answer.warnings,
        answer.legend,
        answer.focus_line,
        answer.matching,
    ]
    table = answer.table
    cells = [
        table.item(row, column).text()
        for row in range(table.rowCount())
        for column in range(table.columnCount())
    ]
    drawn = [
        str(word) for tile in panel.result_layers.tiles for word in tile.boxes.features["text"]
    ]
    return "\n".join([*(label.text() for label in texts), table.toolTip(), *cells, *drawn])


def over(qtbot):
    """No run is going on in any thread."""
    qtbot.waitUntil(lambda: QThreadPool.globalInstance().activeThreadCount() == 0, timeout=60_000)
    for _ in range(5):
        QApplication.processEvents()


def slab(e, plane) -> int:
    """The layer of patches that a slice cuts."""
    return plane.slice * e.grid[0] // e.view_shape[0]


def height_of(e, patch: int) -> int:
    """The layer that a patch lies in."""
    return int(np.unravel_index(patch, e.grid)[0])


def lit(tile, patches: int | None = None) -> np.ndarray:
    """How opaque the highlight of every patch in the plane is; the crosshair's lines come after."""
    return np.asarray(tile.highlight.edge_color)[:patches, 3]


def across(e) -> tuple[int, int, int]:
    """A patch of the subject, the shown prototype in which most of it went to another layer of
    patches, and where."""
    share, found = 0.0, (0, 0, 0)
    for number, match in enumerate(e.prototypes[:3]):
        for patch in np.flatnonzero(e.views[0].mass > 0.5 / len(e.views[0].mass)):
            row = match.views[0].matches(int(patch))
            target = int(row.argmax())
            if height_of(e, target) != height_of(e, patch) and row[target] > share:
                share, found = float(row[target]), (int(patch), number, target)
    assert share > 0
    return found


def go_to(session, layer: int) -> None:
    session.show_plane(
        next(
            n
            for n, plane in enumerate(session.board.planes)
            if slab(session.explanation, plane) == layer
        )
    )
