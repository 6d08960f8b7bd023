"""The middle of the panel: the Run button, its progress, and the error of what went wrong.

Under the reason why an image was refused, a button predicts it all the same.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from napari.utils.notifications import show_error
from qtpy.QtCore import QTimer
from qtpy.QtCore import Signal as QtSignal
from qtpy.QtWidgets import QProgressBar, QPushButton, QVBoxLayout, QWidget

from expert.errors import ExpertError
from expert.untrusted.text import without_tags
from napari_expert.panel.explain_worker import ExplainJob, WarmUpJob
from napari_expert.panel.qt_helpers import Label

if TYPE_CHECKING:
    from napari.layers import Layer
    from qtpy.QtGui import QMouseEvent

    from expert.explanation import Explanation
    from expert.imaging.volume import Volume
    from expert.inference import ExplainCache
    from expert.model_file import Model

WARM_UP_MS = 300
"""From the panel's first appearance until `WarmUpJob` starts: the window is drawn first."""
STAGES = {
    "load": ("loading the model", 0, 5),
    "register": ("registering", 5, 40),
    "features": ("comparing with the prototypes", 40, 65),
    "match": ("reading the prototypes' images", 65, 90),
    "layers": ("adding layers", 90, 100),
}
"""What the stages of a run are called, and from and to which percentage of the run they go."""


class RunButton(QPushButton):
    """The second click of a double click does nothing: it would cancel the run of the first."""

    def mouseDoubleClickEvent(self, event: QMouseEvent | None) -> None:
        if event is not None:
            event.accept()


class RunSection(QWidget):
    """Starts and cancels one run at a time."""

    succeeded = QtSignal(object, object, object)
    """The Explanation, the layer it is about, and the Volume that was made from it."""
    refused = QtSignal()
    """The image of a run must not be predicted; the reason is shown."""
    force_asked = QtSignal()
    """The refused image is to be predicted all the same."""
    ended = QtSignal()
    """A run ended: with a result, an error or Cancel."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.job: ExplainJob | None = None
        self.cache: ExplainCache | None = None
        self._warm_up: WarmUpJob | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(WARM_UP_MS)
        self._ready = False
        self._turn = threading.Lock()
        self.button = RunButton("Run")
        self.button.setToolTip("Explain the chosen image with the chosen model (Shift-R).")
        self.progress = QProgressBar()
        self.progress.setRange(0, 100)
        self.progress.hide()
        self.error = Label("expert_error", "error")
        self.error.hide()
        self.force_button = QPushButton("Predict anyway")
        self.force_button.setToolTip(
            "Predict the refused image all the same; the result is probably wrong."
        )
        self.force_button.clicked.connect(self.force_asked)
        self.force_button.hide()
        self._input: tuple[object, ...] = ()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for widget in (self.button, self.progress, self.error, self.force_button):
            column.addWidget(widget)

    def set_ready(self, ready: bool, *chosen: object) -> None:
        """Whether a run can be started; with another model or image, a refusal does not hold."""
        if chosen != self._input and not self.force_button.isHidden():
            self.show_error("")
        self._ready, self._input = ready, chosen
        if self.job is None:
            self.button.setEnabled(ready)

    def warm_up(self, model: Model | None) -> None:
        """Soon load what a run needs, in another thread; only once."""
        if model is not None and self._warm_up is None:
            self._warm_up = WarmUpJob(model, self)
            self._timer.timeout.connect(self._warm_up.start)
            self._timer.start()

    def close_down(self) -> None:
        """Cancel what goes on, and forget the image."""
        self.cancel()
        self._stop_warm_up()
        self.cache = None

    def _stop_warm_up(self) -> None:
        self._timer.stop()
        if self._warm_up is not None:
            self._warm_up.cancel()

    # --- running ----------------------------------------------------------------------------------
    def start(self, job: ExplainJob, source: Layer) -> None:
        """Start a run.

        Parameters
        ----------
        job : ExplainJob
            The run.
        source : napari.layers.Layer
            The layer that it explains.
        """
        from expert.inference import ExplainCache  # imports what the panel does not need

        self.cache = self.cache or ExplainCache()
        self.job, job.cache, job.turn = job, self.cache, self._turn
        self._stop_warm_up()
        job.advanced.connect(self.advance)
        job.succeeded.connect(partial(self._succeed, source, job.volume))
        job.failed.connect(self.fail)
        job.refused.connect(self._refuse)
        job.finished.connect(partial(self._finish, job))
        self.button.setText("Cancel")
        self.button.setEnabled(True)
        self.progress.show()
        self.advance("load", 0.0)
        job.start()

    def cancel(self) -> None:
        """Cancel the run in progress, if there is one."""
        if self.job is not None:
            self.job.cancel()

    def advance(self, stage: str, fraction: float) -> None:
        """Show how far the run is."""
        if self.job is not None and self.job.running:
            words, start, end = STAGES[stage]
            self.progress.setFormat(words)
            self.progress.setValue(round(start + (end - start) * fraction))

    def _succeed(self, source: Layer, volume: Volume, explanation: Explanation) -> None:
        self.advance("layers", 0.5)
        self.succeeded.emit(explanation, source, volume)

    def _refuse(self, reason: str) -> None:
        self.refused.emit()
        self.fail(reason)
        self.force_button.show()

    def _finish(self, job: ExplainJob) -> None:
        if self.job is job:
            self.job = None
        job.deleteLater()
        self.progress.hide()
        self.button.setText("Run")
        self.button.setEnabled(self._ready)
        self.ended.emit()

    # --- errors -----------------------------------------------------------------------------------
    def attempt(self, act: Callable[[], object]) -> None:
        """Do something; an error is shown as one sentence."""
        self.show_error("")
        try:
            act()
        except ExpertError as error:
            self.fail(str(error))

    def fail(self, message: str) -> None:
        """Show an error in the panel and as a notification."""
        self.show_error(message)
        show_error(without_tags(message))

    def show_error(self, message: str) -> None:
        """Show an error in the panel, or none if empty."""
        self.error.setText(message)
        self.error.setVisible(bool(message))
        self.force_button.hide()
