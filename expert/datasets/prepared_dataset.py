"""Images of a table as arrays: prepared once, kept on disk, read by training and evaluation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from expert.datasets.table import Entry
from expert.datasets.worker_processes import in_processes
from expert.errors import ExpertError, InputError
from expert.files import replacing
from expert.imaging.head_outline import HeadOutline
from expert.imaging.preprocessing import prepare
from expert.imaging.volume import read_volume
from expert.schema import InputSettings

FORMAT = 2
"""Increased when `prepare` changes its output, so that arrays of earlier versions are not used."""


@dataclass(frozen=True)
class CohortArrays:
    """All images of a table as the network gets them."""

    images: np.ndarray
    """(N, K, *shape) uint8; K planes at `positions_mm`."""
    content: np.ndarray
    """(N, K, *shape) uint8, 0 to 255: share of the content (the brain) in each pixel."""
    labels: np.ndarray
    """(N,) float64."""
    transforms: np.ndarray
    """(N, 4, 4) template RAS mm to the subject's RAS mm; NaN without a registration."""
    quality: np.ndarray
    """(N,) registration quality, 0 to 1; NaN without a registration."""
    positions_mm: tuple[float | None, ...]
    """K heights of the planes, mm; None for plain images and whole volumes."""
    entries: tuple[Entry, ...]
    """N rows of the table."""
    folder: Path | None = None
    """Folder of the prepared images, which also caches what is computed from them once
    (`expert.training.histogram_cache`); None: no cache on disk."""

    @property
    def subjects(self) -> np.ndarray:
        """(N,) int: the same number for all rows of one subject."""
        return np.asarray(
            np.unique([entry.subject for entry in self.entries], return_inverse=True)[1]
        )

    def select(self, rows: np.ndarray) -> CohortArrays:
        """The given rows only."""
        return CohortArrays(
            self.images[rows],
            self.content[rows],
            self.labels[rows],
            self.transforms[rows],
            self.quality[rows],
            self.positions_mm,
            tuple(self.entries[row] for row in rows),
            self.folder,
        )

    def planes(self, positions_mm: Sequence[float | None]) -> list[int]:
        """Indices of the planes at these heights, mm."""
        return [self.positions_mm.index(position) for position in positions_mm]

    def explained_planes(self, settings: InputSettings) -> list[int]:
        """Indices of the planes that a model with these input settings explains."""
        return self.planes(settings.positions_mm) if len(self.positions_mm) > 1 else [0]


def training_positions(settings: InputSettings) -> tuple[float, ...] | None:
    """Heights of all planes that are prepared for a training.

    Parameters
    ----------
    settings : InputSettings

    Returns
    -------
    tuple of float or None
        Template mm, ascending; None for plain images and whole volumes.
    """
    if settings.space != "mni" or len(settings.shape) != 2:
        return None
    return tuple(sorted({*settings.training_positions_mm, *settings.positions_mm}))


def prepared_file(entry: Entry, settings: InputSettings, folder: Path) -> Path:
    """Where the prepared image of a row is kept, by the file's content and the settings.

    A changed file is prepared again, a moved one is not.
    """
    text = json.dumps([FORMAT, settings.model_dump(mode="json")], sort_keys=True)
    digest = (
        hashlib.sha256(entry.file.read_bytes())
        if entry.file.is_file()
        else hashlib.sha256(str(entry.file).encode())
    )
    digest.update(text.encode())
    digest.update(repr(entry.pixel_size_mm).encode())
    return folder / f"{digest.hexdigest()[:24]}.npz"


def prepare_entry(
    entry: Entry, settings: InputSettings, target: Path, outline: HeadOutline | None = None
) -> None:
    """Prepare the image of a row and keep it; `outline` is the known ellipse of a fetal head."""
    volume = read_volume(entry.file, pixel_size_mm=entry.pixel_size_mm)
    positions = training_positions(settings)
    prepared = prepare(volume, settings, positions_mm=positions, outline=outline)
    registration = prepared.registration
    unknown = np.full((4, 4), np.nan)
    with replacing(target) as temporary:
        np.savez_compressed(
            temporary,
            images=prepared.images,
            content=prepared.content,
            transform=unknown if registration is None else registration.template_to_subject,
            quality=np.nan if registration is None else registration.quality,
            refusal=prepared.refusal,
        )


def load_cohort(
    entries: Sequence[Entry],
    settings: InputSettings,
    folder: Path,
    *,
    jobs: int | None = None,
    progress: Callable[[str, float], None] | None = None,
    refused: dict[int, str] | None = None,
) -> CohortArrays:
    """Prepare the images of a table; images that `folder` already holds are read from there.

    Parameters
    ----------
    entries : sequence of Entry
        Rows of a table, see `expert.datasets.table.read_table`.
    settings : InputSettings
        How to prepare the images.
    folder : pathlib.Path
        Where the arrays are kept. They contain images of the subjects: keep them with the data.
    jobs : int, optional
        Number of processes; None: one per core.
    progress : callable, optional
        Called with "prepare" and a fraction, 0 to 1.
    refused : dict of int to str, optional
        Gets the index and the reason of every image that cannot be used or must not be predicted
        (`Prepared.refusal`). Without it, an image that cannot be used is an error, and the others
        are all used.

    Returns
    -------
    CohortArrays
        In the order of `entries`, without the refused ones.

    Raises
    ------
    InputError
        An image cannot be used, and the message names its row; or, with `refused`, no image can.
    """
    folder.mkdir(parents=True, exist_ok=True)
    places = [prepared_file(entry, settings, folder) for entry in entries]
    missing = [n for n, path in enumerate(places) if not path.exists()]
    if missing:
        calls = [(entries[n], settings, places[n]) for n in missing]
        with in_processes(prepare_entry, calls, jobs) as finished:
            for done, (call, future) in enumerate(finished, 1):
                error = future.exception()
                if isinstance(error, InputError) and refused is not None:
                    refused[missing[call]] = str(error)
                elif isinstance(error, ExpertError):
                    raise InputError(
                        f"Row {missing[call] + 2} of the table cannot be used: {error}"
                    ) from error
                elif error is not None:
                    raise error
                if progress is not None:
                    progress("prepare", done / len(missing))
    found = {
        n: np.load(path, allow_pickle=False)
        for n, path in enumerate(places)
        if n not in (refused or ())
    }
    if refused is not None:
        unusable = {n: str(one["refusal"]) for n, one in found.items() if "refusal" in one}
        refused |= {n: reason for n, reason in unusable.items() if reason}
        found = {n: one for n, one in found.items() if n not in refused}
        if not found:
            first = min(refused)
            raise InputError(
                f"None of the {len(entries)} images of the table can be used. The first: "
                f"{refused[first]}"
            )
    loaded, used = list(found.values()), [entries[n] for n in found]
    return CohortArrays(
        images=np.stack([one["images"] for one in loaded]),
        content=np.stack([one["content"] for one in loaded]),
        labels=np.array([entry.label for entry in used], dtype=float),
        transforms=np.stack([one["transform"] for one in loaded]),
        quality=np.array([float(one["quality"]) for one in loaded]),
        positions_mm=training_positions(settings) or (None,),
        entries=tuple(used),
        folder=folder,
    )
