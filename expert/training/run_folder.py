"""Folder of a training run: which recipe, table and folds it belongs to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from expert.datasets.table import Entry
from expert.errors import ExpertError
from expert.files import replacing
from expert.training.recipe import Recipe


def run_fingerprint(recipe: Recipe, entries: Sequence[Entry], folds: int) -> dict[str, Any]:
    """Settings, labels, folds and a checksum of the images; no names.

    Parameters
    ----------
    recipe : Recipe
        Of the training.
    entries : sequence of Entry
        Rows of the table.
    folds : int
        Number of cross-validation folds.

    Returns
    -------
    dict
        The content of ``run.json``.
    """
    subjects = np.unique([entry.subject for entry in entries], return_inverse=True)[1].tolist()
    images = json.dumps([subjects, [[entry.sha256, entry.pixel_size_mm] for entry in entries]])
    return {
        "settings": recipe.settings,
        "labels": [entry.label for entry in entries],
        "folds": folds,
        "images": hashlib.sha256(images.encode()).hexdigest(),
    }


def matches_run(folder: Path, fingerprint: dict[str, Any]) -> bool:
    """Whether a folder holds no run yet, or the run with this fingerprint."""
    mark = folder / "run.json"
    return not mark.exists() or json.loads(mark.read_text()) == json.loads(json.dumps(fingerprint))


def claim_run_folder(folder: Path, fingerprint: dict[str, Any], resume: bool) -> None:
    """Reserve a folder for one recipe, table and number of folds.

    Parameters
    ----------
    folder : pathlib.Path
        Folder of the run.
    fingerprint : dict
        From `run_fingerprint`.
    resume : bool
        Continue the run in the folder; False deletes its folds and its final training.

    Raises
    ------
    ExpertError
        The folder belongs to another run.
    """
    mark = folder / "run.json"
    if mark.exists() and not resume:
        for stale in [*folder.glob("fold*/**/*"), *folder.glob("final/**/*")]:
            if stale.is_file():
                stale.unlink()
    elif not matches_run(folder, fingerprint):
        raise ExpertError(
            f"The folder {folder} holds a training with another recipe, table or number of folds. "
            "Choose another --run folder, or start again with --no-resume."
        )
    elif mark.exists():
        return
    with replacing(mark) as temporary:  # folds that start side by side reserve it at once
        temporary.write_text(json.dumps(fingerprint))
