"""The lower half of the panel: the answer in words and numbers, and the table of matched patches."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFormLayout,
    QHBoxLayout,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from expert.matches import CHOICES, CONVENTION, is_head, sharpness, whereabouts
from napari_expert.parts import combo, label
from napari_expert.plots import PrototypePlot

if TYPE_CHECKING:
    import numpy as np

    from expert.explanation import Explanation
    from napari_expert.layers import Focus, Scene

COLUMNS = ("#", "here", "in", "there", "share", "adds")


class AnswerPanel(QWidget):
    """Shows one explanation and steers its scene; hidden while there is none."""

    find_asked = Signal()
    """The images of the prototypes are to be looked for."""
    save_asked = Signal()
    clear_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.explanation: Explanation | None = None
        self.scene: Scene | None = None
        self._build()
        self.hide()

    def _build(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        self.headline = label("expert_answer")
        self.headline.setStyleSheet("QLabel { font-size: 15pt; font-weight: bold; }")
        self.about = label()
        self.warnings = label("expert_warnings")
        self.warnings.setStyleSheet("QLabel { color: #E69F00; }")
        self.find_button = QPushButton("Find the prototypes' images…")
        self.find_button.setToolTip("Choose the folder with the data set this model was trained on; the run is then repeated.")
        self.plot = PrototypePlot()
        self.view_box = combo("Plane", "Each plane of the head is explained by itself; the answer is their mean.")
        self.choice_box = combo(
            "Patches", "Closest: where this image is most like what it was likened to. Most different: where it is least so."
        )
        self.choice_box.addItems(list(CHOICES))
        self.matching = label()
        self.table = QTableWidget(0, len(COLUMNS))
        self.table.setHorizontalHeaderLabels(COLUMNS)
        self.table.setAccessibleName("Matched patches")
        self.table.setToolTip(
            "here, there: centre of the patch in template mm (Right/Left, Anterior/Posterior of the commissure).\n"
            "share: part of the patch that was matched there.\n"
            "adds: what the patch adds to the distance from the prototype, in the label's unit."
        )
        self.table.verticalHeader().hide()
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.table.setMinimumHeight(190)
        self.focus_line = label()
        self.save_button = QPushButton("Save report…")
        self.save_button.setToolTip("A self-contained HTML page and the explanation as JSON.")
        self.clear_button = QPushButton("Clear result")
        self.clear_button.setToolTip("Take the result away; your layers, grid and camera come back as they were.")
        for widget in (self.headline, self.about, self.warnings, self.find_button, self.plot):
            column.addWidget(widget)
        form = QFormLayout()
        form.addRow("Plane", self.view_box)
        form.addRow("Patches", self.choice_box)
        self.form = form
        column.addLayout(form)
        for widget in (self.matching, self.table, self.focus_line):
            column.addWidget(widget)
        buttons = QHBoxLayout()
        buttons.addWidget(self.save_button)
        buttons.addWidget(self.clear_button)
        column.addLayout(buttons)
        self.view_box.currentIndexChanged.connect(self._view_chosen)
        self.choice_box.currentIndexChanged.connect(self._choice_chosen)
        self.table.itemSelectionChanged.connect(self._row_chosen)
        self.save_button.clicked.connect(self.save_asked)
        self.find_button.clicked.connect(self.find_asked)
        self.clear_button.clicked.connect(self.clear_asked)

    def show_explanation(self, explanation: Explanation, scene: Scene) -> None:
        """Show an explanation, in place of the one before."""
        self.explanation, self.scene = explanation, scene
        e = explanation
        answer = f"{e.prediction:.1f} {e.unit}"
        if e.interval is not None:
            answer += f" ({_percent(e.interval.level)}: {e.interval.lower:.0f} – {e.interval.upper:.0f})"
        self.headline.setText(answer)
        voices = int((e.shares > 0).sum())
        shown = sum(match.share for match in e.prototypes)
        text = f"{e.label_name}: the label of one prototype."
        if voices > 1:
            text = f"{e.label_name}: weighted mean of {voices} prototypes; those shown hold {_percent(shown)} of the weight."
        if is_head(e):
            text += f" {CONVENTION.capitalize()}."
        self.about.setText(text)
        self.warnings.setText("\n".join(f"⚠ {notice.message}" for notice in e.warnings))
        self.warnings.setVisible(bool(e.warnings))
        self.find_button.setVisible(any(notice.code == "prototype_image_missing" for notice in e.warnings))
        self.plot.show_explanation(e)
        for box in (self.view_box, self.choice_box):
            box.blockSignals(True)
        self.view_box.clear()
        self.view_box.addItems([f"{view.name}: {view.prediction:.1f} {e.unit}" for view in e.views])
        self.view_box.setCurrentIndex(scene.view)
        self.choice_box.setCurrentIndex(0)
        for box in (self.view_box, self.choice_box):
            box.blockSignals(False)
        self.form.setRowVisible(self.view_box, len(e.views) > 1)
        self._fill_table()
        self.show()

    def forget(self) -> None:
        """Show nothing."""
        self.explanation = self.scene = None
        self.plot.show_explanation(None)
        self.table.setRowCount(0)
        self.hide()

    def _view_chosen(self, number: int) -> None:
        if self.scene is not None and number >= 0:
            self.scene.show_view(number)
            self._fill_table()

    def _choice_chosen(self) -> None:
        if self.scene is not None:
            self.scene.show_choice(CHOICES[self.choice_box.currentText()])
            self._fill_table()

    def _fill_table(self) -> None:
        scene, e = self.scene, self.explanation
        if scene is None or e is None:
            return
        rows: list[tuple[Any, ...]] = []
        for prototype, match in enumerate(e.prototypes):
            for pair in scene.pairs(prototype):
                source = whereabouts(e, scene.view, pair.source)
                target = whereabouts(e, scene.view, pair.target)
                rows.append((pair.number, source, f"#{match.rank}", target, pair.share, pair.contribution, pair.source))
        rows.sort(key=lambda row: (row[0], row[2]))
        self.table.blockSignals(True)
        self.table.setSortingEnabled(False)
        self.table.setRowCount(len(rows))
        for line, row in enumerate(rows):
            texts = (row[0], row[1], row[2], row[3], _percent(row[4]), f"{row[5]:.2f}")
            for column, (text, value) in enumerate(zip(texts, row, strict=False)):
                item = _Item(str(text), value)
                item.setData(Qt.ItemDataRole.UserRole, row[6])
                self.table.setItem(line, column, item)
        self.table.setSortingEnabled(True)
        self.table.sortItems(0)
        self.table.clearSelection()
        self.table.blockSignals(False)
        sharp = sharpness(e, scene.view)
        self.matching.setText(f"Matching: {_percent(sharp)} of a patch goes to its strongest partner, on average.")
        self.show_focus(None)

    def _row_chosen(self) -> None:
        items = self.table.selectedItems()
        if self.scene is not None and items:
            self.scene.set_focus(0, int(items[0].data(Qt.ItemDataRole.UserRole)), pin=True)

    def show_focus(self, focus: Focus | None) -> None:
        """Say where the patch that is pointed at went, image by image; None: how to point."""
        e, scene = self.explanation, self.scene
        if e is None or scene is None or focus is None:
            self.focus_line.setText("Point at a patch: its partners light up in every image. A click holds it.")
            return
        place = partial(whereabouts, e, scene.view)
        names = ["this image", *(f"#{match.rank}" for match in e.prototypes)]
        parts = [
            f"{names[number]} {place(int(share.argmax()))} ({_percent(share.max())}{_spread(share)})"
            for number, share in enumerate(focus.shares)
            if number != focus.cell and share.any()
        ]
        self.focus_line.setText(f"{names[focus.cell]} {place(focus.patch)} → " + "; ".join(parts))


class _Item(QTableWidgetItem):
    """Sorts by its value, not by its text."""

    def __init__(self, text: str, value: Any) -> None:
        super().__init__(text)
        self.value = value

    def __lt__(self, other: QTableWidgetItem) -> bool:
        return bool(self.value < other.value) if isinstance(other, _Item) else bool(super().__lt__(other))


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _spread(share: np.ndarray) -> str:
    cells = 1 / float((share**2).sum())
    return f", spread over {cells:.0f} patches" if cells >= 1.5 else ""
