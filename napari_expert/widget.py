"""The dock widget: choose a model and a layer, run, read the answer, and walk through the matches."""

from __future__ import annotations

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
from napari_expert.orientation import volume_from_layer
from napari_expert.parts import combo, label
from napari_expert.worker import ExplainJob

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Layer

    from expert.bundle import Model
    from expert.explanation import Explanation
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
        self.explanation: Explanation | None = None
        self.scene: Scene | None = None
        self.job: ExplainJob | None = None
        self._models: dict[str, str] = {}
        self._card_of = ""
        self.data: Path | None = None
        self._closed = False
        self._shown: Model | None = None
        self._build()
        self._fill_models()
        self._layers_changed()
        events = viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered):
            event.connect(self._layers_changed)
        viewer.layers.selection.events.active.connect(self._active_changed)
        self._active_changed()

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
        self.card = label()
        self.layer_box = combo("Image layer", "The image to explain.")
        self.fit = label()
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
        self.error = label("expert_error")
        self.error.setStyleSheet("QLabel { color: #D55E00; }")
        for widget in (self.run_button, self.progress, self.error):
            column.addWidget(widget)
        self.answer = AnswerPanel()
        column.addWidget(self.answer)
        statement = label()
        statement.setText(RESEARCH_USE)
        statement.setStyleSheet("QLabel { font-weight: bold; }")
        column.addWidget(statement)
        self.error.hide()
        self.run_button.clicked.connect(self._run_or_cancel)
        self.model_box.activated.connect(self._model_chosen)
        self.layer_box.currentIndexChanged.connect(self._check_fit)
        self.answer.find_asked.connect(self._find_images)
        self.answer.save_asked.connect(self._save)
        self.answer.clear_asked.connect(self.clear)

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
        for number in range(box.count()):
            if box.itemData(number) is chosen:
                box.setCurrentIndex(number)
        box.blockSignals(False)
        for layer in self.viewer.layers:
            layer.events.name.disconnect(self._layers_changed)
            layer.events.name.connect(self._layers_changed)
        self._check_fit()

    def _active_changed(self, event: Any = None) -> None:
        active = self.viewer.layers.selection.active
        for number in range(self.layer_box.count()):
            if self.layer_box.itemData(number) is active:
                self.layer_box.setCurrentIndex(number)

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
        self.fit.setStyleSheet("QLabel { color: #E69F00; }" if problem else "")
        if self.job is None:
            self.run_button.setEnabled(not problem and recipe is not None)

    # --- running -------------------------------------------------------------------------------------------------------
    def _run_or_cancel(self) -> None:
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
        self.job = job = ExplainJob(self.model, volume, self.top.value(), self._data_folder(), self)
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
        self.show_explanation(explanation)

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
    def show_explanation(self, explanation: Explanation) -> None:
        """Show an explanation, in the panel and as layers, in place of the one before."""
        from napari_expert.layers import Scene

        source = self.layer
        self.clear()
        self.explanation = explanation
        self.scene = Scene(self.viewer, explanation, on_focus=self.answer.show_focus, on_gone=self._gone)
        for number in range(self.layer_box.count()):
            if self.layer_box.itemData(number) is source:
                self.layer_box.setCurrentIndex(number)
        self.answer.show_explanation(explanation, self.scene)
        self.answered.emit(explanation)

    def clear(self) -> None:
        """Take the result away and put the viewer back as it was."""
        if self.scene is not None:
            self.scene.remove()
        self._gone()

    def _gone(self) -> None:
        self.scene = self.explanation = None
        self.answer.forget()

    def _save(self) -> None:
        if self.explanation is None:
            return
        path, _ = QFileDialog.getSaveFileName(self, "Save the report", "explanation.html", "Report (*.html)")
        if path:
            self.save(path)

    def save(self, path: str) -> None:
        """Write the report (HTML) and, beside it, the explanation (JSON)."""
        from expert.report import write_report

        if self.explanation is None:
            return
        self._show_error("")
        try:
            write_report(self.explanation, path, model=self._card_for(self.explanation))
            self.explanation.save(Path(path).with_suffix(".json"))
        except ExpertError as error:
            self._fail(str(error))

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
        if self.job is not None:
            self.job.cancel()
        self.clear()
        events = self.viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered):
            event.disconnect(self._layers_changed)
        self.viewer.layers.selection.events.active.disconnect(self._active_changed)
        for layer in self.viewer.layers:
            layer.events.name.disconnect(self._layers_changed)
