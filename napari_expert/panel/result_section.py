"""The lower half of the panel: the answer in words and numbers, and the table of matched
patches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QButtonGroup,
    QFormLayout,
    QHBoxLayout,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QVBoxLayout,
    QWidget,
)

from expert import attribution as speaking
from expert.explanation import effective_prototypes
from expert.patches import CHOICES, CONVENTION, NEUROLOGICAL, Choice, sharpness, spread, whereabouts
from napari_expert.panel.prototype_plot import PrototypePlot
from napari_expert.panel.qt_helpers import (
    Label,
    SortedItem,
    combo,
    fill_combo,
    menu_button,
    percent,
)

if TYPE_CHECKING:
    from napari_expert.canvas.result_layers import Focus, Mode, Scene
    from napari_expert.side_by_side import Board

COLUMNS = ("#", "here", "there", "share", "over", "adds")
MODES: dict[Mode, tuple[str, str]] = {
    "grid": ("Grid", "Every picture in a box of its own (Shift-G)."),
    "lines": (
        "Lines",
        "The image beside one prototype, matched patches joined by lines (Shift-M).",
    ),
    "own": (
        "Own space",
        "The original image with the patches and what they say, where they are (Shift-O).",
    ),
}
WHERE = {
    True: (
        "centre of the patch in template mm (Right/Left, Anterior/Posterior, Superior/Inferior "
        "of the commissure)"
    ),
    False: "row and column of the patch, counted from the top left",
}
"""What the table's places are, of a head or of a plain image."""
TIPS = (
    "Number of the patch, as on the pictures.",
    "Where it lies in this image.",
    "The prototype, and where the patch was matched to in it.",
    "Part of the patch that was matched there.",
    "Over how many patches it was spread; 1 is sharp.",
    "What the patch adds to the distance from the prototype, in the label's unit.",
)
"""One for each column of the table."""
PATCH, CELL = Qt.ItemDataRole.UserRole, Qt.ItemDataRole.UserRole + 1


