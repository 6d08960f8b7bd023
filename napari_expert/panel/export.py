"""Saves what a session shows and opens what it is compared with; dialogs ask for the files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtWidgets import QFileDialog, QWidget

from expert.errors import InputError
from expert.imaging.volume import Volume, write_volume
from napari_expert.session import native_values

if TYPE_CHECKING:
    from expert.model_file import Model
    from napari_expert.session import Session

KINDS = {
    "report": ("Save the report", "explanation.html", "Report (*.html *.pdf)"),
    "explanation": ("Save the explanation", "explanation.json", "Explanation (*.json)"),
    "table": ("Save the table of matched patches", "patches.csv", "Table (*.csv)"),
    "layers": (
        "Save the contribution map in native space",
        "contributions.nii.gz",
        "NIfTI (*.nii.gz *.nii)",
    ),
}
"""What can be saved: title of the dialog, proposed name, endings."""


def save(
    session: Session,
    kind: str,
    path: str | Path | None = None,
    *,
    model: Model | None = None,
    parent: QWidget | None = None,
) -> None:
    """Save what a session shows.

    Parameters
    ----------
    session : Session
        What is shown.
    kind : str
        One of `KINDS`.
    path : str or pathlib.Path, optional
        Where to; a dialog asks if it is None.
    model : Model, optional
        The chosen model: its card is written into the report, if the explanation is by this model.
    parent : QWidget, optional
        Of the dialog.

    Raises
    ------
    expert.errors.InputError
        Nothing is shown, or the file cannot be written.
    """
    # Raises where nothing is shown, before a dialog opens; the result may be gone when it closes.
    shown, complete = session.shown_explanation(), session.complete_explanation()
    target = path or QFileDialog.getSaveFileName(parent, *KINDS[kind])[0]
    if not target:
        return
    if kind == "report":
        from expert.report.report import write_report

        card = model.info if model is not None and model.sha256 == shown.model_sha256 else None
        named = session.source is not None and session.name_in_report
        name = session.source.name if session.source is not None and named else None
        write_report(shown, target, model=card, source=name)
    elif kind == "explanation":
        complete.save(target)
    elif kind == "table":
        from expert.report.csv_export import write_csv

        write_csv(shown, target)
    else:
        save_maps(session, target)


def save_maps(session: Session, path: str | Path) -> tuple[Path, Path]:
    """Write the map and the numbers of the patches as NIfTI on the original image's grid.

    Parameters
    ----------
    session : Session
        What is shown; without a chosen map, the contribution to the prediction is written.
    path : str or pathlib.Path
        Of the map (label units, 0 outside the explained planes); the numbers are written beside it.

    Returns
    -------
    tuple of pathlib.Path
        Of the map and of the numbers.

    Raises
    ------
    expert.errors.InputError
        Nothing is shown, its image is not open, or the files cannot be written.
    """
    from expert.imaging.native_space import patch_map, spread_over
    from napari_expert.layer_geometry import volume_from_layer

    explanation, source = session.shown_explanation(), session.source
    if source is None:
        raise InputError(
            "The original image is not open, or was changed after the run: open it, or run again, "
            "to save the contribution map on its grid."
        )
    target, volume = Path(path), volume_from_layer(source)
    if volume.ndim != 3:
        raise InputError(
            "Only maps of volumes can be written as NIfTI: save the report of a plain image."
        )
    ending = ".nii" if target.name.lower().endswith(".nii") else ".nii.gz"
    beside = target.with_name(target.name[: -len(ending)] + "_patches" + ending)
    values = native_values(session)
    values = np.broadcast_to(values, (len(explanation.views), values.shape[-1]))
    painted = np.nan_to_num(spread_over(explanation, volume, values))
    numbers = patch_map(explanation, volume)
    return (
        write_volume(Volume(painted, volume.affine, volume.space), target),
        write_volume(Volume(numbers, volume.affine, volume.space), beside),
    )


def compare_saved(
    session: Session, path: str | Path | None = None, *, parent: QWidget | None = None
) -> None:
    """Compare what a session shows with a saved explanation.

    Parameters
    ----------
    session : Session
        What is shown.
    path : str or pathlib.Path, optional
        JSON file; a dialog asks if it is None.
    parent : QWidget, optional
        Of the dialog.

    Raises
    ------
    expert.errors.InputError
        Nothing is shown, or the file cannot be read or compared.
    """
    from expert.explanation import Explanation

    ending = "Explanation (*.json)"
    chosen = path or QFileDialog.getOpenFileName(parent, "Compare with", "", ending)[0]
    if chosen:
        session.compare(Explanation.load(chosen))
