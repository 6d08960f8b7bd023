"""Background job: run the core in another thread.

It touches no layer, and reports its progress through signals.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject
from qtpy.QtCore import Signal as QtSignal

from expert.errors import RefusedError
from napari_expert.panel.background_job import BackgroundJob

if TYPE_CHECKING:
    from pathlib import Path

    from expert.explanation import Explanation
    from expert.imaging.volume import Volume
    from expert.model_file import Model


class ExplainJob(BackgroundJob):
    """One run of `expert.explain` in another thread; `succeeded` brings the Explanation.

    Parameters
    ----------
    model : Model or str
        Loaded, or a name or file.
    volume : Volume
        The image to explain.
    top : int
        Number of prototypes to explain in full.
    data : pathlib.Path, optional
        Folder of the prototypes' images.
    device : str
        Where the network runs.
    parent : QObject, optional
    force : bool
        Predict an image that is refused.
    """

    refused = QtSignal(str)
    """The image must not be predicted: why, in one sentence."""
    doing = "explaining"

    def __init__(
        self,
        model: Model | str,
        volume: Volume,
        top: int,
        data: Path | None = None,
        device: str = "cpu",
        parent: QObject | None = None,
        force: bool = False,
    ) -> None:
        super().__init__(parent)
        self._force = force
        self._model, self._volume, self._top, self._data, self._device = (
            model,
            volume,
            top,
            data,
            device,
        )

    def work(self) -> Explanation:
        """Explain, in the other thread."""
        import expert

        self.report("load", 0.0)
        model = expert.load_model(self._model) if isinstance(self._model, str) else self._model
        result: Explanation = expert.explain(
            model,
            self._volume,
            top=self._top,
            data=self._data,
            device=self._device,
            progress=self.report,
            force=self._force,
        )
        return result

    def fail(self, error: Exception) -> None:
        """Emit the signal that belongs to an error."""
        if isinstance(error, RefusedError):
            self.refused.emit(str(error))
        else:
            super().fail(error)
