"""The choice of a DICOM series, where a folder that was opened contains several."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import napari
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from expert.errors import ExpertError, SeriesChoiceError
from napari_expert.panel.qt_helpers import Label, combo, fill_combo

if TYPE_CHECKING:
    from expert.imaging.dicom.series import Series


class SeriesChoice(QWidget):
    """Lists the series of a folder with their size and spacing; hidden unless one must be chosen.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Which gets the layer.
    parent : QWidget, optional
    """

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.name = ""
        self.choices: tuple[Series, ...] = ()
        self._read: Callable[[str], list[Any]] = lambda number: []
        self.text = Label()
        self.box = combo("DICOM series", "The DICOM series to open.")
        self.button = QPushButton("Open")
        self.button.clicked.connect(self.open_chosen)
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip("Open none of them.")
        self.cancel_button.clicked.connect(self.hide)
        layout, row = QVBoxLayout(self), QHBoxLayout()
        layout.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.box, 1)
        row.addWidget(self.button)
        row.addWidget(self.cancel_button)
        layout.addWidget(self.text)
        layout.addLayout(row)
        self.hide()

    def offer(
        self, name: str, choices: tuple[Series, ...], read: Callable[[str], list[Any]]
    ) -> None:
        """Show the series of a folder, whole volumes first.

        Parameters
        ----------
        name : str
            Of the folder or file.
        choices : tuple of Series
            From `SeriesChoiceError`.
        read : callable
            Takes the number of a series, and returns napari's layer data.
        """
        self.name, self._read = name, read
        self.choices = tuple(sorted(choices, key=lambda one: one.rank))
        self.text.setText(f"{name} contains {len(choices)} DICOM series: choose one.")
        fill_combo(self.box, [one.text.strip() for one in self.choices])
        self.show()

    def open_chosen(self) -> None:
        """Open the chosen series as a layer."""
        chosen = self.choices[self.box.currentIndex()]
        try:
            layers = self._read(chosen.number)
        except SeriesChoiceError as error:  # the folder has changed
            self.offer(self.name, error.choices, self._read)
            return
        except ExpertError as error:
            self.text.setText(str(error))
            return
        self.hide()
        for data, arguments, _ in layers:
            self.viewer.add_image(data, **arguments)
