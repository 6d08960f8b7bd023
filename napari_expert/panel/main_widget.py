"""The dock widget: choose a model and a layer, run, read the answer, and walk through the
matches."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error
from qtpy.QtCore import QEvent, QSize, Qt, Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from expert.errors import ExpertError
from expert.schema import RESEARCH_USE
from napari_expert.keys import Keys
from napari_expert.layer_geometry import volume_from_layer
from napari_expert.panel.explain_worker import ExplainJob
from napari_expert.panel.export import Saver
from napari_expert.panel.input_section import Chooser
from napari_expert.panel.qt_helpers import Label
from napari_expert.panel.result_section import AnswerPanel
from napari_expert.panel.settings import Settings
from napari_expert.session import Visit, layer_of

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Layer

    from expert.explanation import Explanation
    from expert.patches import Choice
    from napari_expert.canvas.result_layers import Scene

STAGES = {
    "load": "loading the model",
    "register": "registering",
    "features": "features",
    "match": "matching",
    "layers": "layers",
}
KEPT = 8
"""Prototypes explained in full, so that more can be shown, and two answers compared, without
another run."""


class ExpertWidget(QWidget):
    """The panel *Plugins ▸ ExPeRT*.

    Parameters
    ----------
    viewer : napari's viewer
    """

    answered = Signal(object)
    """An Explanation was shown."""
    ended = Signal()
    """A run ended: answered, failed or cancelled."""

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.job: ExplainJob | None = None
        self.data: Path | None = None
        self._chosen_data: Path | None = (
            None  # by the user, hence remembered; `data` may also be the opened image's folder
        )
        self._restored = self._closed = False
        self.saver = Saver(self)
        self._build()
        self.visit = Visit(viewer, self.answer, self._visit_changed)
        self._check_ready()
        self._keys = Keys(viewer, self)
        self._restore(Settings.load())

    # --- settings ---------------------------------------------------------------------------------
    def _restore(self, settings: Settings) -> None:
        """What was chosen last time, as far as it is still there."""
        with contextlib.suppress(
            ExpertError
        ):  # a model file that is gone: the first shipped model stays
            self.choose_model(settings.model)
        self.top.setValue(settings.prototypes)
        self.visit.neurological = settings.convention == "neurological"
        self.visit.mode = settings.view
        self.data = self._chosen_data = Path(settings.data) if settings.data else None
        self._restored = True

    def _remember(self) -> None:
        """What is chosen now, for the next time."""
        if not self._restored:
            return
        before = Settings.load()
        now = Settings(
            model=self.model or "phantom",
            prototypes=self.top.value(),
            view="lines" if self.visit.mode == "lines" else "grid",
            convention="neurological" if self.visit.neurological else "radiological",
            device=before.device,
            data="" if self._chosen_data is None else str(self._chosen_data),
        )
        if now != before:
            now.save()

    # --- building ---------------------------------------------------------------------------------
    def _build(self) -> None:
        self.setObjectName("expert_panel")
        inner = QWidget()
        self.scroll = QScrollArea()
        self.scroll.setWidget(inner)
        self.scroll.setWidgetResizable(True)
        self.scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        self.scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        statement = Label(style="font-weight: bold;")  # below what scrolls: it is always in sight
        statement.setText(RESEARCH_USE)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 4)
        whole.addWidget(self.scroll)
        whole.addWidget(statement)
        column = QVBoxLayout(inner)
        column.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.chooser = Chooser(self.viewer)
        column.addWidget(self.chooser)
        self.layer_box, self.model_box, self.top = (
            self.chooser.layer_box,
            self.chooser.model_box,
            self.chooser.top,
        )
        self.card, self.fit = self.chooser.card, self.chooser.fit
        self.run_button = QPushButton("Run")
        self.run_button.setToolTip("Explain the chosen image with the chosen model.")
        self.progress = QProgressBar()
        self.progress.setRange(0, 100)
        self.progress.hide()
        self.error = Label("expert_error", "error")
        for widget in (self.run_button, self.progress, self.error):
            column.addWidget(widget)
        self.answer = AnswerPanel()
        column.addWidget(self.answer)
        self.error.hide()
        self.run_button.clicked.connect(self.run_or_cancel)
        self.chooser.changed.connect(self._check_ready)
        self.chooser.chosen.connect(self._remember)
        self.chooser.failed.connect(self._show_error)
        self.answer.find_asked.connect(self._find_images)
        self.answer.save_asked.connect(self.saver.save)
        self.answer.compare_asked.connect(self._compare_asked)
        self.answer.mode_asked.connect(
            lambda mode: self.attempt(lambda: self.visit.show_mode(mode))
        )
        self.answer.clear_asked.connect(self.clear)
        self.top.valueChanged.connect(self._top_changed)

    def sizeHint(self) -> QSize:
        return QSize(375, 640)

    # --- what is chosen ---------------------------------------------------------------------------
    @property
    def model(self) -> str:
        """The chosen model: a shipped name or a file."""
        return self.chooser.model

    @property
    def layer(self) -> Layer | None:
        """The chosen image layer."""
        return self.chooser.layer

    def choose_model(self, model: str) -> None:
        """Choose a shipped model or a model file (which joins the list).

        Raises
        ------
        expert.errors.ModelError
            It cannot be used; nothing changes.
        """
        self.chooser.choose_model(model)

    def _check_ready(self) -> None:
        """Run is only offered where image and model fit."""
        if self.job is None:
            self.run_button.setEnabled(self.chooser.ready)

    def _top_changed(self, top: int) -> None:
        self.visit.show_top(top)
        self._remember()

    # --- running ----------------------------------------------------------------------------------
    def run_or_cancel(self) -> None:
        """What the button does: begin, or give up what runs."""
        if self.job is not None:
            self.job.cancel()
        else:
            self.run()

    def run(self) -> None:
        """Explain the chosen layer with the chosen model; returns at once."""
        if self.job is not None or self.layer is None:
            return
        self._show_error("")
        try:
            volume = volume_from_layer(self.layer)
        except ExpertError as error:
            self.fail(str(error))
            self.ended.emit()
            return
        model, top = self.chooser.loaded or self.model, max(KEPT, self.top.value())
        self.job = job = ExplainJob(
            model, volume, top, self._data_folder(), Settings.load().device, self
        )
        job.source = self.layer
        job.advanced.connect(self._advance)
        job.succeeded.connect(self._succeed)
        job.failed.connect(self.fail)
        job.finished.connect(partial(self._finish, job))
        self.run_button.setText("Cancel")
        self.run_button.setEnabled(True)
        self.progress.show()
        self._advance("load", 0.0)
        job.start()

    def _data_folder(self) -> Path | None:
        """Where prototype images may lie: the chosen folder, else the one the image was opened
        from."""
        source = None if self.layer is None else self.layer.source.path
        return self.data or (Path(source).parent if source else None)

    def _find_images(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Folder of the data set")
        if folder:
            self.data = self._chosen_data = Path(folder)
            self._remember()
            self.run()

    def _advance(self, stage: str, fraction: float) -> None:
        if self.job is None or not self.job.running:
            return
        self.progress.setFormat(STAGES.get(stage, stage))
        self.progress.setValue(round(100 * fraction))

    def _succeed(self, explanation: Explanation) -> None:
        self._advance("layers", 0.5)
        source = None if self.job is None else self.job.source
        self.show_explanation(explanation, source if source in self.viewer.layers else None)

    def fail(self, message: str) -> None:
        self._show_error(message)
        show_error(message)

    def _finish(self, job: ExplainJob) -> None:
        if self.job is job:
            self.job = None
        job.deleteLater()
        self.progress.hide()
        self.run_button.setText("Run")
        self._check_ready()
        self.ended.emit()

    def _show_error(self, message: str) -> None:
        self.error.setText(message)
        self.error.setVisible(bool(message))

    # --- the answer -------------------------------------------------------------------------------
    @property
    def explanation(self) -> Explanation | None:
        """What is on show."""
        return self.visit.explanation

    @property
    def scene(self) -> Scene | None:
        """The layers of what is on show."""
        return self.visit.scene

    def show_explanation(self, explanation: Explanation, source: Layer | None = None) -> None:
        """Show an explanation, in the panel and as layers, in place of the one before.

        Parameters
        ----------
        explanation : what to show
        source : the layer it is about; the chosen one if it is the same image, where None
        """
        chosen = self.layer
        self.visit.top = self.top.value()
        self.visit.show(
            explanation,
            layer_of(explanation, list(self.viewer.layers)) if source is None else source,
        )
        self.chooser.choose_layer(chosen)
        self.answered.emit(explanation)

    def open_explanation(self, path: str | Path) -> None:
        """Show a saved explanation, with its image if that is open.

        Raises
        ------
        expert.errors.InputError
            The file is no explanation; nothing changes.
        """
        from expert.explanation import Explanation

        self.show_explanation(Explanation.load(path))

    def clear(self) -> None:
        """Take the result away and put the viewer back as it was."""
        self.visit.clear()

    def _visit_changed(self) -> None:
        self._remember()
        self.chooser.set_brief(self.visit.explanation is not None)

    def _compare_asked(self, what: str) -> None:
        if what == "saved":
            self.compare()
        elif self.visit.previous is None:
            self.fail(
                "There is no answer before this one: run the model on another image, or "
                "choose a saved explanation."
            )
        else:
            self.attempt(lambda: self.visit.compare(self.visit.previous))

    def compare(self, path: str | Path | None = None) -> None:
        """Show the explanation on show beside a saved one; asks for the file if None."""
        from expert.explanation import Explanation

        chosen = (
            path or QFileDialog.getOpenFileName(self, "Compare with", "", "Explanation (*.json)")[0]
        )
        if chosen:
            self.attempt(lambda: self.visit.compare(Explanation.load(chosen)))

    def attempt(self, act: Callable[[], object]) -> None:
        """Do something; its error, if any, is one sentence in the panel."""
        self._show_error("")
        try:
            act()
        except ExpertError as error:
            self.fail(str(error))

    # --- what keys and commands call --------------------------------------------------------------
    def step_plane(self, step: int) -> None:
        """Show the next plane up (1) or down (-1)."""
        self.visit.step_plane(step)

    def step_prototype(self, step: int) -> None:
        """Put the next (1) or previous (-1) prototype beside the image."""
        self.visit.step_partner(step)

    def step_patch(self, step: int) -> None:
        """Hold the next (1) or previous (-1) numbered patch."""
        if self.scene is not None:
            self.scene.step_focus(step)

    def show_grid(self) -> None:
        """Every picture in a box of its own."""
        self.visit.show_mode("grid")

    def toggle_lines(self) -> None:
        """Lines between matched patches, or back to the grid."""
        self.attempt(lambda: self.visit.toggle("lines"))

    def toggle_own_space(self) -> None:
        """The original image with its patches, or back to the grid."""
        self.attempt(lambda: self.visit.toggle("own"))

    def toggle_convention(self) -> None:
        """Patient's right on the left (radiological) or on the right (neurological)."""
        self.visit.toggle_convention()
        self._remember()

    def choose_patches(self, choice: Choice) -> None:
        """Number the "closest" six patches, the most "different" six, or "all"."""
        self.answer.choose_patches(choice)

    def release(self) -> None:
        """Let go of the patch that is held."""
        if self.scene is not None:
            self.scene.set_focus(None)

    # --- saving -----------------------------------------------------------------------------------
    def save_report(self, path: str | Path | None = None) -> None:
        """Write the report, HTML or PDF by its ending; asks where if None."""
        self.saver.save("report", path)

    def save_explanation(self, path: str | Path | None = None) -> None:
        """Write the explanation as JSON, with all it holds, so that it opens again; asks where if
        None."""
        self.saver.save("explanation", path)

    def save_table(self, path: str | Path | None = None) -> None:
        """Write the table of matched patches as CSV; asks where if None."""
        self.saver.save("table", path)

    def save_layers(self, path: str | Path | None = None) -> None:
        """Write what the patches say, on the grid of the original image, as NIfTI; asks where if
        None."""
        self.saver.save("layers", path)

    # --- the end ----------------------------------------------------------------------------------
    def event(self, event: QEvent) -> bool:
        # napari takes the panel out of its dock before it drops it: that is when the viewer is
        # given back.
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.close_down()
        return bool(super().event(event))

    def showEvent(self, event: Any) -> None:
        super().showEvent(event)
        window: QWidget = self
        while (above := window.parentWidget()) is not None:
            window = above
        window.installEventFilter(self)  # once, however often it is asked for

    def eventFilter(self, watched: Any, event: QEvent) -> bool:
        # Of a window that is closed the panel is told nothing, and the run would go on.
        if event.type() == QEvent.Type.Hide and not event.spontaneous() and self.job is not None:
            self.job.cancel()
        return bool(super().eventFilter(watched, event))

    def closeEvent(self, event: Any) -> None:
        self.close_down()
        super().closeEvent(event)

    def close_down(self) -> None:
        """Cancel what runs, take the result away and let go of the viewer."""
        if self._closed:
            return
        self._closed = True
        self._keys.unbind()
        if self.job is not None:
            self.job.cancel()
        self.clear()
        self.chooser.close_down()
