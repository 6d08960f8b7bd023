"""Training heads as other scanners would show them, prepared once and kept.

Each head is passed through simulated scanners (`expert.imaging.scanner_simulation`) and prepared
again, with the brain found and the tissues estimated anew. A network that is trained on these
copies cannot rely on what differs between scanners.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from expert.datasets.prepared_dataset import FORMAT, CohortArrays, training_positions
from expert.datasets.table import Entry
from expert.datasets.worker_processes import in_processes
from expert.errors import InputError
from expert.files import replacing
from expert.imaging.preprocessing import prepare
from expert.imaging.registration import Registration
from expert.imaging.scanner_simulation import simulate_scanner
from expert.imaging.volume import read_volume
from expert.schema import InputSettings

STRENGTH = 0.4
"""Of the simulated scanners. With 1, networks ignore so much that they are worse on real scanners:
docs/any-scanner.md."""
ATTEMPTS = 3
"""Simulated scanners tried for one copy: an extreme one may hide the brain."""


def scanner_copies_file(entry: Entry, settings: InputSettings, count: int, folder: Path) -> Path:
    """Where the copies of an image are kept; parameters as in `scanner_copies`."""
    text = f"{FORMAT} {STRENGTH} {settings.model_dump_json()} {count} {entry.sha256}"
    return folder / f"scanners-{hashlib.sha256(text.encode()).hexdigest()[:24]}.npz"


def scanner_copies(
    entry: Entry, settings: InputSettings, count: int, folder: Path
) -> tuple[np.ndarray, np.ndarray]:
    """Copies of one head that were prepared by `prepare_scanner_copies`.

    Parameters
    ----------
    entry : Entry
        The head.
    settings : InputSettings
        How it is prepared.
    count : int
        Number of simulated scanners.
    folder : pathlib.Path
        Folder of the prepared images.

    Returns
    -------
    images, content : numpy.ndarray
        (count, K, *shape) uint8.

    Raises
    ------
    InputError
        They were not prepared.
    """
    path = scanner_copies_file(entry, settings, count, folder)
    if not path.exists():
        raise InputError(f"The simulated scanners of {entry.name} are missing: train again.")
    with np.load(path, allow_pickle=False) as stored:
        return stored["images"], stored["content"]


def prepare_scanner_copies(
    cohort: CohortArrays,
    settings: InputSettings,
    count: int,
    *,
    jobs: int | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> None:
    """Prepare the copies of all heads of a cohort, except those that its folder already holds.

    Parameters
    ----------
    cohort : CohortArrays
        Heads, with the folder of their prepared images.
    settings : InputSettings
        How the heads were prepared.
    count : int
        Number of simulated scanners of each head.
    jobs : int, optional
        Number of processes; None: one per core.
    progress : callable, optional
        Called with "scanners" and a fraction, 0 to 1.

    Raises
    ------
    InputError
        The cohort has no folder, or the brain of a head was found under no simulated scanner.
    """
    if cohort.folder is None:
        raise InputError("Simulated scanners need a folder for the prepared images.")
    missing = [
        (entry, cohort.transforms[row], settings, count, target)
        for row, entry in enumerate(cohort.entries)
        if not (target := scanner_copies_file(entry, settings, count, cohort.folder)).exists()
    ]
    with in_processes(_prepare_one, missing, jobs) as finished:
        for done, (_, future) in enumerate(finished, 1):
            future.result()
            if progress is not None:
                progress("scanners", done / len(missing))


def _prepare_one(
    entry: Entry, transform: np.ndarray, settings: InputSettings, count: int, target: Path
) -> None:
    volume = read_volume(entry.file, pixel_size_mm=entry.pixel_size_mm)
    registration = Registration.known(transform)
    images, content = [], []
    for copy in range(count):
        for attempt in range(ATTEMPTS):
            # Seeded by the image: every head has scanners of its own, the same in every training.
            seed = int(entry.sha256[:10], 16) + 1000 * copy + attempt
            changed = simulate_scanner(volume, seed, moved=False, strength=STRENGTH)
            try:
                prepared = prepare(
                    changed,
                    settings,
                    positions_mm=training_positions(settings),
                    registration=replace(registration, found=None),
                )
            except InputError:
                continue
            images.append(prepared.images)
            content.append(prepared.content)
            break
        else:
            raise InputError(f"The brain of {entry.name} was not found under simulated scanners.")
    with replacing(target) as temporary:
        np.savez_compressed(temporary, images=np.stack(images), content=np.stack(content))
