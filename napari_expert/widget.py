"""The dock widget: choose a model and a layer, run, read the answer, and walk through the matches."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from napari.utils.notifications import show_error
from qtpy.QtCore import QEvent, QSize, Qt, Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QFormLayout,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from expert.errors import ExpertError
from expert.schema import RESEARCH_USE
from napari_expert.answer import AnswerPanel
from napari_expert.keys import Keys
from napari_expert.orientation import volume_from_layer
from napari_expert.parts import Label, combo
from napari_expert.visit import Visit, layer_of
from napari_expert.worker import ExplainJob

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Layer

    from expert.bundle import Model
    from expert.explanation import Explanation
    from expert.matches import Choice
    from expert.schema import ModelInfo
    from napari_expert.layers import Scene

OPEN = "Open a model file…"
STAGES = {
    "load": "loading the model",
    "register": "registering",
    "features": "features",
    "match": "matching",
    "layers": "layers",
}
OURS = "expert_scene"
KEPT = 8
"""Prototypes explained in full, so that more can be shown, and two answers compared, without another run."""


class ExpertWidget(QScrollArea):
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
        self._models: dict[str, str] = {}
        self._card_of = ""
        self.data: Path | None = None
        self._closed = False
        self._shown: Model | None = None
        self._build()
        self.visit = Visit(viewer, self.answer, self._visit_changed)
        self._fill_models()
        self._layers_changed()
        events = viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered):
            event.connect(self._layers_changed)
        viewer.layers.selection.events.active.connect(self._active_changed)
        self._active_changed()
        self._keys = Keys(viewer, self)

    # --- building ------------------------------------------------------------------------------------------------------
    def _build(self) -> None:
        inner = QWidget()
        self.setWidget(inner)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setObjectName("expert_panel")
        column = QVBoxLayout(inner)
        column.setAlignment(Qt.AlignmentFlag.AlignTop)
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        self.model_box = combo("Model", "The model that answers. Its card stands below.")
        self.card = Label()
        self.layer_box = combo("Image layer", "The image to explain.")
        self.fit = Label()
        self.top = QSpinBox()
        self.top.setRange(1, 8)
        self.top.setValue(3)
        self.top.setAccessibleName("Number of prototypes to show")
        self.top.setToolTip("How many prototypes to show; the answer is made of all of them either way.")
        form.addRow("Model", self.model_box)
        form.addRow(self.card)
        form.addRow("Image", self.layer_box)
        form.addRow(self.fit)
        form.addRow("Prototypes", self.top)
        column.addLayout(form)
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
        statement = Label(style="font-weight: bold;")
        statement.setText(RESEARCH_USE)
        column.addWidget(statement)
        self.error.hide()
        self.run_button.clicked.connect(self.run_or_cancel)
        self.model_box.activated.connect(self._model_chosen)
        self.layer_box.currentIndexChanged.connect(self._check_fit)
        self.answer.find_asked.connect(self._find_images)
        self.answer.save_asked.connect(lambda what: getattr(self, f"save_{what}")())
        self.answer.compare_asked.connect(self._compare_asked)
        self.answer.clear_asked.connect(self.clear)
        self.top.valueChanged.connect(self._top_changed)

    def sizeHint(self) -> QSize:
        return QSize(375, 640)

    # --- models --------------------------------------------------------------------------------------------------------
    def _fill_models(self) -> None:
        from expert.bundle import shipped_models

        self._models |= {name: name for name in shipped_models()}
        self._list_models(next(iter(self._models), ""))

    def _list_models(self, current: str) -> None:
        self.model_box.clear()
        self.model_box.addItems([*self._models, OPEN])
        self.model_box.setCurrentIndex(max(self.model_box.findText(current), 0))
        self._show_card()

    @property
    def model(self) -> str:
        """The chosen model: a shipped name or a file."""
        return self._models.get(self.model_box.currentText(), "")

    def choose_model(self, model: str) -> None:
        """Choose a shipped model or a model file (which joins the list).

        Raises
        ------
        expert.errors.ModelError
            It cannot be used; nothing changes.
        """
        from expert.bundle import load_model

        loaded = load_model(model)
        name = model if model in self._models else loaded.info.name
        if self._models.get(name, model) != model:
            name = f"{name} ({Path(model).name})"
        self._models[name] = model
        self._list_models(name)

    def _model_chosen(self) -> None:
        self.card.show()
        if self.model_box.currentText() == OPEN:
            before = self._card_of
            path, _ = QFileDialog.getOpenFileName(self, "Open a model", "", "Model (*.safetensors)")
            self._list_models(before)
            if path:
                self._show_error("")
                try:
                    self.choose_model(path)
                except ExpertError as error:
                    self._show_error(str(error))
            return
        self._show_card()

    def _info(self) -> Model | None:
        from expert.bundle import load_model

        if not self.model:
            return None
        try:
            return load_model(self.model)
        except ExpertError as error:
            self._show_error(str(error))
            return None

    def _show_card(self) -> None:
        self._card_of = self.model_box.currentText()
        self._shown = loaded = self._info()
        if loaded is None:
            self.card.setText("No model is at hand: open a model file.")
        else:
            info = loaded.info
            error = info.validation.get("mae")
            lines = [
                f"{info.label.name} in {info.label.unit}, {info.label.minimum:.0f} – {info.label.maximum:.0f}",
                f"trained on {info.training.subjects} subjects: {info.training.dataset}",
                "error not measured" if error is None else f"mean error on unseen images: {error:.1f} {info.label.unit}",
                "needs a whole-head T1 volume" if info.input.space == "mni" else "needs a plain 2D image",
            ]
            if info.collapsed:
                lines.insert(0, f"COLLAPSED, do not use: {info.collapsed}")
            self.card.setText(" · ".join(lines))
            self.card.setToolTip(info.card.strip())
        self._check_fit()

    # --- layers --------------------------------------------------------------------------------------------------------
    def _layers_changed(self, event: Any = None) -> None:
        chosen, box = self.layer, self.layer_box
        box.blockSignals(True)
        box.clear()
        for layer in self.viewer.layers:
            if isinstance(layer, Image) and OURS not in layer.metadata:
                box.addItem(layer.name, layer)
        self._choose_layer(chosen)
        box.blockSignals(False)
        for layer in self.viewer.layers:
            layer.events.name.disconnect(self._layers_changed)
            layer.events.name.connect(self._layers_changed)
        self._check_fit()

    def _choose_layer(self, layer: Layer | None) -> None:
        for number in range(self.layer_box.count()):
            if self.layer_box.itemData(number) is layer:
                self.layer_box.setCurrentIndex(number)

    def _top_changed(self, top: int) -> None:
        self.visit.show_top(top)

    def _active_changed(self, event: Any = None) -> None:
        self._choose_layer(self.viewer.layers.selection.active)

    @property
    def layer(self) -> Layer | None:
        """The chosen image layer."""
        layer: Layer | None = self.layer_box.currentData()
        return layer

    def _check_fit(self) -> None:
        """Say at once whether the layer fits the model; Run is only offered where it does."""
        layer, recipe = self.layer, None if self._shown is None else self._shown.info.input
        problem, text = "", ""
        if layer is None:
            problem = "Open an image first: drag it in, or File ▸ Open Sample ▸ ExPeRT."
        elif recipe is not None:
            from expert.preparation import misfit

            try:
                volume = volume_from_layer(layer)
                problem = misfit(volume, recipe)
            except ExpertError as error:
                problem = str(error)
            else:
                size = "×".join(map(str, volume.data.shape))
                spacing = "×".join(f"{step:.3g}" for step in volume.spacing)
                if len({f"{step:.3g}" for step in volume.spacing}) == 1:
                    spacing = f"{volume.spacing[0]:.3g}"
                fate = "will be registered to the template" if recipe.space == "mni" else "will be fitted to the frame"
                text = f"{size}, {spacing} mm → {fate}" if volume.spacing_known else f"{size}, pixel size unknown → {fate}"
        self.fit.setText(problem or text)
        self.fit.setVisible(bool(problem) or self.explanation is None)
        self.fit.set_kind("warning" if problem else "")
        if self.job is None:
            self.run_button.setEnabled(not problem and recipe is not None)

    # --- running -------------------------------------------------------------------------------------------------------
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
            self._fail(str(error))
            self.ended.emit()
            return
        self.job = job = ExplainJob(self.model, volume, max(KEPT, self.top.value()), self._data_folder(), self)
        job.source = self.layer
        job.advanced.connect(self._advance)
        job.succeeded.connect(self._succeed)
        job.failed.connect(self._fail)
        job.finished.connect(partial(self._finish, job))
        self.run_button.setText("Cancel")
        self.run_button.setEnabled(True)
        self.progress.show()
        self._advance("load", 0.0)
        job.start()

    def _data_folder(self) -> Path | None:
        """Where prototype images may lie: the chosen folder, else the one the image was opened from."""
        source = None if self.layer is None else self.layer.source.path
        return self.data or (Path(source).parent if source else None)

    def _find_images(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Folder of the data set")
        if folder:
            self.data = Path(folder)
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

    def _fail(self, message: str) -> None:
        self._show_error(message)
        show_error(message)

    def _finish(self, job: ExplainJob) -> None:
        if self.job is job:
            self.job = None
        job.deleteLater()
        self.progress.hide()
        self.run_button.setText("Run")
        self._check_fit()
        self.ended.emit()

    def _show_error(self, message: str) -> None:
        self.error.setText(message)
        self.error.setVisible(bool(message))

    # --- the answer ----------------------------------------------------------------------------------------------------
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
        self.visit.show(explanation, layer_of(explanation, list(self.viewer.layers)) if source is None else source)
        self._choose_layer(chosen)
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
        # What the model is was read before Run; the answer needs the room.
        self.card.setVisible(self.visit.explanation is None)
        self.fit.setVisible(self.visit.explanation is None)

    def _compare_asked(self, what: str) -> None:
        if what == "saved":
            self.compare()
        elif self.visit.previous is None:
            self._fail("There is no answer before this one: run the model on another image, or choose a saved explanation.")
        else:
            self._try(lambda: self.visit.compare(self.visit.previous))

    def compare(self, path: str | Path | None = None) -> None:
        """Show the explanation on show beside a saved one; asks for the file if None."""
        from expert.explanation import Explanation

        chosen = path or QFileDialog.getOpenFileName(self, "Compare with", "", "Explanation (*.json)")[0]
        if chosen:
            self._try(lambda: self.visit.compare(Explanation.load(chosen)))

    def _try(self, act: Callable[[], object]) -> None:
        """Do something; its error, if any, is one sentence in the panel."""
        self._show_error("")
        try:
            act()
        except ExpertError as error:
            self._fail(str(error))

    # --- what keys and commands call ----------------------------------------------------------------------------------
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
        self._try(lambda: self.visit.toggle("lines"))

    def toggle_own_space(self) -> None:
        """The original image with its patches, or back to the grid."""
        self._try(lambda: self.visit.toggle("own"))

    def toggle_convention(self) -> None:
        """Patient's right on the left (radiological) or on the right (neurological)."""
        self.visit.toggle_convention()

    def choose_patches(self, choice: Choice) -> None:
        """Number the "closest" six patches, the most "different" six, or "all"."""
        self.answer.choose_patches(choice)

    def release(self) -> None:
        """Let go of the patch that is held."""
        if self.scene is not None:
            self.scene.set_focus(None)

    # --- saving --------------------------------------------------------------------------------------------------------
    def _ask(self, title: str, name: str, kinds: str) -> str:
        return str(QFileDialog.getSaveFileName(self, title, name, kinds)[0]) if self._on_show() else ""

    def _on_show(self) -> bool:
        try:
            self.visit.exported()
        except ExpertError as error:
            self._fail(str(error))
            return False
        return True

    def save_report(self, path: str | Path | None = None) -> None:
        """Write the report, HTML or PDF by its ending; asks where if None."""
        from expert.report import write_report

        chosen = path or self._ask("Save the report", "explanation.html", "Report (*.html *.pdf)")
        if chosen:
            self._try(lambda: write_report(self.visit.exported(), chosen, model=self._card_for(self.visit.exported())))

    def save_explanation(self, path: str | Path | None = None) -> None:
        """Write the explanation as JSON, with all it holds, so that it opens again; asks where if None."""
        chosen = path or self._ask("Save the explanation", "explanation.json", "Explanation (*.json)")
        if chosen and self._on_show():
            self._try(lambda: self.explanation.save(chosen))  # type: ignore[union-attr]

    def save_table(self, path: str | Path | None = None) -> None:
        """Write the table of matched patches as CSV; asks where if None."""
        from expert.tables import write_csv

        chosen = path or self._ask("Save the table", "patches.csv", "Table (*.csv)")
        if chosen:
            self._try(lambda: write_csv(self.visit.exported(), chosen))

    def save_layers(self, path: str | Path | None = None) -> None:
        """Write the maps of the own space as NIfTI, or the pictures on show as they are drawn; asks where if None."""
        chosen = path or self._ask("Save the layers into the folder of", "contribution.nii.gz", "NIfTI (*.nii.gz)")
        if chosen:
            self._try(lambda: self.visit.save_maps(chosen))

    def _card_for(self, explanation: Explanation) -> ModelInfo | None:
        """The model's description, if the explanation on show is by the model now chosen."""
        same = self._shown is not None and self._shown.sha256 == explanation.model_sha256
        return self._shown.info if same and self._shown is not None else None

    # --- the end -------------------------------------------------------------------------------------------------------
    def event(self, event: QEvent) -> bool:
        # napari takes the panel out of its dock before it drops it: that is when the viewer is given back.
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.close_down()
        return bool(super().event(event))

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
        events = self.viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered):
            event.disconnect(self._layers_changed)
        self.viewer.layers.selection.events.active.disconnect(self._active_changed)
        for layer in self.viewer.layers:
            layer.events.name.disconnect(self._layers_changed)
