"""The table of matched patches: a row for each numbered patch and each prototype."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QWidget

from expert.patches import patch_location_text
from napari_expert.panel.qt_helpers import SortedItem, percent
from napari_expert.session import Session

COLUMNS = {
    "#": "Number of the patch, as on the images.",
    "Patch": "Position of the patch in this image.",
    "Matched to": "The prototype, and the position of the strongest match in it.",
    "Share": "Fraction of the patch that was matched there.",
    "Spread": "Number of patches the patch was spread over; 1 is a sharp match.",
    "Contribution": "Contribution of the patch to the distance from the prototype, label units.",
}
"""Headers and tooltips."""
POSITIONS = {
    True: (
        "centre of the patch in template mm (Right/Left, Anterior/Posterior, Superior/Inferior "
        "of the commissure)"
    ),
    False: "row and column of the patch, counted from the top left",
}
"""What the positions are, of a head or of a plain image."""
PATCH, TILE = Qt.ItemDataRole.UserRole, Qt.ItemDataRole.UserRole + 1


class MatchTable(QTableWidget):
    """Sortable table of the matches of a session's numbered patches.

    Hovering over a row highlights its patch, a click locks it.

    Parameters
    ----------
    session : Session
        What is shown.
    parent : QWidget, optional
    """

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(0, len(COLUMNS), parent)
        self._session = session
        self._build()
        self.itemSelectionChanged.connect(self._row_chosen)
        self.cellEntered.connect(self._row_hovered)
        events = session.events
        for signal in (events.result, events.plane, events.patches):
            signal.connect(self._fill)

    def _build(self) -> None:
        self.setHorizontalHeaderLabels(list(COLUMNS))
        self.setAccessibleName("Matched patches")
        for column, tip in enumerate(COLUMNS.values()):
            if header := self.horizontalHeaderItem(column):
                header.setToolTip(tip)
        vertical, horizontal = self.verticalHeader(), self.horizontalHeader()
        assert vertical is not None
        assert horizontal is not None
        vertical.hide()
        vertical.setDefaultSectionSize(22)
        horizontal.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        horizontal.setMinimumSectionSize(16)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setTabKeyNavigation(False)
        self.setMinimumHeight(170)
        font = self.font()
        font.setPointSizeF(0.85 * font.pointSizeF())
        self.setFont(font)
        # Six columns in the width of a panel: Qt would leave space for a sorting arrow in each.
        for column, widest in ((0, "# 00"), (3, "Share 0"), (4, "Spread 0")):
            horizontal.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            horizontal.resizeSection(column, self.fontMetrics().horizontalAdvance(widest) + 4)
        horizontal.setSectionResizeMode(len(COLUMNS) - 1, QHeaderView.ResizeMode.Stretch)
        self.setStyleSheet(
            "QHeaderView::section { padding: 2px 0; font-size: 7pt; }"
            "QTableWidget::item { padding: 0; }"
        )
        self.setMouseTracking(True)

    def _fill(self) -> None:
        session, board = self._session, self._session.board
        if board is None:
            self.setRowCount(0)
            return
        e, view = board.explanations[0], session.plane.view
        rows = board.matches(view, session.patches)
        self.setToolTip(f"Patch, Matched to: {POSITIONS[board.head]}.")
        blocked = QSignalBlocker(self)
        self.setSortingEnabled(False)
        self.setRowCount(len(rows))
        for line, match in enumerate(rows):
            here, there = (
                _short(patch_location_text(e, view, patch))
                for patch in (match.source, match.target)
            )
            contribution: tuple[str, float] = ("", -1.0)
            if match.contribution is not None:
                contribution = (f"{match.contribution:.2f}", match.contribution)
            cells: tuple[tuple[str, Any], ...] = (
                (str(match.number), match.number),
                (here, here),
                (f"{board.names[match.tile]}: {there}", (match.tile, there)),
                (percent(match.share), match.share),
                (f"{match.spread:.0f}", match.spread),
                contribution,
            )
            for column, (words, value) in enumerate(cells):
                item = SortedItem(words, value)
                item.setData(PATCH, match.source)
                item.setData(TILE, match.tile)
                self.setItem(line, column, item)
        self.setSortingEnabled(True)
        self.sortItems(0)
        self.clearSelection()
        blocked.unblock()

    def _row_chosen(self) -> None:
        items, board = self.selectedItems(), self._session.board
        if board is not None and items:
            tile = int(items[0].data(TILE))
            if tile >= board.subjects:
                self._session.show_partner(tile)
            self._session.set_focus(0, int(items[0].data(PATCH)), pin=True)

    def _row_hovered(self, row: int, column: int) -> None:
        item = self.item(row, 0)
        if item is not None and self._session.board is not None and not self._session.pinned:
            self._session.set_focus(0, int(item.data(PATCH)))


def _short(where: str) -> str:
    """For a table whose tooltip says what its positions are: "L 32 P 97", "5, 6"."""
    return where.replace(" · ", " ").replace("row ", "").replace(" column", "")
