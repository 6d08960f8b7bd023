"""Results of the study of corrupted inputs, and their report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from expert.schema import RESEARCH_USE
from studies.corrupted.corruptions import MIRRORED, SYNTHETIC, UNCHANGED
from studies.corrupted.false_alarms import FalseAlarms


@dataclass(frozen=True)
class Assessment:
    """Whether a model refuses or flags one image."""

    kind: str
    refused: str = ""
    """Error message; empty if the image was not refused."""
    unlike: bool = False
    """Flagged as out-of-distribution."""
    incomplete: bool = False
    """Flagged as an incomplete brain."""
    score: float | None = None
    """OOD score; None if the image was refused."""
    indicator: str = ""
    """OOD indicator with the largest score."""

    @property
    def detected(self) -> bool:
        """Refused, flagged as out-of-distribution, or flagged as an incomplete brain."""
        return bool(self.refused) or self.unlike or self.incomplete


@dataclass(frozen=True)
class CorruptionResults:
    """Results of `studies.corrupted.inputs.run_study`."""

    model: str
    assessments: tuple[Assessment, ...]
    limit: float
    """Of the OOD score."""
    scored_by: str
    """Meaning of the score."""
    heads: int
    prototypes: int
    """Number of heads that are prototypes of the model."""
    synthetic: bool
    """Whether the model was trained on synthetic heads."""
    seed: int
    nominal: tuple[int, float] | None
    """Number of images from which the limit comes, and expected fraction of further images above
    it."""
    alarms: FalseAlarms | None

    def of_kind(self, kind: str) -> tuple[Assessment, ...]:
        """Assessments of one kind of images."""
        return tuple(one for one in self.assessments if one.kind == kind)


def markdown(found: CorruptionResults) -> str:
    """The report: what is detected, and the expected false alarms.

    It contains no subject names and no file paths.

    Parameters
    ----------
    found : CorruptionResults

    Returns
    -------
    str
        Markdown.
    """
    accepted = [UNCHANGED, *([SYNTHETIC] if found.synthetic else [])]
    kinds = [
        kind
        for kind in dict.fromkeys(one.kind for one in found.assessments)
        if kind not in (*accepted, MIRRORED)
    ]
    head = [
        "",
        "| image | number | detected | refused | median score | most frequent indicator |",
        "|---|---:|---:|---:|---:|---|",
    ]
    out = [
        "# Corrupted inputs\n",
        f"Model {found.model}, {found.heads} heads, seed {found.seed}. *Detected*: refused with an "
        "error message, or flagged as out-of-distribution or as an incomplete brain. *Median "
        f"score*: {found.scored_by}, of the images that were not refused; the limit is "
        f"{found.limit:.1f}.",
        *head,
        *(_row(kind, found.of_kind(kind)) for kind in kinds),
        "\nHard to detect, and not expected to be detected: a mirrored head looks much like any "
        "other.",
        *head,
        _row(MIRRORED, found.of_kind(MIRRORED)),
        "\nNot to be flagged:",
        *head,
        *(_row(kind, found.of_kind(kind)) for kind in accepted),
        f"\nOf the {found.heads} unchanged heads, {found.prototypes} are among the model's "
        "prototypes. If the model was trained on this table, all are training images and give no "
        "information on new heads.",
    ]
    if found.nominal is not None:
        images, expected = found.nominal
        out += [
            "",
            f"The model's limit comes from {images} held-out images. Of further images like them, "
            f"{expected:.1%} are expected above it, by the choice of the limit; this is not a "
            "measurement.",
        ]
    if found.alarms is not None:
        a = found.alarms
        counts = sorted(a.by_indicator.items(), key=lambda pair: (-pair[1], pair[0]))
        named = ", ".join(f"{name} {count}" for name, count in counts)
        out += [
            "",
            f"False alarms in a cross-validation: of {a.images} held-out images of {a.folds} "
            f"folds, each scored with the scales and limit of the other folds, {a.flagged} "
            f"({a.flagged / a.images:.1%}) are flagged{f' ({named})' if named else ''}.",
        ]
    return "\n".join([*out, "", RESEARCH_USE, ""])


def _row(kind: str, assessments: Sequence[Assessment]) -> str:
    scores = [one.score for one in assessments if one.score is not None]
    indicators = Counter(one.indicator for one in assessments if one.indicator).most_common(1)
    detected = sum(one.detected for one in assessments)
    refused = sum(bool(one.refused) for one in assessments)
    frequent = f"{indicators[0][0]} ({indicators[0][1]} of {len(scores)})" if indicators else ""
    median = f"{np.median(scores):.1f}" if scores else ""
    return (
        f"| {kind} | {len(assessments)} | {detected} ({detected / len(assessments):.0%}) | "
        f"{refused} | {median} | {frequent} |"
    )
