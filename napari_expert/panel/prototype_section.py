"""Steps through the prototypes, and says who is shown: a card for each."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import (
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from expert.errors import ExpertError
from napari_expert.panel.qt_helpers import Label, combo, fill_combo, percent

if TYPE_CHECKING:
    from expert.explanation import PrototypeMatch
    from napari_expert.prototype_browser import Order
    from napari_expert.session import Session
    from napari_expert.side_by_side import Board

ORDERS: tuple[Order, ...] = ("weight", "label", "patch")
WAITING = "Matching …"


class PrototypeSection(QWidget):
    """Buttons, order and cards of the prototypes shown.

    Parameters
    ----------
    session : Session
        What is shown.
    parent : QWidget, optional
    """

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.previous_button = _button("◀", "Previous prototype in this order (Shift-B)")
        self.next_button = _button("▶", "Next prototype in this order (Shift-N)")
        self.order_box = combo(
            "Order of the prototypes",
            "By weight: the largest share of the prediction first. By label: from the prediction "
            "on. By the selected patch: click a patch of the image first; the prototype most "
            "similar there comes first (Shift-P).",
        )
        self.order_box.setMinimumContentsLength(8)
        self.label_box = _label_box()
        self.who = QLabel("Who else is")
        self.who.setBuddy(self.label_box)
        self.place, self.cards = QLabel(), Label("expert_cards")
        self.place.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.place.setMinimumWidth(self.fontMetrics().horizontalAdvance("100–108 of 130"))
        self.cards.setTextFormat(Qt.TextFormat.RichText)
        self._arrange()
        browser = session.browser
        self.previous_button.clicked.connect(lambda: browser.step(-1))
        self.next_button.clicked.connect(lambda: browser.step(+1))
        self.order_box.activated.connect(self._order_chosen)
        self.label_box.valueChanged.connect(browser.show_near)
        events = session.events
        for signal in (events.result, events.partner, events.mode):
            signal.connect(self._show)
        events.wanted.connect(lambda: self.place.setText(WAITING))
        events.failed.connect(lambda reason: self._show())

    def _arrange(self) -> None:
        pages, who = QHBoxLayout(), QHBoxLayout()
        for widget in (self.order_box, self.previous_button, self.place, self.next_button):
            pages.addWidget(widget)
        who.addWidget(self.who)
        who.addWidget(self.label_box, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(pages)
        column.addLayout(who)
        column.addWidget(self.cards)

    def _order_chosen(self, number: int) -> None:
        try:
            self._session.browser.sort(ORDERS[number])
        except ExpertError as error:
            self._session.events.failed.emit(str(error))

    def _show(self) -> None:
        board, browser = self._session.board, self._session.browser
        if board is None:
            return
        e = board.explanations[0]
        words = [f"By {what}" for what in ("weight", e.label_name, "selected patch")]
        fill_combo(self.order_box, words, ORDERS.index(browser.order))
        with QSignalBlocker(self.label_box):
            self.label_box.setRange(float(e.labels.min()), float(e.labels.max()))
            self.label_box.setSuffix(f" {e.unit}")
            self.label_box.setValue(e.prediction if browser.near is None else browser.near)
        count, start = len(browser.sequence), browser.start
        shown = len(board.prototypes)
        last = f"–{start + shown}" if shown > 1 else ""
        self.place.setText(f"{start + 1}{last} of {count}")
        lines = self._session.mode == "lines"
        partner = self._session.partner - board.subjects
        self.previous_button.setEnabled(start > 0 or (lines and partner > 0))
        self.next_button.setEnabled(start + shown < count or (lines and partner + 1 < shown))
        beside = partner if lines else None
        self.cards.setText(cards(self._session, board, beside))
        for widget in filter(None, (self, self.parentWidget())):
            widget.updateGeometry()  # else they keep the height of the text before


def cards(session: Session, board: Board, beside: int | None = None) -> str:
    """What is known about each prototype shown.

    Parameters
    ----------
    session : Session
    board : Board
        What is shown.
    beside : int, optional
        0-based number of the only prototype that is visible, in the lines layout.

    Returns
    -------
    str
        HTML.
    """
    matches = [
        {match.index: match for match in explanation.prototypes}
        for explanation in board.explanations
    ]
    out = []
    for index in board.prototypes if beside is None else board.prototypes[beside : beside + 1]:
        title, rest = card(session, board, [own[index] for own in matches])
        out.append(f"<b>{escape(title)}</b><br>{escape(rest)}")
    return "<br>".join(out)


def card(session: Session, board: Board, matches: list[PrototypeMatch]) -> tuple[str, str]:
    """One prototype in two lines: who it is with which weight, and where it comes from.

    Parameters
    ----------
    session : Session
    board : Board
        What is shown.
    matches : list of PrototypeMatch
        The prototype, matched with each of the explained images.

    Returns
    -------
    title, rest : str
    """
    first, e = matches[0], board.explanations[0]
    weights = " / ".join(_share(match.share) for match in matches)
    label = f"{first.label:.1f} {e.unit}"
    if abs(first.label - first.own_label) >= 0.05:
        label += f" (image: {first.own_label:.1f})"
    title = f"#{first.rank} · {label} · weight {weights}"
    distances = " / ".join(f"{match.distance:.1f}" for match in matches)
    parts = [f"distance {distances} {e.unit}"]
    focus = session.focus
    if session.browser.order == "patch" and focus is not None:
        patch = int(focus.shares[0].argmax())
        there = e.views[session.plane.view].contributions[first.index, patch]
        parts.append(f"selected patch {there:.2f}")
    parts.append(_source(first))
    parts.append("" if first.image is not None else "image not available")
    return title, " · ".join(part for part in parts if part)


def _share(share: float) -> str:
    return percent(share) if share >= 0.005 else "< 1 %" if share > 1e-6 else "0 %"


def _source(match: PrototypeMatch) -> str:
    """Data set and subject."""
    reference = match.reference
    if reference is None:
        return ""
    code, dataset = reference.subject, reference.dataset.split(" (")[0]
    rest = code.removeprefix(f"{dataset} ")  # "IXI IXI002-Guys-0828"
    return rest if rest.startswith(dataset) else f"{dataset} {rest}"


def _button(sign: str, tip: str) -> QPushButton:
    button = QPushButton(sign)
    button.setToolTip(f"{tip}.")
    button.setAccessibleName(tip)
    button.setFixedWidth(34)
    return button


def _label_box() -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setKeyboardTracking(False)
    box.setDecimals(0)
    box.setAccessibleName("Label of the prototypes to show")
    box.setToolTip("Shows the prototypes whose label is nearest to this, whatever their weight.")
    return box
