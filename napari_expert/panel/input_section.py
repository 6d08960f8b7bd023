"""The upper half of the panel: which model, which image, how many prototypes, and whether these fit
each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QFileDialog, QFormLayout, QSpinBox, QWidget

from expert.errors import ExpertError
from napari_expert.layer_geometry import OURS, volume_from_layer
from napari_expert.panel.qt_helpers import Label, combo

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Layer

    from expert.model_file import Model

OPEN = "Open a model file…"


class Chooser(QWidget):
    """Lists the models and the viewer's image layers.

    Parameters
    ----------
    viewer : napari's viewer
    """

    changed = Signal()
    """Another model or layer is chosen, or what was said of them changed."""
    chosen = Signal()
    """The user chose a model: worth remembering."""
    failed = Signal(str)
    """One sentence; empty where an earlier one no longer holds."""

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.loaded: Model | None = None
        self.ready = False
        self._models: dict[str, str] = {}
        self._card_of = ""
        self._brief = False
        self._build()
        self._fill_models()
        self._layers_changed()
        events = viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered):
            event.connect(self._layers_changed)
        viewer.layers.selection.events.active.connect(self._active_changed)
        self._active_changed()

    def _build(self) -> None:
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        self.model_box = combo("Model", "The model that answers. Its card stands below.")
        self.card = Label()
        self.layer_box = combo("Image layer", "The image to explain.")
        self.fit = Label()
        self.top = QSpinBox()
        self.top.setRange(1, 8)
        self.top.setValue(3)
        self.top.setAccessibleName("Number of prototypes to show")
        self.top.setToolTip(
            "How many prototypes to show; the answer is made of all of them either way."
        )
        form.addRow("Model", self.model_box)
        form.addRow(self.card)
        form.addRow("Image", self.layer_box)
        form.addRow(self.fit)
        form.addRow("Prototypes", self.top)
        self.model_box.activated.connect(self._model_chosen)
        self.layer_box.currentIndexChanged.connect(self._check_fit)

    def set_brief(self, brief: bool) -> None:
        """What the model is was read before Run: while an answer is on show, that has the room."""
        self._brief = brief
        self.card.setVisible(not brief)
        self._check_fit()

    def close_down(self) -> None:
        """Let go of the viewer."""
        events = self.viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered):
            event.disconnect(self._layers_changed)
        self.viewer.layers.selection.events.active.disconnect(self._active_changed)
        for layer in self.viewer.layers:
            layer.events.name.disconnect(self._layers_changed)

    # --- models -----------------------------------------------------------------------------------
    def _fill_models(self) -> None:
        from expert.model_file import shipped_models

        self._models |= {name: name for name in shipped_models()}
        self._list_models(next(iter(self._models), ""))

    def _list_models(self, current: str, loaded: Model | None = None) -> None:
        self.model_box.clear()
        self.model_box.addItems([*self._models, OPEN])
        self.model_box.setCurrentIndex(max(self.model_box.findText(current), 0))
        self._show_card(loaded)

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
        from expert.model_file import load_model

        loaded = load_model(model)
        name = model if model in self._models else loaded.info.name
        if self._models.get(name, model) != model:
            name = f"{name} ({Path(model).name})"
        self._models[name] = model
        self._list_models(name, loaded)
        self.chosen.emit()

    def _model_chosen(self) -> None:
        self.card.show()
        if self.model_box.currentText() == OPEN:
            before = self._card_of
            path, _ = QFileDialog.getOpenFileName(self, "Open a model", "", "Model (*.safetensors)")
            self._list_models(before)
            if path:
                self.failed.emit("")
                try:
                    self.choose_model(path)
                except ExpertError as error:
                    self.failed.emit(str(error))
            return
        self._show_card()
        self.chosen.emit()

    def _load(self) -> Model | None:
        from expert.model_file import load_model

        if not self.model:
            return None
        try:
            return load_model(self.model)
        except ExpertError as error:
            self.failed.emit(str(error))
            return None

    def _show_card(self, loaded: Model | None = None) -> None:
        self._card_of = self.model_box.currentText()
        self.loaded = loaded = loaded or self._load()
        if loaded is None:
            self.card.setText("No model is at hand: open a model file.")
        else:
            info = loaded.info
            error = info.validation.get("mae")
            lines = [
                (
                    f"{info.label.name} in {info.label.unit}, {info.label.minimum:.0f} – "
                    f"{info.label.maximum:.0f}"
                ),
                f"trained on {info.training.people}: {info.training.dataset}",
                "error not measured"
                if error is None
                else f"mean error on unseen images: {error:.1f} {info.label.unit}",
                "needs a whole-head T1 volume"
                if info.input.space == "mni"
                else "needs a plain 2D image",
            ]
            if info.collapsed:
                lines.insert(0, f"COLLAPSED, do not use: {info.collapsed}")
            self.card.setText(" · ".join(lines))
            self.card.setToolTip(info.card.strip())
        self._check_fit()

    # --- layers -----------------------------------------------------------------------------------
    def _layers_changed(self, event: Any = None) -> None:
        chosen, box = self.layer, self.layer_box
        with QSignalBlocker(box):
            box.clear()
            for layer in self.viewer.layers:
                if isinstance(layer, Image) and OURS not in layer.metadata:
                    box.addItem(layer.name, layer)
            self.choose_layer(chosen)
            if event is not None and event.type == "inserted":
                self._active_changed()  # napari makes a new layer active before it says that it is there  # noqa: E501
        if event is not None and event.type == "removed":
            event.value.events.name.disconnect(self._layers_changed)
        for layer in self.viewer.layers:
            layer.events.name.disconnect(self._layers_changed)
            layer.events.name.connect(self._layers_changed)
        self._check_fit()

    def choose_layer(self, layer: Layer | None) -> None:
        """Choose a layer of the list; another one changes nothing."""
        for number in range(self.layer_box.count()):
            if (
                self.layer_box.itemData(number) == layer
            ):  # equal, not "is": napari hands plugins a proxy
                self.layer_box.setCurrentIndex(number)

    def _active_changed(self, event: Any = None) -> None:
        self.choose_layer(self.viewer.layers.selection.active)

    @property
    def layer(self) -> Layer | None:
        """The chosen image layer."""
        layer: Layer | None = self.layer_box.currentData()
        return layer

    def _check_fit(self) -> None:
        """Say at once whether the layer fits the model; Run is only offered where it does."""
        layer, recipe = self.layer, None if self.loaded is None else self.loaded.info.input
        problem, text = "", ""
        self.layer_box.setToolTip("The image to explain." if layer is None else layer.name)
        if layer is None:
            problem = "Open an image first: drag it in, or File ▸ Open Sample ▸ ExPeRT."
        elif recipe is not None:
            from expert.imaging.preprocessing import misfit

            try:
                volume = volume_from_layer(layer, pixels=False)
                problem = misfit(volume, recipe)
            except ExpertError as error:
                problem = str(error)
            else:
                size = "×".join(map(str, volume.data.shape))
                spacing = "×".join(f"{step:.3g}" for step in volume.spacing)
                if len({f"{step:.3g}" for step in volume.spacing}) == 1:
                    spacing = f"{volume.spacing[0]:.3g}"
                fate = (
                    "will be registered to the template"
                    if recipe.space == "mni"
                    else "will be fitted to the frame"
                )
                text = (
                    f"{size}, {spacing} mm → {fate}"
                    if volume.spacing_known
                    else f"{size}, pixel size unknown → {fate}"
                )
        self.fit.setText(problem or text)
        self.fit.setVisible(bool(problem) or not self._brief)
        self.fit.set_kind("warning" if problem else "")
        self.ready = not problem and recipe is not None
        self.changed.emit()
