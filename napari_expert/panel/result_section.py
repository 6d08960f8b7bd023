"""The lower part of the panel: the prediction, what is shown of it, and the matches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QSignalBlocker
from qtpy.QtCore import Signal as QtSignal
from qtpy.QtGui import QAction
from qtpy.QtWidgets import QButtonGroup, QFormLayout, QHBoxLayout, QPushButton, QVBoxLayout, QWidget
from superqt import QCollapsible

from expert.patches import CHOICES
from napari_expert.panel import result_texts
from napari_expert.panel.color_bar import ColorBar
from napari_expert.panel.fetch_section import FetchSection
from napari_expert.panel.match_table import MatchTable
from napari_expert.panel.prototype_plot import PrototypePlot
from napari_expert.panel.prototype_section import PrototypeSection
from napari_expert.panel.qt_helpers import (
    Label,
    collapsible,
    combo,
    fill_combo,
    menu_button,
)
from napari_expert.panel.view_controls import ViewControls
from napari_expert.session import Mode, PatchMap, Session, native_values

MODES: dict[Mode, tuple[str, str]] = {
    "grid": ("Grid", "One panel per image (Shift-G)."),
    "planes": (
        "Planes",
        "The image and one prototype in axial, coronal and sagittal slices (Shift-P); for models "
        "of volumes.",
    ),
    "lines": ("Lines", "The image beside one prototype, lines between matched patches (Shift-M)."),
    "native": (
        "Native",
        "Native space: the original image with the patches and the contribution map (Shift-O).",
    ),
}


class ResultSection(QWidget):
    """Shows a session in words and changes it; hidden while nothing is shown.

    Parameters
    ----------
    session : Session
        What is shown.
    parent : QWidget, optional
    """

    find_asked = QtSignal(str)
    """The images of the prototypes are to be searched for in this folder."""
    save_asked = QtSignal(str)
    """ "report", "explanation", "table" or "layers" is to be saved."""
    compare_asked = QtSignal(str)
    """With the "previous" result or a "saved" one."""
    clear_asked = QtSignal()
    mode_asked = QtSignal(str)

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.outdated = ""
        """Why the result shown is not that of what is chosen; empty if it is."""
        self._maps: list[PatchMap | None] = [None]
        self._build()
        self._connect()
        self.hide()

    # --- building ---------------------------------------------------------------------------------
    def _build(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        self.subject = Label("expert_subject")
        self.forced = Label("expert_forced", "error", "font-weight: bold;")
        self.headline = Label("expert_answer", style="font-size: 12pt; font-weight: bold;")
        self.summary = Label("expert_summary")
        self.about = Label()
        self.warnings = Label("expert_warnings", "warning")
        self.fetch = FetchSection()
        self.plot = PrototypePlot()
        said = (self.subject, self.forced, self.headline, self.summary, self.about, self.warnings)
        for widget in said:
            column.addWidget(widget)
        column.addWidget(self.fetch)
        column.addWidget(self.plot)
        modes, self.mode_buttons = _make_modes(self, self.mode_asked.emit)
        column.addLayout(modes)
        self.prototypes = PrototypeSection(self.session)
        column.addWidget(self.prototypes)
        column.addLayout(self._make_form())
        self.viewing = ViewControls(self.form, self.session)
        self.legend, self.focus_line, self.matching = Label(), Label(), Label()
        self.color_bar = ColorBar()
        self.table = MatchTable(self.session)
        self.table_section: QCollapsible = collapsible("Patches", self.table, True)
        column.addWidget(self.color_bar)
        for below in (self.legend, self.focus_line, self.table_section, self.matching):
            column.addWidget(below)
        column.addLayout(self._make_buttons())

    def _make_form(self) -> QFormLayout:
        self.view_box = combo(
            "Plane", "The plane shown; napari's slider and Page Up / Page Down change it too."
        )
        self.choice_box = combo(
            "Patches",
            "Which patches are numbered: those that moved the prediction most, or those where this "
            "image is most (least) similar to the prototypes shown.",
        )
        fill_combo(self.choice_box, list(CHOICES))
        self.map_box = combo(
            "Colours",
            "Colours the patches of the image: orange for an increase or more similarity, blue "
            "for a decrease or less.",
        )
        self.form = QFormLayout()
        self.form.addRow("Plane", self.view_box)
        self.form.addRow("Patches", self.choice_box)
        self.form.addRow("Colours", self.map_box)
        return self.form

    def _make_buttons(self) -> QHBoxLayout:
        compare = self.compare_asked.emit
        self.save_button, self.named = _save_button(self.save_asked.emit, self.session)
        self.compare_button = menu_button(
            "Compare…",
            "Two explained images side by side, with the prototypes they share.",
            [
                ("With the previous result", lambda: compare("previous")),
                ("With a saved explanation…", lambda: compare("saved")),
            ],
        )
        self.clear_button = QPushButton("Clear")
        self.clear_button.setToolTip(
            "Remove the result layers and restore your layers, the grid and the camera."
        )
        row = QHBoxLayout()
        for button in (self.save_button, self.compare_button, self.clear_button):
            row.addWidget(button)
        return row

    def _connect(self) -> None:
        self.view_box.currentIndexChanged.connect(self._plane_chosen)
        self.choice_box.currentTextChanged.connect(
            lambda words: self.session.choose_patches(CHOICES[words])
        )
        self.map_box.currentIndexChanged.connect(
            lambda number: self.session.set_map(self._maps[max(number, 0)])
        )
        self.plot.pointed.connect(self._prototype_hovered)
        self.plot.chosen.connect(self._prototype_chosen)
        self.fetch.folder_chosen.connect(self.find_asked)
        self.clear_button.clicked.connect(self.clear_asked)
        events = self.session.events
        events.result.connect(self._show_result)
        events.source.connect(self._show_source)
        self.session.viewing.events.axis.connect(self._fill_planes)
        events.plane.connect(self._show_plane)
        events.patches.connect(self._show_patches)
        events.map.connect(self._show_map)
        events.mode.connect(self.show_mode)
        events.convention.connect(self._show_convention)
        events.focus.connect(self._show_focus)

    # --- showing ----------------------------------------------------------------------------------
    def _show_result(self) -> None:
        board = self.session.board
        self.setVisible(board is not None)
        if board is None:
            self.plot.show_explanation(None)
            self.fetch.stop()
            return
        e = board.explanations[0]
        self.headline.setText(result_texts.headline(board))
        for label, text in (
            (self.forced, result_texts.forced(board)),
            (self.warnings, result_texts.notices(board)),
            (self.summary, result_texts.summary(board)),
        ):
            label.setText(text)
            label.setVisible(bool(text))
        self.fetch.show_matches(board.matches_shown, e.unit)
        ranks = {
            match.index: match.rank for match in e.prototypes if match.index in board.prototypes
        }
        self.plot.show_explanation(e, ranks, board.explanations[1] if board.subjects == 2 else None)
        self._fill_planes()
        self.mode_buttons["planes"].setEnabled(board.volume)
        self._maps, words = result_texts.maps(board)
        fill_combo(self.map_box, words)
        self._show_convention()
        self._show_source()
        self._show_patches()
        self.show_mode()

    def _fill_planes(self) -> None:
        board, planes = self.session.board, self.session.viewing.planes
        names = result_texts.plane_names(board, planes) if board is not None else []
        fill_combo(self.view_box, names, self.session.plane_number)
        self.form.setRowVisible(self.view_box, len(names) > 1)

    def _show_source(self) -> None:
        self.mode_buttons["native"].setEnabled(self.session.source is not None)

    def set_outdated(self, reason: str) -> None:
        """Say why the result shown is not that of what is chosen, and grey it; empty if it is."""
        self.outdated = reason
        text = reason or result_texts.subject(self.session)
        self.subject.setText(text)
        self.subject.setVisible(bool(text))
        self.subject.set_kind("warning" if reason else "")
        for widget in (self.headline, self.summary, self.about, self.plot):
            widget.setEnabled(not reason)

    def show_mode(self) -> None:
        """Check the button of the mode shown."""
        self.mode_buttons[self.session.mode].setChecked(True)
        self._show_map()

    def _show_plane(self) -> None:
        with QSignalBlocker(self.view_box):
            self.view_box.setCurrentIndex(self.session.plane_number)
        self._show_matching()
        self._show_map()

    def _show_patches(self) -> None:
        with QSignalBlocker(self.choice_box):
            self.choice_box.setCurrentIndex(list(CHOICES.values()).index(self.session.choice))
        self._show_matching()

    def _show_map(self) -> None:
        """Which map is chosen, and the legend: what its colours mean, and the strongest patches."""
        session, board = self.session, self.session.board
        if session.map in self._maps:
            with QSignalBlocker(self.map_box):
                self.map_box.setCurrentIndex(self._maps.index(session.map))
        self.legend.setVisible(session.map is not None)
        self.color_bar.setVisible(session.map is not None)
        if board is not None and session.map is not None:
            self.legend.setText(result_texts.legend(session, board, session.map))
            e = board.explanations[0]
            values = native_values(session) if session.native else session.map.values(e)
            self.color_bar.show_limit(float(abs(values).max()), e.unit)

    def _show_matching(self) -> None:
        if self.session.board is not None:
            e = self.session.board.explanations[0]
            self.matching.setText(result_texts.matching(e, self.session.plane.view))
            self._show_focus()

    def _show_convention(self) -> None:
        if self.session.board is not None:
            self.about.setText(result_texts.about(self.session.board, self.session.neurological))

    def _show_focus(self) -> None:
        board, focus = self.session.board, self.session.focus
        if board is None or focus is None:
            self.focus_line.setText("Hover over a patch to highlight its matches; click to lock.")
        else:
            self.focus_line.setText(result_texts.focus_text(board, self.session.plane.view, focus))

    # --- choosing ---------------------------------------------------------------------------------
    def _plane_chosen(self, number: int) -> None:
        if number >= 0:
            self.session.show_plane(number)

    def _prototype_hovered(self, index: int) -> None:
        """Show where the image is similar to the prototype under the mouse, while it is there."""
        hovered = index >= 0 and self.session.board is not None
        self.session.set_preview(PatchMap("similarity", (index,)) if hovered else None)

    def _prototype_chosen(self, index: int) -> None:
        self.session.browser.show(index)
        board = self.session.board
        if board is not None and index in board.prototypes:
            self.session.set_map(PatchMap("similarity", (index,)))

    def leaveEvent(self, event: Any) -> None:
        if not self.session.pinned:
            self.session.set_focus(None)
        super().leaveEvent(event)


def _save_button(save: Callable[[str], object], session: Session) -> tuple[QPushButton, QAction]:
    """The button of exports, and the choice of naming the image in reports."""
    button = menu_button(
        "Save…",
        "Exports contain no patient names or file paths.",
        [
            ("Report (HTML or PDF)…", lambda: save("report")),
            ("Explanation (JSON)…", lambda: save("explanation")),
            ("Table of matched patches (CSV)…", lambda: save("table")),
            ("Contribution map in native space (NIfTI)…", lambda: save("layers")),
        ],
    )
    menu = button.menu()
    assert menu is not None
    named = menu.addAction("Write the image's name into the report")
    assert named is not None
    named.setCheckable(True)
    named.toggled.connect(lambda on: setattr(session, "name_in_report", on))
    return button, named


def _make_modes(
    parent: QWidget, ask: Callable[[str], object]
) -> tuple[QHBoxLayout, dict[Mode, QPushButton]]:
    """A row of buttons, one of which is checked; `ask` is called with the mode of a clicked one."""
    row, group = QHBoxLayout(), QButtonGroup(parent)
    buttons: dict[Mode, QPushButton] = {}
    for mode, (words, tip) in MODES.items():
        button = QPushButton(words)
        button.setToolTip(tip)
        button.setAccessibleName(f"Show as: {words}")
        button.setCheckable(True)
        button.setStyleSheet(
            "QPushButton:checked { border: 2px solid #56B4E9; font-weight: bold; }"
        )
        button.clicked.connect(lambda checked=False, mode=mode: ask(mode))
        group.addButton(button)
        row.addWidget(button)
        buttons[mode] = button
    return row, buttons
