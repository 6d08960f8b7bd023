"""The choice of a DICOM series, where a folder that was opened contains several."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

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
        self.path = ""
        self.choices: tuple[Series, ...] = ()
        self.text = Label()
        self.box = combo("DICOM series", "The DICOM series to open.")
        self.button = QPushButton("Open")
        self.button.clicked.connect(self.open_chosen)
        layout, row = QVBoxLayout(self), QHBoxLayout()
        layout.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.box, 1)
        row.addWidget(self.button)
        layout.addWidget(self.text)
        layout.addLayout(row)
        self.hide()

    def offer(self, path: str, choices: tuple[Series, ...]) -> None:
        """Show the series of a folder, whole volumes first.

        Parameters
        ----------
        path : str
            The folder or file.
        choices : tuple of Series
            From `SeriesChoiceError`.
        """
        self.path = path
        self.choices = tuple(sorted(choices, key=lambda one: one.rank))
        self.text.setText(f"{Path(path).name} contains {len(choices)} DICOM series: choose one.")
        fill_combo(self.box, [one.text.strip() for one in self.choices])
        self.show()

    def open_chosen(self) -> None:
        """Open the chosen series as a layer."""
        from napari_expert.readers import read

        chosen = self.choices[self.box.currentIndex()]
        try:
            layers = read(self.path, chosen.number)
        except SeriesChoiceError as error:  # the folder has changed
            self.offer(self.path, error.choices)
            return
        except ExpertError as error:
            self.text.setText(str(error))
            return
        self.hide()
        for data, arguments, _ in layers:
            self.viewer.add_image(data, **arguments)
