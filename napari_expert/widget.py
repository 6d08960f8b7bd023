"""The dock widget: choose a model and a layer, run, read the answer, and walk through the matches."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from napari.utils.notifications import show_error
from qtpy.QtCore import QEvent, QSize, Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QSpinBox,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from expert.errors import ExpertError
from expert.matches import CHOICES, CONVENTION, is_head, sharpness, whereabouts
from expert.schema import RESEARCH_USE
from napari_expert.orientation import volume_from_layer
from napari_expert.plots import PrototypePlot
from napari_expert.worker import ExplainJob

if TYPE_CHECKING:
    import napari.viewer
    import numpy as np
    from napari.layers import Layer

    from expert.bundle import Model
    from expert.explanation import Explanation
    from expert.schema import ModelInfo
    from napari_expert.layers import Focus, Scene

OPEN = "Open a model file…"
STAGES = {
    "load": "loading the model",
    "register": "registering",
    "features": "features",
    "match": "matching",
    "layers": "layers",
}
COLUMNS = ("#", "here", "in", "there", "share", "adds")
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
        self.model_box = _combo("Model", "The model that answers. Its card stands below.")
        self.card = _label()
        self.layer_box = _combo("Image layer", "The image to explain.")
        self.fit = _label()
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
        self.error = _label("expert_error")
        self.error.setStyleSheet("QLabel { color: #D55E00; }")
        for widget in (self.run_button, self.progress, self.error):
            column.addWidget(widget)
        self.result = QWidget()
        column.addWidget(self.result)
        self._build_result()
        statement = _label()
        statement.setText(RESEARCH_USE)
        statement.setStyleSheet("QLabel { font-weight: bold; }")
        column.addWidget(statement)
        self.error.hide()
        self.result.hide()
        self.run_button.clicked.connect(self._run_or_cancel)
        self.model_box.activated.connect(self._model_chosen)
        self.layer_box.currentIndexChanged.connect(self._check_fit)

    def _build_result(self) -> None:
        column = QVBoxLayout(self.result)
        column.setContentsMargins(0, 0, 0, 0)
        self.answer = _label("expert_answer")
        self.answer.setStyleSheet("QLabel { font-size: 15pt; font-weight: bold; }")
        self.about = _label()
        self.warnings = _label("expert_warnings")
        self.warnings.setStyleSheet("QLabel { color: #E69F00; }")
        self.find_button = QPushButton("Find the prototypes' images…")
        self.find_button.setToolTip("Choose the folder with the data set this model was trained on; the run is then repeated.")
        self.plot = PrototypePlot()
        self.view_box = _combo("Plane", "Each plane of the head is explained by itself; the answer is their mean.")
        self.choice_box = _combo(
            "Patches", "Closest: where this image is most like what it was likened to. Most different: where it is least so."
        )
        self.choice_box.addItems(list(CHOICES))
        self.matching = _label()
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
        self.focus_line = _label()
        self.save_button = QPushButton("Save report…")
        self.save_button.setToolTip("A self-contained HTML page and the explanation as JSON.")
        self.clear_button = QPushButton("Clear result")
        self.clear_button.setToolTip("Take the result away; your layers, grid and camera come back as they were.")
        for widget in (self.answer, self.about, self.warnings, self.find_button, self.plot):
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
        self.save_button.clicked.connect(self._save)
        self.find_button.clicked.connect(self._find_images)
        self.clear_button.clicked.connect(self.clear)

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
        self.scene = Scene(self.viewer, explanation, on_focus=self._focused, on_gone=self._gone)
        for number in range(self.layer_box.count()):
            if self.layer_box.itemData(number) is source:
                self.layer_box.setCurrentIndex(number)
        e = explanation
        answer = f"{e.prediction:.1f} {e.unit}"
        if e.interval is not None:
            answer += f" ({_percent(e.interval.level)}: {e.interval.lower:.0f} – {e.interval.upper:.0f})"
        self.answer.setText(answer)
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
        self.view_box.setCurrentIndex(self.scene.view)
        self.choice_box.setCurrentIndex(0)
        for box in (self.view_box, self.choice_box):
            box.blockSignals(False)
        self.form.setRowVisible(self.view_box, len(e.views) > 1)
        self._fill_table()
        self.result.show()
        self.answered.emit(e)

    def clear(self) -> None:
        """Take the result away and put the viewer back as it was."""
        if self.scene is not None:
            self.scene.remove()
        self._gone()

    def _gone(self) -> None:
        self.scene = None
        self.explanation = None
        self.plot.show_explanation(None)
        self.table.setRowCount(0)
        self.result.hide()

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
        head = is_head(e)
        rows: list[tuple[Any, ...]] = []
        for prototype, match in enumerate(e.prototypes):
            for pair in scene.pairs(prototype):
                source = whereabouts(e.views[scene.view], e.grid, pair.source, head)
                target = whereabouts(e.views[scene.view], e.grid, pair.target, head)
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
        self._focused(None)

    def _row_chosen(self) -> None:
        items = self.table.selectedItems()
        if self.scene is not None and items:
            self.scene.set_focus(0, int(items[0].data(Qt.ItemDataRole.UserRole)), pin=True)

    def _focused(self, focus: Focus | None) -> None:
        e, scene = self.explanation, self.scene
        if e is None or scene is None or focus is None:
            self.focus_line.setText("Point at a patch: its partners light up in every image. A click holds it.")
            return
        place = partial(whereabouts, e.views[scene.view], e.grid, head=is_head(e))
        names = ["this image", *(f"#{match.rank}" for match in e.prototypes)]
        parts = [
            f"{names[number]} {place(int(share.argmax()))} ({_percent(share.max())}{_spread(share)})"
            for number, share in enumerate(focus.shares)
            if number != focus.cell and share.any()
        ]
        self.focus_line.setText(f"{names[focus.cell]} {place(focus.patch)} → " + "; ".join(parts))

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


def _label(name: str = "") -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    label.setObjectName(name)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    return label


def _combo(name: str, tip: str) -> QComboBox:
    box = QComboBox()
    box.setAccessibleName(name)
    box.setToolTip(tip)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(12)
    return box
