"""The range of inputs: the same heads with other voxel sizes, data types and orientations."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from expert.datasets.table import read_table
from expert.imaging.head_changes import as_type, reorder, to_grid
from expert.imaging.volume import Volume
from expert.schema import RESEARCH_USE
from studies.corrupted.inputs import draw_heads
from studies.external.predictions import (
    Heads,
    Progress,
    Task,
    number,
    predict_copies,
    reasons,
    table,
)

VOXEL_SIZES = {f"{size:g} mm": size for size in (0.7, 1.0, 1.5, 2.0, 3.0)}
"""Isotropic voxel sizes."""
THICKNESS_MM = 5.0
SLICES = {
    f"{THICKNESS_MM:g} mm slices, {name}": axis
    for axis, name in enumerate(("sagittal", "coronal", "axial"))
}
"""Thick slices, and their axis in RAS order; the voxel size within a slice stays."""
STORED = {
    "uint8": (255.0, 0.0),
    "int16": (2000.0, -500.0),
    "uint16": (40000.0, 100.0),
    "float32": (1.0, 0.0),
    "float64": (1000.0, -3.0),
}
"""Data types: range of the values, and smallest value."""
ORIENTATIONS = ("LPS", "LSA", "PRS", "ASL", "SRP", "IAR")
"""Directions of the array's axes: every order of the axes, with different flips."""
INPUTS = (*VOXEL_SIZES, *SLICES, *STORED, *ORIENTATIONS)
"""Names of all inputs."""


def change(volume: Volume, name: str, seed: int = 0) -> Volume:
    """A head as another input.

    Parameters
    ----------
    volume : Volume
        A 3D head.
    name : str
        Of `INPUTS`.
    seed : int
        Not used: nothing is random.

    Returns
    -------
    Volume
    """
    if name in VOXEL_SIZES:
        return to_grid(volume, (VOXEL_SIZES[name],) * 3)
    if name in SLICES:
        head = volume.canonical()
        spacing = list(head.spacing)
        spacing[SLICES[name]] = THICKNESS_MM
        return to_grid(head, spacing)
    if name in STORED:
        return as_type(volume, name, *STORED[name])
    axes = [next(n for n, pair in enumerate(("RL", "AP", "SI")) if code in pair) for code in name]
    return reorder(volume.canonical(), axes, [code in "LPI" for code in name])


def run_study(
    model: str,
    data: str | Path,
    *,
    subjects: int,
    seed: int = 0,
    label_column: str | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Heads:
    """Predict heads as inputs of every kind.

    Parameters
    ----------
    model : str
        Name of a shipped model, or a model file; for heads.
    data : path-like
        Table of heads, see `expert.datasets.table.read_table`.
    subjects : int
        Number of heads, one of each subject, drawn by `seed`; all if the table has fewer.
    seed : int
        Of the choice of heads.
    label_column : str, optional
        Column of the label; found by name if None.
    jobs : int
        Number of processes.
    progress : callable, optional
        Called with "heads" and a fraction.

    Returns
    -------
    Heads

    Raises
    ------
    InputError
        The model is not for heads, or the table cannot be used.
    """
    heads = draw_heads(read_table(data, label_column=label_column), subjects, seed)
    tasks = [Task(head, name) for head in range(len(heads)) for name in INPUTS]
    return predict_copies(model, heads, tasks, change, jobs=jobs, progress=progress)


def markdown(found: Heads) -> str:
    """The table "range of inputs". It contains no subject names and no file paths.

    Parameters
    ----------
    found : Heads
        From `run_study`.

    Returns
    -------
    str
        Markdown.
    """
    rows = []
    for name in INPUTS:
        answers = found.of(name)
        moved = found.differences(answers)
        size = np.abs(moved)
        rows.append(
            (
                name,
                number(float(moved.mean()) if size.size else np.nan, sign=True),
                number(float(size.mean()) if size.size else np.nan),
                number(float(size.max()) if size.size else np.nan),
                str(sum(answer.prediction is None for answer in answers)),
                str(sum(answer.flagged for answer in answers)),
            )
        )
    out = [
        "# Range of inputs",
        "",
        f"Model {found.model}, {len(found.labels)} heads, as other inputs. *Difference*: mean "
        f"|prediction − prediction of the unchanged head|, {found.unit}; *shift*: the same with "
        "its sign. *Refused* and *flagged* (as out-of-distribution or as an incomplete brain) are "
        "numbers of heads. Voxels smaller than the head's own are interpolated: they show nothing "
        "more.",
        *table(("input", "shift", "difference", "largest", "refused", "flagged"), rows),
        *found.trained_note,
        *reasons([answer.refused for answer in found.answers]),
    ]
    return "\n".join([*out, "", RESEARCH_USE, ""])
