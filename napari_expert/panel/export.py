"""What leaves the panel as a file, and the dialogs that ask where to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog

if TYPE_CHECKING:
    from expert.explanation import Explanation
    from expert.schema import ModelInfo
    from napari_expert.panel.main_widget import ExpertWidget

KINDS = {
    "report": ("Save the report", "explanation.html", "Report (*.html *.pdf)"),
    "explanation": ("Save the explanation", "explanation.json", "Explanation (*.json)"),
    "table": ("Save the table of matched patches", "patches.csv", "Table (*.csv)"),
    "layers": (
        "Save what the patches say, on the image's own grid",
        "contributions.nii.gz",
        "NIfTI (*.nii.gz *.nii)",
    ),
}
"""What can be saved: title of the dialog, proposed name, endings."""


class Saver:
    """Saves what is on show in a panel; an error is one sentence there.

    Parameters
    ----------
    panel : the panel
    """

    def __init__(self, panel: ExpertWidget) -> None:
        self._panel = panel

    def save(self, kind: str, path: str | Path | None = None) -> None:
        """Save one of `KINDS`; asks where if `path` is None."""
        self._panel.attempt(lambda: self._save(kind, path))

    def _save(self, kind: str, path: str | Path | None) -> None:
        shown = (
            self._panel.visit.exported()
        )  # raises where nothing is on show, before a dialog opens
        target = path or QFileDialog.getSaveFileName(self._panel, *KINDS[kind])[0]
        if not target:
            return
        if kind == "report":
            from expert.report.report import write_report

            write_report(shown, target, model=self._card(shown), source=self._name())
        elif kind == "explanation":
            self._panel.visit.whole().save(target)
        elif kind == "table":
            from expert.report.csv_export import write_csv

            write_csv(shown, target)
        else:
            self._panel.visit.save_maps(target)

    def _name(self) -> str | None:
        """What to call the image in the report: nothing, unless that was ticked."""
        source = self._panel.visit.source
        return source.name if source is not None and self._panel.answer.named.isChecked() else None

    def _card(self, explanation: Explanation) -> ModelInfo | None:
        """The model's description, if the explanation on show is by the model now chosen."""
        loaded = self._panel.chooser.loaded
        return (
            loaded.info
            if loaded is not None and loaded.sha256 == explanation.model_sha256
            else None
        )
