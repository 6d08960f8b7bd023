"""How the images are looked at: orientation, grey-value window, opacity of the native map."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QFormLayout, QSlider

from expert.planes import ORIENTATIONS
from napari_expert.navigation import show_axis
from napari_expert.panel.qt_helpers import combo, fill_combo
from napari_expert.viewing import WINDOWS

if TYPE_CHECKING:
    from napari_expert.session import Session


class ViewControls:
    """Shows and changes `Session.viewing`; every row is shown where it has an effect.

    Parameters
    ----------
    form : QFormLayout
        Gets the rows.
    session : Session
        What is shown.
    """

    def __init__(self, form: QFormLayout, session: Session) -> None:
        self.form, self.session = form, session
        self.axis_box = combo("Orientation", "Axial, coronal or sagittal slices (Shift-V).")
        fill_combo(self.axis_box, [name.capitalize() for name in ORIENTATIONS])
        self.window_box = combo(
            "Window",
            "Grey values shown from black to white (Shift-W). Drag with the right mouse button: "
            "to the side for the width, up and down for the level.",
        )
        fill_combo(self.window_box, [name.capitalize() for name in WINDOWS.values()])
        self.opacity = QSlider(Qt.Orientation.Horizontal)
        self.opacity.setRange(0, 100)
        self.opacity.setAccessibleName("Opacity of the map")
        self.opacity.setToolTip("Opacity of the map over the original image.")
        for words, widget in (
            ("Orientation", self.axis_box),
            ("Window", self.window_box),
            ("Opacity", self.opacity),
        ):
            self.form.addRow(words, widget)
        self.axis_box.currentIndexChanged.connect(lambda axis: show_axis(session, max(axis, 0)))
        self.window_box.currentIndexChanged.connect(
            lambda number: session.viewing.show_window(list(WINDOWS)[max(number, 0)])
        )
        self.opacity.valueChanged.connect(lambda value: session.viewing.show_opacity(value / 100))
        viewing = session.viewing.events
        for signal in (session.events.result, session.events.mode, viewing.axis, viewing.window):
            signal.connect(self._show)
        viewing.opacity.connect(self._show)
        self._show()

    def _show(self) -> None:
        viewing, native = self.session.viewing, self.session.native
        one = bool(viewing.points) and self.session.mode in ("grid", "lines")
        self.form.setRowVisible(self.axis_box, one)
        self.form.setRowVisible(self.window_box, not native)
        self.form.setRowVisible(self.opacity, native)
        for widget, value in (
            (self.axis_box, viewing.axis),
            (self.window_box, list(WINDOWS).index(viewing.window)),
        ):
            with QSignalBlocker(widget):
                widget.setCurrentIndex(value)
        with QSignalBlocker(self.opacity):
            self.opacity.setValue(round(100 * viewing.opacity))
