"""The table of patches: region, match in one prototype, contribution, and what differs."""

from __future__ import annotations

from typing import Any, NamedTuple

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QWidget

from expert.evidence.wording import (
    difference_text,
    partner_text,
    region_text,
    signed,
    tissue_text,
)
from expert.patches import patch_location_text, patches_in_plane
from expert.untrusted.text import without_tags
from napari_expert.panel.qt_helpers import SortedItem, percent
from napari_expert.session import Session
from napari_expert.side_by_side import Board

NUMBER, REGION, PARTNER, SHARE, CONTRIBUTION, DIFFERS = range(6)
"""Columns."""
COLUMNS = {
    "#": "Number of the patch, as on the images; none for a patch of another plane.",
    "Region": (
        "The region that fills most of the patch, in an average brain; of a plain image, row and "
        "column."
    ),
    "In": "Where the strongest match in the prototype is.",
    "Share": "Fraction of the patch that was matched there.",
    "Contrib.": "Contribution of the patch to the prediction (+ increases, − decreases it).",
    "What differs": (
        "The tissue that differs most from people around the mean of the prototypes: fraction in "
        "this image vs theirs."
    ),
}
"""Headers and tooltips."""
STRONGEST = 20
"""Patches of the whole image that are listed, besides the numbered ones of the plane."""
PATCH, VIEW = Qt.ItemDataRole.UserRole, Qt.ItemDataRole.UserRole + 1


class Row(NamedTuple):
    """A patch in the table."""

    number: int | None
    """On the images; None for a patch of another plane."""
    view: int
    patch: int


def listed(session: Session) -> list[Row]:
    """The numbered patches of the plane, and those with the largest contributions of all."""
    assert session.board is not None
    view = session.plane.view
    rows = [Row(number, view, patch) for number, patch in enumerate(session.patches, 1)]
    known = {(row.view, row.patch) for row in rows}
    strongest = session.board.evidence.strongest(STRONGEST)
    return rows + [Row(None, *place) for place in strongest if place not in known]


def plane_with(board: Board, view: int, patch: int) -> int:
    """Number of the plane that cuts a patch; the middle one of several."""
    e = board.explanations[0]
    found = [
        number
        for number, plane in enumerate(board.planes)
        if plane.view == view and patch in patches_in_plane(e, plane)
    ]
    return found[len(found) // 2]


class MatchTable(QTableWidget):
    """Sortable table of patches, the largest contribution first.

    Hovering over a row highlights its patch, a click goes to its plane and locks it.

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
        for signal in (events.result, events.plane, events.patches, events.partner):
            signal.connect(self._fill)

    def _build(self) -> None:
        self.setHorizontalHeaderLabels(list(COLUMNS))
        self.setAccessibleName("Patches")
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
        # Qt would leave space for a sorting arrow in each of the narrow columns.
        for column, widest in ((NUMBER, "# 00"), (SHARE, "Share 0"), (CONTRIBUTION, "Contrib. 0")):
            horizontal.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            horizontal.resizeSection(column, self.fontMetrics().horizontalAdvance(widest) + 4)
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
        rows = listed(session)
        titles = {
            REGION: "Region" if board.evidence.regions else "Patch",
            PARTNER: f"In {board.names[session.partner]}",
        }
        for column, title in titles.items():
            if header := self.horizontalHeaderItem(column):
                header.setText(title)
        unit = board.explanations[0].unit
        blocked = QSignalBlocker(self)
        self.setSortingEnabled(False)
        self.setRowCount(len(rows))
        self.setColumnHidden(DIFFERS, board.evidence.fractions is None)
        for line, row in enumerate(rows):
            cells, tip = _cells(board, session.partner, row), _tip(board, row, unit)
            for column, (words, value) in enumerate(cells):
                item = SortedItem(words, value)
                item.setData(PATCH, row.patch)
                item.setData(VIEW, row.view)
                item.setToolTip(without_tags(tip))
                self.setItem(line, column, item)
        self.setSortingEnabled(True)
        self.sortItems(CONTRIBUTION, Qt.SortOrder.DescendingOrder)
        self.clearSelection()
        blocked.unblock()

    def _row_chosen(self) -> None:
        items, board = self.selectedItems(), self._session.board
        if board is None or not items:
            return
        view, patch = int(items[0].data(VIEW)), int(items[0].data(PATCH))
        shown = self._session.plane
        if shown.view != view or patch not in patches_in_plane(board.explanations[0], shown):
            self._session.show_plane(plane_with(board, view, patch))
        self._session.set_focus(0, patch, pin=True)

    def _row_hovered(self, row: int, column: int) -> None:
        item = self.item(row, 0)
        if item is None or self._session.board is None or self._session.pinned:
            return
        if int(item.data(VIEW)) == self._session.plane.view:
            self._session.set_focus(0, int(item.data(PATCH)))


def _cells(board: Board, tile: int, row: Row) -> tuple[tuple[str, Any], ...]:
    """Text and sorting value of each column."""
    evidence, view, patch = board.evidence, row.view, row.patch
    match = board.match(view, row.number or 0, patch, tile)
    names = evidence.region_names(view, patch)
    region = _narrow(names[0]) if names else _short(region_text(evidence, view, patch))
    there = _narrow(_short(partner_text(evidence, view, patch, match.target)))
    contribution = float(evidence.contributions[view, patch])
    differs = difference_text(evidence, view, patch).replace(" matter", "")
    return (
        ("" if row.number is None else str(row.number), row.number or 1_000_000),
        (region, region),
        (there, there),
        (percent(match.share), match.share),
        (signed(contribution, 2), abs(contribution)),
        (differs, differs),
    )


def _tip(board: Board, row: Row, unit: str) -> str:
    """All that is known about a patch."""
    evidence, e = board.evidence, board.explanations[0]
    lines = [
        ", ".join(evidence.region_names(row.view, row.patch)),
        f"at {patch_location_text(e, row.view, row.patch)}",
        f"contribution {signed(evidence.contributions[row.view, row.patch], 2)} {unit}",
        tissue_text(evidence, row.view, row.patch),
    ]
    return "\n".join(line for line in lines if line)


def _narrow(name: str) -> str:
    """For a narrow column: "R lateral ventricle", "L frontal WM"."""
    return name.replace("right ", "R ").replace("left ", "L ").replace("white matter", "WM")


def _short(where: str) -> str:
    """Positions for a narrow column: "L 32 P 97", "5, 6"."""
    return where.replace(" · ", " ").replace("row ", "").replace(" column", "")
