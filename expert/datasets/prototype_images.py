"""Images of prototypes: from the model file, from a folder of the data set, or downloaded."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from expert.errors import ExpertError, InputError
from expert.imaging.preprocessing import prepare
from expert.imaging.registration import Registration
from expert.imaging.volume import read_volume
from expert.model_file import Model
from expert.schema import ImageReference, InputSettings


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
        return np.asarray(images[index]), ""
    reference = model.info.prototypes[index].reference
    if reference is None:
        return None, "This model does not contain or refer to the image of this prototype."
    folders = () if data is None else (Path(data),)
    path, message = find_reference(reference, folders)
    if path is None:
        return None, message
    try:
        every_plane = model.info.architecture.planes_combined
        documents = reference.model_dump_json(), model.info.input.model_dump_json()
        return _render(path, *documents, every_plane), ""
    except ExpertError:  # its message may contain a path of this computer, which is not shared
        return None, (
            f"The image of prototype {index + 1} could not be read: download the data set again."
        )


@functools.lru_cache(maxsize=64)  # a head takes a second, and is often shown again
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
    return np.asarray(prepared.images if every_plane else prepared.images[0])


IXI_COMMIT = "494c25e00cbd3fea601f5f27970f2e2de876a8ac"
SOURCES = {
    "IXI": f"https://raw.githubusercontent.com/CBICA/NiChart_Project/{IXI_COMMIT}/test_data/processed/IXI/Nifti/{{file}}",
}
"""Public data sets whose files can be downloaded one by one: name to address of a file."""
LICENCES = {
    "IXI": "IXI dataset, brain-development.org, CC BY-SA 3.0, down-sampled by the NiChart project"
}
SAMPLE = ImageReference(
    dataset="IXI",
    subject="IXI079-HH-1388",
    file="T1/IXI079-HH-1388_T1.nii.gz",
    sha256="f711df2ffb25ce04afb20c02a9e0efac17d13634e897f9c1defa5ace31a40ad2",
)
"""A real head for demonstrations; no prototype of a shipped model shows it."""
SAMPLE_AGE = 52.53
"""Age of that subject, in years."""
PATIENCE_S = 10
"""Seconds without data after which a download is stopped."""


def cache_folder() -> Path:
    """Folder of downloaded images."""
    from platformdirs import user_cache_path

    return user_cache_path("napari-expert") / "data"


def _public(reference: ImageReference) -> str | None:
    return next((name for name in SOURCES if reference.dataset.startswith(name)), None)


def public_address(reference: ImageReference) -> str | None:
    """Where an image can be downloaded; None if its data set is not public."""
    public = _public(reference)
    return None if public is None else SOURCES[public].format(file=reference.file)


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
    places = [*folders]
    if os.environ.get("EXPERT_DATA_DIR"):
        places.append(Path(os.environ["EXPERT_DATA_DIR"]))
    places = [
        place for top in places for place in (top, *sorted(p for p in top.glob("*/") if p.is_dir()))
    ]
    for place in (*places, cache_folder()):
        for path in (place / reference.file, place / Path(reference.file).name):
            if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == reference.sha256:
                return path, ""
    public = _public(reference)
    if public is None:
        return None, (
            "The image of this prototype is not in the model file: set EXPERT_DATA_DIR to the "
            f"folder of the data set {reference.dataset}."
        )
    return None, (
        "The image of this prototype is not in the model file: download the images with 'expert "
        f"fetch' ({LICENCES[public]}), or set EXPERT_DATA_DIR to a folder that contains them."
    )


def fetch_reference(reference: ImageReference) -> Path:
    """Download an image of a public data set to the cache, and check its checksum.

    Parameters
    ----------
    reference : ImageReference
        From the model.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    InputError
        The data set is not public, or the download failed.
    """
    import pooch

    address = public_address(reference)
    if address is None:
        raise InputError(
            f"The data set {reference.dataset} cannot be downloaded: ask the author of the model "
            "for it."
        )
    target = cache_folder() / reference.file
    try:
        found = pooch.retrieve(
            address,
            known_hash=f"sha256:{reference.sha256}",
            fname=target.name,
            path=target.parent,
            downloader=pooch.HTTPDownloader(timeout=PATIENCE_S),
        )
    except Exception as error:  # requests, urllib3 and pooch raise many kinds of errors
        raise InputError(
            f"{target.name} could not be downloaded ({type(error).__name__}): check the "
            "network connection, or copy the data "
            f"set {reference.dataset} into a folder and set EXPERT_DATA_DIR to it."
        ) from error
    return Path(found)
