"""A table of images as arrays: prepared once, kept on disk, ready for training and evaluation."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from expert.datasets.table import Entry
from expert.errors import ExpertError, InputError
from expert.files import replacing
from expert.imaging.preprocessing import prepare
from expert.schema import InputRecipe

FORMAT = 1  # raised whenever `prepare` gives other pixels, so that old arrays are not used


@dataclass(frozen=True)
class CohortArrays:
    """All subjects of a table as the network sees them."""

    images: np.ndarray
    """(N, K, *shape) uint8; K planes of `positions_mm`."""
    content: np.ndarray
    """(N, K, *shape) uint8."""
    labels: np.ndarray
    """(N,) float64."""
    transforms: np.ndarray
    """(N, 4, 4) template RAS mm to the subject's RAS mm; NaN where there is no registration."""
    quality: np.ndarray
    """(N,) registration quality, 0 to 1; NaN where there is none."""
    positions_mm: tuple[float | None, ...]
    entries: tuple[Entry, ...]
    folder: Path | None = None
    """Where what is made of the images once (`expert.training.histogram_cache`) is kept beside
    them; None: nowhere."""

    @property
    def subjects(self) -> np.ndarray:
        """(N,) integers: rows of one subject share one."""
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
        """Indices of the planes at these heights."""
        return [self.positions_mm.index(position) for position in positions_mm]


def _positions(recipe: InputRecipe) -> tuple[float, ...] | None:
    if recipe.space != "mni" or len(recipe.shape) != 2:
        return None
    return tuple(sorted({*recipe.training_positions_mm, *recipe.positions_mm}))


def _prepare_one(entry: Entry, recipe: InputRecipe, target: Path) -> None:
    from expert.imaging.volume import read_volume

    volume = read_volume(entry.file, pixel_size_mm=entry.pixel_size_mm)
    prepared = prepare(volume, recipe, positions_mm=_positions(recipe))
    registration = prepared.registration
    unknown = np.full((4, 4), np.nan)
    with replacing(target) as temporary:
        np.savez_compressed(
            temporary,
            images=prepared.images,
            content=prepared.content,
            transform=unknown if registration is None else registration.template_to_subject,
            quality=np.nan if registration is None else registration.quality,
        )


def load_cohort(
    entries: Sequence[Entry],
    recipe: InputRecipe,
    folder: Path,
    *,
    jobs: int | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> CohortArrays:
    """Prepare every image of a table, or take what an earlier call left in `folder`.

    Parameters
    ----------
    entries : rows of a table, see `expert.datasets.table.read_table`
    recipe : how to prepare them
    folder : where the arrays are kept; they hold images of the subjects, so they belong beside the
        data
    jobs : processes; the number of cores if None
    progress : called with "prepare" and a fraction

    Raises
    ------
    InputError
        An image cannot be used; the message names its row.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps([FORMAT, recipe.model_dump(mode="json")], sort_keys=True)

    def place(entry: Entry) -> Path:
        # The content's own hash: a file that changed is prepared again, one that moved is not.
        digest = (
            hashlib.sha256(entry.file.read_bytes())
            if entry.file.is_file()
            else hashlib.sha256(str(entry.file).encode())
        )
        digest.update(text.encode())
        digest.update(repr(entry.pixel_size_mm).encode())
        return folder / f"{digest.hexdigest()[:24]}.npz"

    places = [place(entry) for entry in entries]
    missing = [n for n, path in enumerate(places) if not path.exists()]
    if missing:
        count = min(jobs or os.cpu_count() or 1, len(missing))
        with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
            running = {pool.submit(_prepare_one, entries[n], recipe, places[n]): n for n in missing}
            for done, future in enumerate(as_completed(running), 1):
                try:
                    future.result()
                except ExpertError as error:
                    pool.shutdown(cancel_futures=True)
                    raise InputError(
                        f"Row {running[future] + 2} of the table cannot be used: {error}"
                    ) from error
                if progress is not None:
                    progress("prepare", done / len(missing))
    loaded = [np.load(path) for path in places]
    return CohortArrays(
        images=np.stack([one["images"] for one in loaded]),
        content=np.stack([one["content"] for one in loaded]),
        labels=np.array([entry.label for entry in entries], dtype=float),
        transforms=np.stack([one["transform"] for one in loaded]),
        quality=np.array([float(one["quality"]) for one in loaded]),
        positions_mm=_positions(recipe) or (None,),
        entries=tuple(entries),
        folder=folder,
    )