class AnswerPanel(QWidget):
    """Shows what a scene shows, in words, and steers it; hidden while there is none."""

    find_asked = Signal()
    """The images of the prototypes are to be looked for."""
    save_asked = Signal(str)
    """ "report", "explanation", "table" or "layers" is to be saved."""
    compare_asked = Signal(str)
    """With the "previous" answer or a "saved" one."""
    clear_asked = Signal()
    mode_asked = Signal(str)
    changed = Signal()
    """Other patches are numbered, or other values colour them."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.scene: Scene | None = None
        self._build()
        self.hide()

    # --- building ---------------------------------------------------------------------------------
    def _build(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        self.headline = Label("expert_answer", style="font-size: 12pt; font-weight: bold;")
        self.about = Label()
        self.warnings = Label("expert_warnings", "warning")
        self.find_button = QPushButton("Find the prototypes' images…")
        self.find_button.setToolTip(
            "Choose the folder with the data set this model was trained on; the run is "
            "then repeated."
        )
        self.plot = PrototypePlot()
        self.view_box = combo(
            "Plane",
            "What of the image is shown; napari's slider and Page Up / Page Down move it too.",
        )
        self.choice_box = combo(
            "Patches",
            (
                "Most alike: where this image is most like what it was likened to. Least "
                "alike: where it is least so."
            ),
        )
        fill_combo(self.choice_box, list(CHOICES))
        self.speak_box = combo(
            "What the colours show",
            "Colours the image's patches: orange up or for, blue down or against.",
        )
        self.legend = Label()
        self.matching = Label()
        self.table = self._make_table()
        self.focus_line = Label()
        for widget in (self.headline, self.about, self.warnings, self.find_button, self.plot):
            column.addWidget(widget)
        column.addLayout(self._make_modes())
        self.form = QFormLayout()
        self.form.addRow("Plane", self.view_box)
        self.form.addRow("Patches", self.choice_box)
        self.form.addRow("Colours", self.speak_box)
        column.addLayout(self.form)
        for widget in (self.legend, self.focus_line, self.table, self.matching):
            column.addWidget(widget)
        column.addLayout(self._make_buttons())
        self.view_box.currentIndexChanged.connect(self._plane_chosen)
        self.choice_box.currentIndexChanged.connect(self._choice_chosen)
        self.speak_box.currentIndexChanged.connect(self._speaking_chosen)
        self.table.itemSelectionChanged.connect(self._row_chosen)
        self.table.cellEntered.connect(self._row_pointed)
        self.plot.pointed.connect(self._prototype_pointed)
        self.plot.chosen.connect(self._prototype_chosen)
        self.find_button.clicked.connect(self.find_asked)

    def _make_modes(self) -> QHBoxLayout:
        row = QHBoxLayout()
        self.mode_buttons: dict[Mode, QPushButton] = {}
        group = QButtonGroup(self)
        for mode, (words, tip) in MODES.items():
            button = QPushButton(words)
            button.setToolTip(tip)
            button.setAccessibleName(f"Show as: {words}")
            button.setCheckable(True)
            button.setStyleSheet(
                "QPushButton:checked { border: 2px solid #56B4E9; font-weight: bold; }"
            )
            button.clicked.connect(lambda checked=False, mode=mode: self.mode_asked.emit(mode))
            group.addButton(button)
            row.addWidget(button)
            self.mode_buttons[mode] = button
        return row

    def _make_table(self) -> QTableWidget:
        table = QTableWidget(0, len(COLUMNS))
        table.setHorizontalHeaderLabels(COLUMNS)
        table.setAccessibleName("Matched patches")
        for place, tip in enumerate(TIPS):
            table.horizontalHeaderItem(place).setToolTip(tip)
        table.verticalHeader().hide()
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.setTabKeyNavigation(False)
        table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        table.setMinimumHeight(170)
        font = table.font()
        font.setPointSizeF(0.85 * font.pointSizeF())
        table.setFont(font)
        # Six columns in the width of a panel.
        table.setStyleSheet(
            "QHeaderView::section { padding: 2px 1px; } QTableWidget::item { padding: 0px; }"
        )
        table.horizontalHeader().setMinimumSectionSize(16)
        table.setMouseTracking(True)
        return table

    def _make_buttons(self) -> QHBoxLayout:
        ask = self.save_asked.emit
        self.save_button = menu_button(
            "Save…",
            "What leaves the tool carries neither names nor paths.",
            [
                ("Report (HTML or PDF)…", lambda: ask("report")),
                ("Explanation (JSON)…", lambda: ask("explanation")),
                ("Table of matched patches (CSV)…", lambda: ask("table")),
                ("What the patches say, on the image's grid (NIfTI)…", lambda: ask("layers")),
            ],
        )
        self.named = self.save_button.menu().addAction("Write the image's name into the report")
        self.named.setCheckable(True)
        self.compare_button = menu_button(
            "Compare…",
            "Two explained images side by side with the prototypes they share.",
            [
                ("With the answer before this one", lambda: self.compare_asked.emit("previous")),
                ("With a saved explanation…", lambda: self.compare_asked.emit("saved")),
            ],
        )
        self.clear_button = QPushButton("Clear")
        self.clear_button.setToolTip(
            "Take the result away; your layers, grid and camera come back as they were."
        )
        self.clear_button.clicked.connect(self.clear_asked)
        row = QHBoxLayout()
        for button in (self.save_button, self.compare_button, self.clear_button):
            row.addWidget(button)
        return row

    # --- showing ----------------------------------------------------------------------------------
    @property
    def board(self) -> Board | None:
        """What is shown side by side."""
        return None if self.scene is None else self.scene.board

    def show_scene(self, scene: Scene, own_space: bool) -> None:
        """Show an explanation, in place of the one before; `own_space`: whether the original image
        is at hand."""
        self.scene = scene
        board, e = scene.board, scene.explanation
        self.headline.setText(_headline(board))
        self.about.setText(_about(board, scene.neurological))
        notices = {notice.message: None for one in board.explanations for notice in one.warnings}
        self.warnings.setText("\n".join(f"⚠ {message}" for message in notices))
        self.warnings.setVisible(bool(notices))
        self.find_button.setVisible(
            any(notice.code == "prototype_image_missing" for notice in e.warnings)
        )
        ranks = {
            match.index: match.rank for match in e.prototypes if match.index in board.prototypes
        }
        self.plot.show_explanation(e, ranks, board.explanations[1] if board.subjects == 2 else None)
        several = len(e.views) > 1
        fill_combo(
            self.view_box,
            [
                f"{plane.name}: {e.views[plane.view].prediction:.1f} {e.unit}"
                if several
                else plane.name
                for plane in board.planes
            ],
            scene.plane_number,
        )
        self.form.setRowVisible(self.view_box, len(board.planes) > 1)
        with QSignalBlocker(self.choice_box):
            self.choice_box.setCurrentIndex(list(CHOICES.values()).index(scene.choice))
        names = board.names[board.subjects :]
        self._speakers = [None, ("answer",), *(("one", i) for i in board.prototypes)]
        known = [
            f"{name} ({e.labels[i]:.0f})" for name, i in zip(names, board.prototypes, strict=True)
        ]
        words = ["none", "what moved the answer", *(f"why {name}" for name in known)]
        for first, index in enumerate(board.prototypes):
            for second in range(first + 1, len(board.prototypes)):
                self._speakers.append(("two", index, board.prototypes[second]))
                words.append(f"why {known[first]} and not {known[second]}")
        fill_combo(self.speak_box, words)
        self.table.setToolTip(f"here, there: {WHERE[board.head]}.")
        self.offer_own_space(own_space)
        self.show_mode(scene.mode)
        self._fill_table()
        self.show()

    def offer_own_space(self, there: bool) -> None:
        """Whether the original image is at hand."""
        self.mode_buttons["own"].setEnabled(there)

    def show_mode(self, mode: Mode) -> None:
        """Which of the modes is on."""
        self.mode_buttons[mode].setChecked(True)
        self._tell_speaking()

    def show_plane(self) -> None:
        """The scene went to another plane by itself."""
        if self.scene is not None:
            with QSignalBlocker(self.view_box):
                self.view_box.setCurrentIndex(self.scene.plane_number)
            self._fill_table()
            self._tell_speaking()
            self.changed.emit()

    def forget(self) -> None:
        """Show nothing."""
        self.scene = None
        self.plot.show_explanation(None)
        self.table.setRowCount(0)
        self.hide()

    def show_convention(self) -> None:
        """Which side is drawn where."""
        if self.scene is not None:
            self.about.setText(_about(self.scene.board, self.scene.neurological))

    # --- choosing ---------------------------------------------------------------------------------
    def _plane_chosen(self, number: int) -> None:
        if self.scene is not None and number >= 0:
            self.scene.show_plane(number)

    def _choice_chosen(self) -> None:
        if self.scene is not None:
            self.scene.show_choice(CHOICES[self.choice_box.currentText()])
            self._fill_table()
            self.changed.emit()

    def choose_patches(self, choice: Choice) -> None:
        """Number other patches."""
        self.choice_box.setCurrentIndex(list(CHOICES.values()).index(choice))

    def values(self) -> np.ndarray | None:
        """(V, M) what the patches say, label units, as chosen under *Colours*; None for nothing."""
        speaker = (
            self._speakers[max(self.speak_box.currentIndex(), 0)]
            if self.scene is not None
            else None
        )
        return None if speaker is None else self._spoken(speaker)

    def answer_values(self) -> np.ndarray:
        """(V, M) as `values`; the pull on the answer where nothing is chosen."""
        values = self.values()
        return self._spoken(("answer",)) if values is None else values

    def speak(self) -> None:
        """Something is to be painted: the pull on the answer, where nothing else is chosen."""
        if self.speak_box.currentIndex() == 0:
            self.speak_box.setCurrentIndex(1)

    def _spoken(self, speaker: tuple[Any, ...]) -> np.ndarray:
        assert self.scene is not None
        e = self.scene.explanation
        kind, *who = speaker
        call = {
            "answer": speaking.for_answer,
            "one": speaking.for_prototype,
            "two": speaking.between,
        }[kind]
        return np.stack([call(e, view, *who) for view in range(len(e.views))])

    def _speaking_chosen(self) -> None:
        if self.scene is not None:
            self.scene.show_speaking(self.values())
            self._tell_speaking()
            self.changed.emit()

    def _tell_speaking(self) -> None:
        """The legend: what the colours mean here, and the strongest patches by name."""
        scene, values = self.scene, self.values()
        self.legend.setVisible(values is not None)
        if scene is None or values is None:
            return
        speaker = self._speakers[self.speak_box.currentIndex()]
        assert speaker is not None
        up, down = {
            "answer": ("pulls the answer up", "down"),
            "one": ("more like it than the rest", "less"),
            "two": tuple(f"speaks for {self._rank(index)}" for index in speaker[1:]),
        }[speaker[0]]
        own, unit = scene.mode == "own", scene.explanation.unit
        here = values.mean(axis=0) if own else values[scene.plane.view]
        if not here.any():
            self.legend.setText("No patch speaks: the nearest prototype alone is the answer.")
            return
        order = [int(n) for n in np.argsort(-np.abs(here))[:3]]
        strongest = "; ".join(
            f"{whereabouts(scene.explanation, scene.plane.view, n)}: {here[n]:+.2f}" for n in order
        )
        where = "on the whole" if own and len(values) > 1 else "here"
        self.legend.setText(f"Orange {up}, blue {down}. Strongest {where} ({unit}): {strongest}.")

    def _rank(self, index: int) -> str:
        """What a prototype on show is called."""
        board = self.board
        assert board is not None
        return board.names[board.subjects + board.prototypes.index(index)]

    # --- the table --------------------------------------------------------------------------------
    def _fill_table(self) -> None:
        scene = self.scene
        if scene is None:
            return
        e, view, names = scene.explanation, scene.plane.view, scene.board.names
        rows = scene.board.matches(view, scene.patches)
        table = self.table
        blocked = QSignalBlocker(table)
        table.setSortingEnabled(False)
        table.setRowCount(len(rows))
        for line, match in enumerate(rows):
            here, there = (
                _briefly(whereabouts(e, view, patch)) for patch in (match.source, match.target)
            )
            adds = ("", -1.0) if match.adds is None else (f"{match.adds:.2f}", match.adds)
            cells = (
                (str(match.number), match.number),
                (here, here),
                (f"{names[match.cell]}: {there}", (match.cell, there)),
                (percent(match.share), match.share),
                (f"{match.spread:.0f}", match.spread),
                adds,
            )
            for place, (words, value) in enumerate(cells):
                item = SortedItem(words, value)
                item.setData(PATCH, match.source)
                item.setData(CELL, match.cell)
                table.setItem(line, place, item)
        table.setSortingEnabled(True)
        table.sortItems(0)
        table.clearSelection()
        blocked.unblock()
        guided = " Patches are matched by their place as well (spatial prior)." if e.prior else ""
        if e.guide:
            guided = (
                " Which patches are matched is said by a second network that knows no "
                "labels (guide)."
            ) + guided
        self.matching.setText(
            f"Matching: {percent(sharpness(e, view))} of a patch goes to its strongest "
            f"partner, on average.{guided}"
        )
        self.show_focus(scene.focus)

    def _row_chosen(self) -> None:
        items = self.table.selectedItems()
        if self.scene is not None and items:
            if items[0].data(CELL) >= self.scene.board.subjects:
                self.scene.show_partner(int(items[0].data(CELL)))
            self.scene.set_focus(0, int(items[0].data(PATCH)), pin=True)

    def _row_pointed(self, row: int, column: int) -> None:
        if self.scene is not None and not self.scene.pinned:
            self.scene.set_focus(0, int(self.table.item(row, 0).data(PATCH)))

    def leaveEvent(self, event: Any) -> None:
        if self.scene is not None and not self.scene.pinned:
            self.scene.set_focus(None)
        super().leaveEvent(event)

    # --- the plot ---------------------------------------------------------------------------------
    def _prototype_pointed(self, index: int) -> None:
        """Where the image is like the prototype under the mouse, while it is there."""
        if self.scene is not None:
            self.scene.show_speaking(self.values() if index < 0 else self._spoken(("one", index)))

    def _prototype_chosen(self, index: int) -> None:
        board = self.board
        if self.scene is not None and board is not None and index in board.prototypes:
            number = board.prototypes.index(index)
            self.scene.show_partner(board.subjects + number)
            self.speak_box.setCurrentIndex(2 + number)

    # --- pointing ---------------------------------------------------------------------------------
    def show_focus(self, focus: Focus | None) -> None:
        """Say where the patch that is pointed at went, image by image; None: how to point."""
        scene = self.scene
        if scene is None or focus is None:
            self.focus_line.setText(
                "Point at a patch: its partners light up in every image. A click holds it."
            )
            return
        names, view = scene.board.names, scene.plane.view
        parts = [
            f"{names[number]} {whereabouts(scene.explanation, view, int(share.argmax()))} "
            f"({percent(float(share.max()))}{_spread(spread(share))})"
            for number, share in enumerate(focus.shares)
            if number != focus.cell and share.any()
        ]
        here = whereabouts(scene.explanation, view, focus.patch)
        self.focus_line.setText(f"{names[focus.cell]} {here} → " + "; ".join(parts))


def _headline(board: Board) -> str:
    e = board.explanations[0]
    if board.subjects == 2:
        other = board.explanations[1]
        step = other.prediction - e.prediction
        return f"A {e.prediction:.1f} · B {other.prediction:.1f} {e.unit} ({step:+.1f})"
    answer = f"{e.prediction:.1f} {e.unit}"
    if e.interval is not None:
        answer += (
            f" ({percent(e.interval.level)} interval: {e.interval.lower:.0f} – "
            f"{e.interval.upper:.0f})"
        )
    return answer


def _about(board: Board, neurological: bool) -> str:
    e = board.explanations[0]
    voices = effective_prototypes(e.shares[None])
    shown = float(e.shares[list(board.prototypes)].sum())
    text = f"{e.label_name}: the label of one prototype."
    if board.subjects == 2:
        text = (
            f"{e.label_name} of two images, and {len(board.prototypes)} prototypes both were "
            "likened to (shares A / B)."
        )
    elif float(e.shares.max()) < 1 - 1e-9:
        text = (
            f"{e.label_name}: weighted mean of the prototypes' labels. {voices:.0f} "
            "prototypes hold 80 % of the weight, those "
            f"shown {percent(shown)}."
        )
    if board.head:
        convention = NEUROLOGICAL if neurological else CONVENTION
        text += f" {convention.capitalize()}."
    return text


def _briefly(where: str) -> str:
    """For a table that says elsewhere what its places are: "L 32 P 97", "5, 6"."""
    return where.replace(" · ", " ").replace("row ", "").replace(" column", "")


def _spread(cells: float) -> str:
    return f", spread over {cells:.0f} patches" if cells >= 1.5 else ""
