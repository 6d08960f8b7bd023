"""Background jobs: run the core in another thread, and load what a run needs before the first one.

They touch no layer, and report their progress through signals.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject
from qtpy.QtCore import Signal as QtSignal

from expert.errors import RefusedError
from napari_expert.panel.background_job import BackgroundJob

if TYPE_CHECKING:
    from pathlib import Path

    from expert.explanation import Explanation
    from expert.imaging.volume import Volume
    from expert.inference import ExplainCache
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
    cache: ExplainCache | None = None
    """What earlier runs computed of the same image."""

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
        self.volume = volume
        self._model, self._top, self._data, self._device = model, top, data, device

    def work(self) -> Explanation:
        """Explain, in the other thread."""
        import expert

        self.report("load", 0.0)
        model = expert.load_model(self._model) if isinstance(self._model, str) else self._model
        result: Explanation = expert.explain(
            model,
            self.volume,
            top=self._top,
            data=self._data,
            device=self._device,
            progress=self.report,
            force=self._force,
            cache=self.cache,
        )
        return result

    def fail(self, error: Exception) -> None:
        """Emit the signal that belongs to an error."""
        if isinstance(error, RefusedError):
            self.refused.emit(str(error))
        else:
            super().fail(error)


class WarmUpJob(BackgroundJob):
    """Loads libraries, template and network before the first run.

    Parameters
    ----------
    model : Model
    parent : QObject, optional
    """

    doing = "loading"

    def __init__(self, model: Model, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._model = model

    def work(self) -> None:
        """Load, in the other thread."""
        from expert.inference import warm_up

        warm_up(self._model, self.report)
        # The result's tables and plot.
        for name in ("pandas", "expert.report.drawings"):
            self.report("load", 1.0)
            import_module(name)

    def fail(self, error: Exception) -> None:
        """Report nothing: a run meets the same error, and reports it."""
