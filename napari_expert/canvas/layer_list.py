"""Short layer list: the rows of a result's helper layers are not shown.

napari 0.9 has no groups of layers. The rows are hidden in the list's widget only: the layers are in
the viewer like all others.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari.layers import Layer


def hide_rows(layers: Iterable[Layer]) -> None:
    """Hide the rows of layers in the layer lists of all windows.

    Parameters
    ----------
    layers : iterable of napari.layers.Layer
        They stay hidden until they are removed, also when the list is sorted.
    """
    from qtpy.QtCore import Qt
    from qtpy.QtWidgets import QApplication, QListView

    hidden = list(layers)
    application = QApplication.instance()
    widgets = application.allWidgets() if isinstance(application, QApplication) else []
    for view in (widget for widget in widgets if isinstance(widget, QListView)):
        model = view.model()
        for row in range(0 if model is None else model.rowCount()):
            assert model is not None
            if model.index(row, 0).data(Qt.ItemDataRole.UserRole) in hidden:
                view.setRowHidden(row, True)
