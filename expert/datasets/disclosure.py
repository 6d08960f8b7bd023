"""What a model file reveals about the people it was trained on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from expert.datasets.average_images import averages

if TYPE_CHECKING:
    from expert.model_file import Model
    from expert.schema import ImageReference, ModelInfo

PATTERNS = {
    "a path": re.compile(
        r"\b[A-Za-z]:\\\S+|\\\\\w[\w.-]*\\\S+|file:/\S+|~/\S+"
        r"|(?<![\w.:/])/(?:home|Users|root|mnt|media|data|srv|tmp|var|opt|scratch|nas|Volumes)/\S+"
    ),
    "an e-mail address": re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"),
    "a date": re.compile(
        r"(?<!\d)(?:19|20)\d\d([-./]?)(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12]\d|3[01])(?!\d)"
        r"|(?<!\d)(?:0?[1-9]|[12]\d|3[01])[./](?:0?[1-9]|1[0-2])[./](?:19|20)\d\d(?!\d)"
    ),
    "a person's name in DICOM form": re.compile(r"\b[^\W\d_][\w-]*\^[^\W\d_][\w-]*"),
}
"""What a text that should be public does not contain."""
COMPUTED = ("sha256", "pixels_sha256", "versions", "schema_version")
"""Fields without texts that people write."""
LONGEST = 60


@dataclass(frozen=True)
class Finding:
    """A part of a text that may identify a person or a computer."""

    field: str
    """Such as "card" or "prototypes.3.reference.subject"."""
    kind: str
    """Of `PATTERNS`."""
    text: str


@dataclass(frozen=True)
class Disclosure:
    """What everyone who has the model file can read in it."""

    facts: tuple[tuple[str, str], ...]
    """What, and how much of it."""
    findings: tuple[Finding, ...]
    """Texts that look like what should not be public."""
    verdict: str
    """One or two sentences."""


def disclosure(model: Model) -> Disclosure:
    """List what a model reveals.

    Parameters
    ----------
    model : Model
        From `expert.load_model`.

    Returns
    -------
    Disclosure

    Raises
    ------
    ModelError
        The model's averages are damaged.
    """
    about = model.info
    references = [one.reference for one in about.prototypes if one.reference is not None]
    images = model.prototype_images
    latents = model.tensors["weights.prototypes"].shape
    label = about.label
    labels = [one.label if one.source_label is None else one.source_label for one in
              about.prototypes]  # fmt: skip
    facts = [
        ("people", f"{about.training.subjects_text}, data set: {about.training.dataset}"),
        ("label range", f"{label.name} from {label.minimum:g} to {label.maximum:g} {label.unit}"),
        (
            "single labels",
            f"those of the {len(labels)} training images that the prototypes show: "
            + ", ".join(f"{value:g}" for value in sorted(labels)),
        ),
        (
            "features of single images",
            f"{latents[0]} arrays of {'×'.join(map(str, latents[1:]))} numbers, computed from one "
            "training image each",
        ),
        (
            "images of single people",
            "none" if images is None else f"{len(images)} images of prototypes are in the file",
        ),
        ("averages", _averages_text(model)),
        ("references", _references_text(references)),
        ("statistics", _statistics_text(about)),
    ]
    findings = tuple(_findings(about.model_dump(mode="json")))
    return Disclosure(tuple(facts), findings, _verdict(model, references, findings))


def _averages_text(model: Model) -> str:
    shown = averages(model)
    if not shown:
        return "none"
    fewest = min(one.people for one in shown)
    return f"{len(shown)} average images, each of at least {fewest} people, with their label range"


def _references_text(references: list[ImageReference]) -> str:
    if not references:
        return "none: no file name, subject code or checksum of a training image"
    datasets = ", ".join(dict.fromkeys(one.dataset for one in references))
    first = references[0]
    return (
        f"subject code, file name and checksum of {len(references)} training images of {datasets}; "
        f"the first: {first.subject}, {first.file}"
    )


def _statistics_text(about: ModelInfo) -> str:
    parts = [f"{len(about.validation)} figures of the validation"]
    if about.sites:
        names = ", ".join(dict.fromkeys(site.name for site in about.sites))
        parts.append(f"errors and label ranges of the sites {names}")
    if about.calibration is not None:
        parts.append(f"limits from {about.calibration.images} images")
        if about.calibration.familiarity is not None:
            parts.append("mean and spread of the grey values per patch")
    return "; ".join(parts)


def _findings(value: Any, field: str = "") -> Iterator[Finding]:
    """Suspicious texts in a document, with their places."""
    if isinstance(value, dict):
        for key, one in value.items():
            if key not in COMPUTED:
                yield from _findings(one, f"{field}.{key}" if field else str(key))
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from _findings(one, f"{field}.{number}")
    elif isinstance(value, str):
        for kind, pattern in PATTERNS.items():
            for match in pattern.finditer(value):
                yield Finding(field, kind, match[0][:LONGEST])


def _verdict(model: Model, references: list[ImageReference], findings: tuple[Finding, ...]) -> str:
    count = len(model.info.prototypes)
    if model.prototype_images is not None:
        text = (
            f"The file contains the images of {count} prototypes, each of one training subject: "
            "share it only if these images may be public."
        )
    elif references:
        text = (
            "The file contains no image of a single person, but it names the files and subject "
            f"codes of {len(references)} training images: share it only if these may be public."
        )
    else:
        text = (
            "The file contains no image, name or file of a single person, but labels and features "
            f"of {count} single training images: no way to reconstruct an image from these is "
            "known, and none is proven impossible."
        )
    if findings:
        kinds = ", ".join(dict.fromkeys(one.kind for one in findings))
        text += f" Its texts contain what looks like {kinds}: check them before you share the file."
    return text
