"""Dock widget: choose a model and a layer, run, read the prediction, inspect matches.

Layout, from top to bottom: `InputSection` (model, image, options), `RunSection` (Run, progress,
error) and `ResultSection` (prediction, plot, modes, table) in a scroll area; below it, always
visible, the statement on research use. The widget owns one `Session`; a `ResultView` draws it on
the canvas, and the sections show and change it. A run is an `ExplainJob` in another thread; its
result is shown in place of the one before. The widget lives as long as its dock: when it is closed
or taken out of the window, it cancels the run, removes result and keys, and disconnects from the
viewer (`close_down`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QSize, Qt
from qtpy.QtCore import Signal as QtSignal
from qtpy.QtWidgets import QScrollArea, QVBoxLayout, QWidget

from expert import DEFAULT_MODEL
from expert.errors import ExpertError
from expert.explanation import Explanation
from expert.schema import RESEARCH_USE
from napari_expert.actions import PANEL_NAME, KeyBindings
from napari_expert.canvas.result_view import ResultView
from napari_expert.layer_geometry import find_source, volume_from_layer
from napari_expert.panel import export, result_texts
from napari_expert.panel.explain_worker import ExplainJob
from napari_expert.panel.input_section import InputSection
from napari_expert.panel.match_requests import MatchRequests
from napari_expert.panel.qt_helpers import Label
from napari_expert.panel.result_section import ResultSection
from napari_expert.panel.run_section import RunSection
from napari_expert.panel.settings import Settings
from napari_expert.session import Session

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Layer

    from expert.imaging.volume import Volume
    from expert.model_file import Model
    from napari_expert.canvas.result_layers import ResultLayers

EXPLAINED = 5
"""Prototypes explained in full, so that more can be shown, and two results compared, without
another run."""


class ExpertWidget(QWidget):
    """The panel *Plugins ▸ ExPeRT*.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Gets the panel.
    parent : QWidget, optional
    """

    explained = QtSignal(object)
    """An Explanation was shown."""
    ended = QtSignal()
    """A run ended: with a result, an error or Cancel."""

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.session: Session = Session()
        self.view = ResultView(viewer, self.session)
        self.data: Path | None = None
        """Folder of the prototypes' images, set by a program; not remembered."""
        self._restored = self._closed = False
        self._build()
        self._connect()
        self.runs.set_ready(*self.input.choice)
        self._keys = KeyBindings(viewer, self)
        self.matching = MatchRequests(self.session, lambda: _means(self), self)
        self._restore(Settings.load())

    # --- building ---------------------------------------------------------------------------------
    def _build(self) -> None:
        self.setObjectName(PANEL_NAME)
        self.setMinimumWidth(330)  # else napari makes docks of a narrow window unreadable
        inner = QWidget()
        self.scroll_area = QScrollArea()
        self.scroll_area.setWidget(inner)
        self.scroll_area.setWidgetResizable(True)
        self.scroll_area.setFrameShape(QScrollArea.Shape.NoFrame)
        self.scroll_area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        statement = Label(style="font-weight: bold;")
        statement.setText(RESEARCH_USE)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 4)
        whole.addWidget(self.scroll_area)
        whole.addWidget(statement)
        column = QVBoxLayout(inner)
        column.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.input = InputSection(self.viewer)
        self.runs = RunSection()
        self.result = ResultSection(self.session)
        for widget in (self.input, self.runs, self.result):
            column.addWidget(widget)

    def _connect(self) -> None:
        self.runs.button.clicked.connect(self.run_or_cancel)
        self.runs.succeeded.connect(self.show_explanation)
        self.runs.ended.connect(self.ended)
        self.runs.refused.connect(self.clear)
        self.runs.force_asked.connect(lambda: self.run(force=True))
        self.input.changed.connect(lambda: self.runs.set_ready(*self.input.choice))
        self.input.chosen.connect(self._remember)
        self.input.failed.connect(self.runs.show_error)
        self.input.prototypes.changed.connect(self._top_changed)
        result, events = self.result, self.session.events
        result.find_asked.connect(self._find_images)
        result.fetch.fetched.connect(lambda: None if result.outdated else self.run())
        result.save_asked.connect(self.save)
        result.compare_asked.connect(self.compare)
        result.mode_asked.connect(self._mode_asked)
        result.clear_asked.connect(self.clear)
        for signal in (events.result, events.mode, events.convention):
            signal.connect(self._remember)
        events.result.connect(lambda: self.input.set_brief(self.explanation is not None))
        for signal in (self.input.changed, self.runs.ended, events.result, events.source):
            signal.connect(self._check_result)
        events.failed.connect(self.runs.fail)

    def sizeHint(self) -> QSize:
        return QSize(410, 640)

    # --- settings ---------------------------------------------------------------------------------
    def _restore(self, settings: Settings) -> None:
        """Choose what was chosen last time, as far as it still exists."""
        with contextlib.suppress(ExpertError):  # a model file that is gone: the first shipped model
            self.input.choose_model(settings.model)
        self.input.prototypes.value = settings.prototypes
        self.input.device.value = settings.device
        self.input.data_folder.value = Path(settings.data) if settings.data else None
        self.session.neurological = settings.convention == "neurological"
        self.session.layout = settings.view
        self._restored = True

    def _remember(self) -> None:
        """Store what is chosen now for the next time."""
        if self._restored:
            _settings(self.input, self.session).save()

    def _top_changed(self, top: int) -> None:
        self.session.show_top(top)
        self._remember()

    # --- running ----------------------------------------------------------------------------------
    @property
    def job(self) -> ExplainJob | None:
        """The run in progress."""
        return self.runs.job

    def run_or_cancel(self) -> None:
        """Start a run, or cancel the one in progress."""
        act = self.run if self.job is None else self.runs.cancel
        act()

    def run(self, force: bool = False) -> None:
        """Explain the chosen layer, even if it is refused with `force`; returns at once."""
        layer = self.input.layer
        if self.job is not None or layer is None:
            return
        self.runs.show_error("")
        try:
            volume = volume_from_layer(layer)
        except ExpertError as error:
            self.runs.fail(str(error))
            self.ended.emit()
            return
        self.runs.start(_job(self, layer, volume, force), layer)
        self._check_result()

    def _check_result(self) -> None:
        """Grey a result that is not that of the chosen image and model."""
        chosen = self.input.layer, self.input.loaded
        self.result.set_outdated(result_texts.outdated(self.session, *chosen, bool(self.job)))

    def attempt(self, act: Callable[[], object]) -> None:
        """Do something; an error is shown in the panel as one sentence."""
        self.runs.attempt(act)

    def _find_images(self, folder: str) -> None:
        self.data, self.input.data_folder.value = None, Path(folder)
        self._remember()
        self.run()

    # --- the result -------------------------------------------------------------------------------
    @property
    def explanation(self) -> Explanation | None:
        """The explanation shown."""
        return self.session.explanation

    @property
    def result_layers(self) -> ResultLayers | None:
        """The layers of the result shown."""
        return self.view.layers

    def show_explanation(
        self,
        explanation: Explanation,
        source: Layer | None = None,
        explained: Volume | None = None,
    ) -> None:
        """Show an explanation; its image is searched for in the open layers if `source` is not.

        `explained` is the image as it was when a run began.
        """
        chosen, layers = self.input.layer, list(self.viewer.layers)
        # The layer may have been given other data, or another scale, during the run.
        found = find_source(explanation, [source] if source in layers else layers, explained)
        self.session.top = self.input.prototypes.value
        self.session.show(explanation, found)
        self.input.choose_layer(chosen)
        self.explained.emit(explanation)

    def open_explanation(self, path: str | Path) -> None:
        """Show a saved explanation (JSON), with its image if that is open.

        Raises
        ------
        expert.errors.InputError
            The file is no explanation; nothing changes.
        """
        self.show_explanation(Explanation.load(path))

    def clear(self) -> None:
        """Remove the result and restore the viewer; the chosen image stays chosen."""
        chosen = self.input.layer
        self.session.clear()
        self.input.choose_layer(chosen)

    def _mode_asked(self, mode: Any) -> None:
        self.attempt(lambda: self.session.show_mode(mode))
        self.result.show_mode()  # the button was checked by the click

    def compare(self, what: str = "saved", path: str | Path | None = None) -> None:
        """Compare with the "previous" result or a "saved" one (from a dialog without `path`)."""
        if what == "previous":
            self.attempt(lambda: self.session.compare(self.session.previous))
        else:
            self.attempt(lambda: export.compare_saved(self.session, path, parent=self))

    def save(self, kind: str, path: str | Path | None = None) -> None:
        """Save what is shown; errors are shown in the panel.

        Parameters
        ----------
        kind : str
            "report" (HTML or PDF by the ending), "explanation" (JSON), "table" (CSV) or "layers"
            (the contribution map in native space, NIfTI).
        path : str or pathlib.Path, optional
            Where to; a dialog asks if it is None.
        """
        model = self.input.loaded
        self.attempt(lambda: export.save(self.session, kind, path, model=model, parent=self))

    # --- the end ----------------------------------------------------------------------------------
    def event(self, event: QEvent | None) -> bool:
        # napari takes the panel out of its dock before it drops it: the viewer is restored then.
        if event is not None and event.type() == QEvent.Type.ParentChange and not self.parent():
            self.close_down()
        return bool(super().event(event))

    def showEvent(self, event: Any) -> None:
        super().showEvent(event)
        window: QWidget = self
        while (above := window.parentWidget()) is not None:
            window = above
        window.installEventFilter(self)  # once, however often it is asked for
        self.runs.warm_up(self.input.loaded)

    def eventFilter(self, watched: Any, event: QEvent | None) -> bool:
        # The panel gets no event when its window is closed, and run and download would go on.
        hidden = event is not None and event.type() == QEvent.Type.Hide and not event.spontaneous()
        if hidden:
            self.runs.close_down()
            self.result.fetch.stop()
        return bool(super().eventFilter(watched, event))

    def closeEvent(self, event: Any) -> None:
        self.close_down()
        super().closeEvent(event)

    def close_down(self) -> None:
        """Cancel the run, remove the result and disconnect from the viewer."""
        if self._closed:
            return
        self._closed = True
        self._keys.unbind()
        self.runs.close_down()
        self.result.fetch.stop()
        self.clear()
        self.input.close_down()


def data_folder(panel: ExpertWidget, layer: Layer | None) -> Path | None:
    """Folder of the prototypes' images: by default that of the explained image."""
    path = None if layer is None else layer.source.path
    return panel.data or panel.input.folder or (Path(path).parent if path else None)


def _job(panel: ExpertWidget, layer: Layer, volume: Volume, force: bool) -> ExplainJob:
    """A run with what is chosen now."""
    return ExplainJob(
        panel.input.loaded or panel.input.model,
        volume,
        max(EXPLAINED, panel.input.prototypes.value),
        data_folder(panel, layer),
        panel.input.device.value,
        panel,
        force,
    )


def _means(panel: ExpertWidget) -> tuple[Model | None, Path | None, str]:
    """Model, folder and device with which further prototypes are matched."""
    chosen = panel.input
    return chosen.loaded, data_folder(panel, panel.session.source), chosen.device.value


def _settings(chosen: InputSection, session: Session) -> Settings:
    """The choices that are stored for the next time."""
    return Settings(
        model=chosen.preferred or DEFAULT_MODEL,
        prototypes=chosen.prototypes.value,
        view=session.layout,
        convention="neurological" if session.neurological else "radiological",
        device=chosen.device.value,
        data=str(chosen.folder or ""),
    )
