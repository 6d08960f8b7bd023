"""The upper part of the panel: model, image, options, and whether model and image fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.types import FileDialogMode
from magicgui.widgets import ComboBox, Container, FileEdit, SpinBox
from napari.layers import Image
from qtpy.QtCore import QSignalBlocker
from qtpy.QtCore import Signal as QtSignal
from qtpy.QtWidgets import QFileDialog, QGridLayout, QLabel, QWidget

from expert.errors import ExpertError
from expert.untrusted.text import without_tags
from napari_expert.layer_geometry import MODEL, OURS, volume_from_layer
from napari_expert.layer_watch import LayerWatch
from napari_expert.panel.pixel_size import PixelSize
from napari_expert.panel.qt_helpers import Label, collapsible, combo, is_alive
from napari_expert.panel.series_choice import SeriesChoice

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Layer

    from expert.imaging.volume import Volume
    from expert.model_file import Model
    from expert.schema import ModelInfo, SiteFigures

OPEN = "Open a model file…"
WITHIN = "cross-validation"
"""Kind of the figures of a site that the training contained."""
DEVICES = {
    "automatic": "auto",
    "processor (CPU)": "cpu",
    "graphics card (CUDA)": "cuda",
    "Apple graphics (MPS)": "mps",
}
"""What the devices of the settings are called."""


class InputSection(QWidget):
    """Lists the models and the viewer's image layers.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        With the layers.
    parent : QWidget, optional
    """

    changed = QtSignal()
    """Another model or layer is chosen, or whether they fit has changed."""
    chosen = QtSignal()
    """The user chose a model or an option: to be remembered."""
    failed = QtSignal(str)
    """One sentence; empty where an earlier one no longer holds."""

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.loaded: Model | None = None
        self.ready = False
        self._models: dict[str, str] = {}
        self._card_of = ""
        self._before_sample = ""
        self._brief = False
        self._watch = LayerWatch(lambda what: self._check_fit())
        self._build()
        self._fill_models()
        self._layers_changed()
        events = viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered):
            event.connect(self._layers_changed)
        viewer.layers.selection.events.active.connect(self._active_changed)
        self._active_changed()

    def _build(self) -> None:
        self.model_box = combo("Model", "The model that predicts; described below.")
        self.card = Label()
        self.layer_box = combo("Image layer", "The image to explain.")
        self.pixel_size = PixelSize()
        self.series = SeriesChoice(self.viewer)
        self.fit = Label()
        self.prototypes = SpinBox(
            value=3,
            min=1,
            max=8,
            tooltip="How many prototypes to show (display only; all prototypes are always used).",
        )
        self.prototypes.native.setAccessibleName("Number of prototypes to show")
        self.device = ComboBox(
            label="Device",
            choices=list(DEVICES.items()),
            tooltip="Where the network runs.",
        )
        self.data_folder = FileEdit(
            label="Data folder",
            mode=FileDialogMode.EXISTING_DIRECTORY,
            nullable=True,
            tooltip=(
                "Folder with the data set of the prototypes' images, for models that do not "
                "contain them; by default, the folder of the image."
            ),
        )
        self.device.native.setAccessibleName("Device")
        self.data_folder.line_edit.native.setAccessibleName("Data folder")
        options = Container(widgets=[self.device, self.data_folder])
        options.margins = (0, 0, 0, 0)
        self.options, self._options = collapsible("Options", options.native), options
        _arrange(
            self,
            ("Model", self.model_box),
            ("", self.card),
            ("Image", self.layer_box),
            ("", self.series),
            ("", self.pixel_size),
            ("", self.fit),
            ("Prototypes", self.prototypes.native),
            ("", self.options),
        )
        self.model_box.activated.connect(self._model_chosen)
        self.layer_box.currentIndexChanged.connect(self._layer_chosen)
        self.pixel_size.scaled.connect(self._check_fit)
        self.pixel_size.valueChanged.connect(lambda: self.viewer.reset_view())
        options.changed.connect(lambda: self.chosen.emit())

    def set_brief(self, brief: bool) -> None:
        """Hide the description of model and image, to make space while a result is shown."""
        self._brief = brief
        self.card.setVisible(not brief)
        self._check_fit()

    def close_down(self) -> None:
        """Disconnect from the viewer."""
        self.pixel_size.follow(None)
        self._watch.follow(None)
        events = self.viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered):
            event.disconnect(self._layers_changed)
        self.viewer.layers.selection.events.active.disconnect(self._active_changed)
        for layer in self.viewer.layers:
            layer.events.name.disconnect(self._layers_changed)

    @property
    def choice(self) -> tuple[bool, str, Layer | None]:
        """Whether a run can be started, the chosen model and the chosen image layer."""
        return self.ready, self.model, self.layer

    @property
    def folder(self) -> Path | None:
        """The chosen folder of the prototypes' images."""
        value = self.data_folder.value
        return value if isinstance(value, Path) else None

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
        """The chosen model: a shipped model's name, or a file."""
        return self._models.get(self.model_box.currentText(), "")

    @property
    def preferred(self) -> str:
        """The model that the user chose, while a sample is shown with a model of its own."""
        return self._before_sample or self.model

    def choose_model(self, model: str) -> None:
        """Choose a shipped model or a model file, which is added to the list.

        Parameters
        ----------
        model : str
            Name or path.

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
        self._before_sample = ""
        self._list_models(name, loaded)
        self.chosen.emit()

    def _model_chosen(self) -> None:
        self.card.show()
        self._before_sample = ""
        if self.model_box.currentText() == OPEN:
            before, path = self._card_of, _ask_for_model(self)
            if not is_alive(self):  # the window was closed meanwhile
                return
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

    def _show_card(self, loaded: Model | None = None) -> None:
        self._card_of = self.model_box.currentText()
        self.loaded = loaded = loaded or _load(self.model, self.failed.emit)
        if loaded is None:
            self.card.setText("No model is available: open a model file.")
        else:
            self.card.setText(_summary(loaded.info))
            self.card.setToolTip(without_tags(loaded.info.card.strip()))
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
                # napari makes a new layer active before it announces it.
                self._active_changed()
        if event is not None and event.type == "removed":
            event.value.events.name.disconnect(self._layers_changed)
        for layer in self.viewer.layers:
            layer.events.name.disconnect(self._layers_changed)
            layer.events.name.connect(self._layers_changed)
        self._layer_chosen()

    def choose_layer(self, layer: Layer | None) -> None:
        """Choose a layer of the list; one that is not in it changes nothing."""
        for number in range(self.layer_box.count()):
            # equal, not "is": napari hands plugins a proxy
            if self.layer_box.itemData(number) == layer:
                self.layer_box.setCurrentIndex(number)

    def _active_changed(self, event: Any = None) -> None:
        self.choose_layer(self.viewer.layers.selection.active)

    @property
    def layer(self) -> Layer | None:
        """The chosen image layer."""
        layer: Layer | None = self.layer_box.currentData()
        return layer

    def _layer_chosen(self) -> None:
        """A synthetic sample has a model of its own; other images get the one chosen before."""
        layer = self.layer
        wanted = "" if layer is None else layer.metadata.get(MODEL, self._before_sample)
        if wanted in self._models.values() and wanted != self.model:
            self._before_sample = "" if wanted == self._before_sample else self.model
            self._list_models(next(n for n, model in self._models.items() if model == wanted))
        self._check_fit()

    def _check_fit(self) -> None:
        """Whether the layer fits the model; Run is only offered where it does."""
        layer, loaded = self.layer, self.loaded
        self.pixel_size.follow(layer)
        self._watch.follow(layer)
        problem, text = "", ""
        tip = "The image to explain." if layer is None else without_tags(layer.name)
        self.layer_box.setToolTip(tip)
        if layer is None:
            problem = "Open an image first: drag it in, or File ▸ Open Sample ▸ ExPeRT."
        elif loaded is not None:
            problem, text = _fit(layer, loaded.info)
        self.fit.setText(problem or text)
        self.fit.setVisible(bool(problem) or not self._brief)
        self.fit.set_kind("warning" if problem else "")
        self.ready = not problem and loaded is not None
        self.changed.emit()


def _ask_for_model(parent: QWidget) -> str:
    """The file that the user chose in a dialog; empty for none."""
    return QFileDialog.getOpenFileName(parent, "Open a model", "", "Model (*.safetensors)")[0]


def _load(name: str, fail: Callable[[str], object]) -> Model | None:
    """The model of a name or file; `fail` is called with one sentence if it cannot be used."""
    from expert.model_file import load_model

    try:
        return load_model(name) if name else None
    except ExpertError as error:
        fail(str(error))
        return None


def _arrange(parent: QWidget, *rows: tuple[str, QWidget]) -> None:
    """Widgets under each other, with a label on the left if they have a name."""
    # A form would give wrapped texts the height they had before they changed.
    grid = QGridLayout(parent)
    grid.setContentsMargins(0, 0, 0, 0)
    grid.setColumnStretch(1, 1)
    for row, (name, widget) in enumerate(rows):
        if name:
            label = QLabel(name)
            label.setBuddy(widget)
            grid.addWidget(label, row, 0)
            grid.addWidget(widget, row, 1)
        else:
            grid.addWidget(widget, row, 0, 1, 2)


# --- texts ----------------------------------------------------------------------------------------
def _summary(info: ModelInfo) -> str:
    """The model card in one line."""
    error, label = info.validation.get("mae"), info.label
    lines = [
        f"{label.name} in {label.unit}, {label.minimum:.0f} – {label.maximum:.0f}",
        f"trained on {info.training.subjects_text}: {info.training.dataset}",
        "error not measured"
        if error is None
        else f"mean error on unseen images: {error:.1f} {label.unit}",
        _needs(info),
    ]
    lines[-1:-1] = [_at_site(site, label.unit) for site in info.sites if site.kind != WITHIN]
    if info.collapsed:
        lines.insert(0, f"COLLAPSED, do not use: {info.collapsed}")
    return " · ".join(lines)


def _needs(info: ModelInfo) -> str:
    """Which images a model is for."""
    if info.input.space == "ellipse":
        return "needs an ultrasound image of the fetal head, with its pixel size"
    if info.input.space == "image":
        return "needs a plain 2D image"
    stripped = ", with or without skull" if info.input.intensity == "tissue" else ""
    return f"needs a T1 volume of the whole head{stripped}"


def _at_site(site: SiteFigures, unit: str) -> str:
    """The error at a site that the training did not contain."""
    return f"trained without {site.name}, error there: {site.mae:.1f} {unit}"


def _fit(layer: Layer, info: ModelInfo) -> tuple[str, str]:
    """Why a layer cannot be used, or else how it will be processed."""
    from expert.imaging.preprocessing import incompatibility

    try:
        volume: Volume = volume_from_layer(layer, pixels=False)
        problem = incompatibility(volume, info.input)
    except ExpertError as error:
        return str(error), ""
    size = "×".join(map(str, volume.data.shape))
    steps = list(dict.fromkeys(f"{step:.3g}" for step in volume.spacing))
    spacing = steps[0] if len(steps) == 1 else "×".join(f"{step:.3g}" for step in volume.spacing)
    spacing = f"{spacing} mm" if volume.spacing_known else "pixel size unknown"
    todo = {
        "mni": "will be registered to the template",
        "image": "will be fitted to the input size",
        "ellipse": "the head will be found and put upright",
    }[info.input.space]
    text = f"{size}, {spacing} → {todo}"
    return problem, ". ".join([text, *([" ".join(said)] if (said := volume.said) else [])])
