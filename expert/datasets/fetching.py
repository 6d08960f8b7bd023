"""Downloads of public prototype images to a cache; only when a user asks for them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from expert.datasets.derived_images import grey_pixels, make_from_archive, pixels_checksum
from expert.datasets.download import MIRROR, Progress, checksum, download, downloading
from expert.errors import InputError
from expert.schema import ImageReference
from expert.untrusted.text import plain_text

IXI_COMMIT = "494c25e00cbd3fea601f5f27970f2e2de876a8ac"
OPENNEURO = "https://s3.amazonaws.com/openneuro.org"


@dataclass(frozen=True)
class Source:
    """A public data set."""

    name: str
    licence: str
    address: str
    """Of a file: {file} is its path in the data set, {name} its name, {scan} the name up to the
    first underscore."""
    changed: str = ""
    """Why no file has the checksum in the model, in a few words; empty if files have it."""
    member: str = ""
    """`address` is of a ZIP archive with originals of this name, from which images are made."""

    def remark(self) -> str:
        """What else the user should know before a download."""
        if not self.member:
            return ""
        return (
            f"{self.name} is one archive, which is kept in the cache; its images are halved and "
            "only used if their pixels are those of the training"
        )


SOURCES = {
    source.name: source
    for source in (
        Source(
            "IXI",
            "IXI dataset, brain-development.org, CC BY-SA 3.0, down-sampled by the NiChart project",
            f"https://raw.githubusercontent.com/CBICA/NiChart_Project/{IXI_COMMIT}"
            "/test_data/processed/IXI/Nifti/{file}",
        ),
        Source(
            "ds000011",
            "OpenfMRI ds000011, PDDL (public domain)",
            f"{OPENNEURO}/ds000011/{{scan}}/anat/{{name}}",
        ),
        Source(
            "ds002748",
            "OpenNeuro ds002748, CC0 (public domain)",
            f"{OPENNEURO}/ds002748/{{scan}}/anat/{{name}}",
            "its images were resampled before the training, so no public file has their checksum",
        ),
        Source(
            "HC18",
            "HC18 grand challenge, Zenodo 1327317, CC BY 4.0",
            "https://zenodo.org/records/1327317/files/training_set.zip",
            "its images were halved before the training, so no public file has their checksum",
            "training_set/{name}",
        ),
    )
}
"""Public data sets by name. The data set of a reference begins with the name."""


def cache_folder() -> Path:
    """Folder of downloaded images."""
    from platformdirs import user_cache_path

    return user_cache_path("napari-expert") / "data"


def source_of(reference: ImageReference) -> Source | None:
    """The public data set that contains an image; None if it is in none."""
    return next(
        (source for name, source in SOURCES.items() if reference.dataset.startswith(name)), None
    )


def stays_inside(file: str) -> bool:
    """Whether a file that a model names is inside the folder it is searched or written in.

    Parameters
    ----------
    file : str
        Path in a data set. A model file is written by somebody else: absolute paths, parent
        folders, drives, addresses and control characters are not used.

    Returns
    -------
    bool
    """
    path = PurePosixPath(file)
    inside = bool(path.parts) and not path.is_absolute() and ".." not in path.parts
    return inside and not set(file) & set("\\:?#") and plain_text(file) == file


def public_address(reference: ImageReference) -> str | None:
    """Where an image can be downloaded; None if it cannot, see `obstacle`."""
    source = source_of(reference)
    if source is None:
        return None
    made = bool(source.member) and reference.pixels_sha256 is not None
    if source.changed and not made:
        return None
    if not stays_inside(reference.file):
        return None
    path = PurePosixPath(reference.file)
    if mirror := os.environ.get(MIRROR):
        file = source.address.rsplit("/", 1)[1] if made else path
        return f"{mirror.rstrip('/')}/{source.name}/{file}"
    return source.address.format(file=path, name=path.name, scan=path.name.split("_")[0])


def obstacle(reference: ImageReference) -> str:
    """Why an image cannot be downloaded, in one sentence; empty if it can."""
    if public_address(reference) is not None:
        return ""
    source = source_of(reference)
    reason = "it is not public" if source is None else source.changed
    return (
        f"Images of {reference.dataset} cannot be downloaded: "
        f"{reason or 'the model states no file of it'}."
    )


def cached_file(reference: ImageReference) -> Path:
    """Where an image is after its download."""
    source = source_of(reference)
    folder = cache_folder() if source is None else cache_folder() / source.name
    return folder / reference.file


def licences(references: Sequence[ImageReference]) -> tuple[str, ...]:
    """The licences of the public data sets that images are of."""
    found = [source_of(reference) for reference in references]
    return tuple(dict.fromkeys(source.licence for source in found if source is not None))


def remarks(references: Sequence[ImageReference]) -> tuple[str, ...]:
    """What else the user should know before images are downloaded, sentences."""
    found = dict.fromkeys(source_of(reference) for reference in references)
    return tuple(f"{text}." for source in found if source is not None and (text := source.remark()))


def fetch_images(
    references: Sequence[ImageReference], progress: Progress | None = None
) -> tuple[Path, ...]:
    """Download images that are not in the cache, one after the other.

    Parameters
    ----------
    references : sequence of ImageReference
        From a model.
    progress : callable, optional
        Called with the name of a file and the finished fraction of all files, 0 to 1. It may raise
        `expert.errors.Cancelled`: what has been downloaded stays, and the next call goes on there.

    Returns
    -------
    tuple of pathlib.Path
        The files.

    Raises
    ------
    InputError
        An image cannot be downloaded: see `fetch_reference`.
    """
    found = []
    for number, reference in enumerate(references):

        def report(name: str, fraction: float, number: int = number) -> None:
            if progress is not None:
                progress(name, (number + fraction) / len(references))

        found.append(fetch_reference(reference, report))
    return tuple(found)


def fetch_reference(reference: ImageReference, progress: Progress | None = None) -> Path:
    """Download an image of a public data set to the cache, and check its checksum.

    Parameters
    ----------
    reference : ImageReference
        From the model.
    progress : callable, optional
        As in `fetch_images`, of this file.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    InputError
        The data set is not public, the download failed, the file is not the expected one, or the
        cache cannot be used.
    """
    address, target = public_address(reference), cached_file(reference)
    if address is None:
        raise InputError(f"{obstacle(reference)[:-1]}: ask the author of the model for them.")
    report = progress or (lambda name, fraction: None)
    try:
        _fetch(reference, address, report)
    except OSError as error:  # such as a folder that is gone
        raise InputError(
            f"{target.name} could not be written to {target.parent} or read there: "
            f"{error.strerror}. Check this folder, then try again."
        ) from error
    report(target.name, 1.0)
    return target


def _fetch(reference: ImageReference, address: str, progress: Progress) -> None:
    """Download an image, unless it is in the cache."""
    source, target = source_of(reference), cached_file(reference)
    if source is not None and source.member:
        _make(source, reference, address, progress)
    elif not target.is_file() or checksum(target) != reference.sha256:
        with downloading(target, reference.dataset, progress) as part:
            if not target.is_file() or checksum(target) != reference.sha256:
                _download_checked(address, part, reference, progress)
                part.replace(target)


def _download_checked(
    address: str, part: Path, reference: ImageReference, progress: Progress
) -> None:
    """Download to a file, and check that it is the image of a reference."""
    started = part.is_file()
    download(address, part, reference.dataset, progress)
    if checksum(part) != reference.sha256 and started:  # it was begun with something else
        part.unlink()
        download(address, part, reference.dataset, progress)
    if checksum(part) != reference.sha256:
        name = part.name.removesuffix(".part")
        part.unlink()
        raise InputError(
            f"{name} was downloaded, but its checksum is not that of the image in the model: the "
            f"data set {reference.dataset} has changed."
        )


def _make(source: Source, reference: ImageReference, address: str, progress: Progress) -> None:
    """Make an image from its original in an archive, which is downloaded once."""
    target, archive = cached_file(reference), cache_folder() / source.name / Path(address).name
    if is_image_of(target, reference):
        return
    with downloading(archive, source.name, progress) as part:
        if not archive.is_file():
            download(address, part, source.name, progress)
            part.replace(archive)
    member = source.member.format(name=target.name)
    make_from_archive(archive, member, reference.pixels_sha256 or "", target)


def is_image_of(path: Path, reference: ImageReference) -> bool:
    """Whether a file is the image of a reference, by its checksum or that of its pixels."""
    if not path.is_file():
        return False
    if checksum(path) == reference.sha256:
        return True
    if reference.pixels_sha256 is None:
        return False
    pixels = grey_pixels(path)
    return pixels is not None and pixels_checksum(pixels) == reference.pixels_sha256
