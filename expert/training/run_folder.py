"""The folder of a run: to which recipe, table and folds it belongs."""

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


def identity(recipe: Recipe, entries: Sequence[Entry], folds: int) -> dict[str, Any]:
    """What a run's folder belongs to: settings, labels, folds, and a checksum of who is in it; no
    names."""
    people = np.unique([entry.subject for entry in entries], return_inverse=True)[1].tolist()
    who = json.dumps([people, [[entry.sha256, entry.pixel_size_mm] for entry in entries]])
    return {
        "settings": recipe.settings,
        "labels": [entry.label for entry in entries],
        "folds": folds,
        "images": hashlib.sha256(who.encode()).hexdigest(),
    }


def belongs(folder: Path, known: dict[str, Any]) -> bool:
    """Whether a run's folder is empty, or of this `identity`."""
    mark = folder / "run.json"
    return not mark.exists() or json.loads(mark.read_text()) == json.loads(json.dumps(known))


def claim(folder: Path, known: dict[str, Any], resume: bool) -> None:
    """Let a run's folder belong to one recipe, table and number of folds; others would mix two
    trainings.

    Parameters
    ----------
    folder : of the run
    known : its `identity`
    resume : False deletes the folds and the final training that are there

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
    elif not belongs(folder, known):
        raise ExpertError(
            f"The folder {folder} holds a training with another recipe, table or number of "
            "folds: choose another --run folder, "
            "or start anew with --no-resume."
        )
    elif mark.exists():
        return
    with replacing(mark) as temporary:  # folds that start side by side claim it at once
        temporary.write_text(json.dumps(known))
