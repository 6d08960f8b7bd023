"""Images of prototypes: from the model file, a folder of the data set, or the download cache."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from expert.datasets.fetching import (
    cache_folder,
    cached_file,
    is_image_of,
    licences,
    obstacle,
    source_of,
    stays_inside,
)
from expert.errors import ExpertError
from expert.features.head_frame import without_rim
from expert.files import replacing
from expert.imaging.preprocessing import prepare
from expert.imaging.registration import Registration
from expert.imaging.volume import read_volume
from expert.model_file import Model
from expert.schema import ImageReference, InputSettings

RENDERING = 1
"""Increase it when an image is rendered in another way: kept images are then rendered again."""


def prototype_image(
    model: Model, index: int, data: str | Path | None = None
) -> tuple[np.ndarray | None, str]:
    """The image of a prototype, from the model file or from the data set; nothing is downloaded.

    Parameters
    ----------
    model : Model
    index : int
        0-based, of the prototype.
    data : path-like, optional
        Folder of the data set.

    Returns
    -------
    image : (*shape) uint8 ndarray, optional
        (V, *shape) where prototypes show every view; None if it is not available.
    message : str
        One sentence on how to get the image; empty if it is available.
    """
    images = model.prototype_images
    if images is not None:
        image = np.asarray(images[index])
        return without_rim(image) if model.info.input.space == "ellipse" else image, ""
    reference = model.info.prototypes[index].reference
    if reference is None:
        return None, "This model does not contain or refer to the image of this prototype."
    every_plane = model.info.architecture.planes_combined
    documents = reference.model_dump_json(), model.info.input.model_dump_json()
    # Images that are not public never leave their folder.
    kept = None if source_of(reference) is None else _kept_file(*documents, every_plane)
    if kept is not None and (known := _read_kept(kept)) is not None:
        return known, ""
    folders = () if data is None else (Path(data),)
    path, message = find_reference(reference, folders)
    if path is None:
        return None, message
    try:
        image = _render(path, *documents, every_plane)
    except (ExpertError, ValueError):  # a message may contain a path of this computer
        return None, (
            f"The image of prototype {index + 1} could not be read: download the data set again."
        )
    if kept is not None:
        with contextlib.suppress(OSError):  # without it, the image is rendered again next time
            kept.parent.mkdir(parents=True, exist_ok=True)
            with replacing(kept) as temporary:
                np.savez_compressed(temporary, image=image)
    return image, ""


def _kept_file(reference_json: str, settings_json: str, every_plane: bool) -> Path:
    """Where the rendered image of a prototype is kept: beside the downloaded images."""
    key = f"{RENDERING} {reference_json} {settings_json} {every_plane}"
    return (
        cache_folder().parent / "rendered" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.npz"
    )


def _read_kept(path: Path) -> np.ndarray | None:
    try:
        with np.load(path, allow_pickle=False) as file:
            return np.asarray(file["image"])
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error):
        return None


@functools.lru_cache(maxsize=64)  # where the cache cannot be written
def _render(path: Path, reference_json: str, settings_json: str, every_plane: bool) -> np.ndarray:
    """The image in a file with the right checksum, by `ImageReference` and `InputSettings`."""
    reference = ImageReference.model_validate_json(reference_json)
    settings = InputSettings.model_validate_json(settings_json)
    registration = None
    if reference.template_to_subject is not None:
        registration = Registration.known(np.array(reference.template_to_subject))
    positions = None if reference.position_mm is None else (reference.position_mm,)
    volume = read_volume(path, pixel_size_mm=reference.pixel_size_mm)
    prepared = prepare(volume, settings, positions_mm=positions, registration=registration)
    return np.asarray(prepared.shown if every_plane else prepared.shown[0])


SAMPLE = ImageReference(
    dataset="IXI",
    subject="IXI079-HH-1388",
    file="T1/IXI079-HH-1388_T1.nii.gz",
    sha256="f711df2ffb25ce04afb20c02a9e0efac17d13634e897f9c1defa5ace31a40ad2",
)
"""A real head for demonstrations; no prototype of a shipped model shows it."""
SAMPLE_AGE = 52.53
"""Age of that subject, in years."""


def find_reference(
    reference: ImageReference, folders: Iterable[Path] = ()
) -> tuple[Path | None, str]:
    """The file of a prototype's image on this computer; nothing is downloaded.

    Parameters
    ----------
    reference : ImageReference
        From the model.
    folders : Iterable[Path]
        Searched first, with their sub-folders; then the folder in the environment variable
        EXPERT_DATA_DIR with its sub-folders, then the download cache.

    Returns
    -------
    path : pathlib.Path, optional
        The file, whose checksum is correct; None if it was not found.
    message : str
        One sentence on how to get it; empty if it was found.
    """
    if not stays_inside(reference.file):
        return None, "The model names no usable file of the image of this prototype."
    places = [*folders]
    if os.environ.get("EXPERT_DATA_DIR"):
        places.append(Path(os.environ["EXPERT_DATA_DIR"]))
    places = [
        place for top in places for place in (top, *sorted(p for p in top.glob("*/") if p.is_dir()))
    ]
    cached = cached_file(reference)
    candidates = [place / name for place in places for name in (reference.file, cached.name)]
    # The cache of version 0.1 had no folder for each data set.
    for path in (*candidates, cached, cache_folder() / reference.file):
        if is_image_of(path, reference):
            return path, ""
    missing = "The image of this prototype is not in the model file"
    if reason := obstacle(reference):
        return None, (
            f"{missing}: set EXPERT_DATA_DIR to the folder of the data set {reference.dataset}. "
            f"{reason}"
        )
    return None, (
        f"{missing}: download the images with 'expert fetch' ({licences([reference])[0]}), or set "
        "EXPERT_DATA_DIR to a folder that contains them."
    )
