"""The matched patches of an explanation as one CSV table, for statistics programs."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from expert.errors import InputError
from expert.evidence.patch_evidence import Evidence
from expert.evidence.tissue_norms import TISSUES
from expert.evidence.wording import summary
from expert.files import replacing
from expert.patches import patch_location_text
from expert.untrusted.text import cell_text, comment_text, plain_text

if TYPE_CHECKING:
    from expert.explanation import Explanation

COLUMNS = (
    "view",
    "prototype",
    "label",
    "patch",
    "where",
    "partner",
    "partner_where",
    "share",
    "cost",
    "adds",
    "pull",
    "region",
    "partner_region",
    "fluid",
    "grey_matter",
    "white_matter",
)
LEAST = 0.01
"""Pairs with a smaller share are left out."""


def write_csv(explanation: Explanation, path: str | os.PathLike[str]) -> Path:
    """Write which patch was matched to which, one row per pair, all views and all shown prototypes.

    The first lines begin with ``#``: whether the prediction was forced, the statement, the model,
    what the columns mean. Read it with ``pandas.read_csv(path, comment="#")``.

    Parameters
    ----------
    explanation : Explanation
        From `expert.explain` or `Explanation.load`.
    path : path-like
        File to write, UTF-8.

    Returns
    -------
    Path
        The file. Its rows are the image's patches with a mass above 0, times the prototypes, times
        their partners with a share of at least 0.01.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    e = explanation
    text = io.StringIO()
    evidence = Evidence.of(e)
    text.writelines(f"# {comment_text(line)}\n" for line in _head(evidence))
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_rows(evidence))
    target = Path(path)
    try:
        with replacing(target) as temporary:
            temporary.write_text(text.getvalue(), encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"The table could not be written to {target}: {error.strerror}."
        ) from error
    return target


def _head(evidence: Evidence) -> list[str]:
    e = evidence.explanation
    grid = "x".join(map(str, e.grid))
    found = summary(evidence)
    return [
        *([e.forced_text] if e.forced else []),
        e.statement,
        f"model: {e.model_name} {e.model_version}, sha256 {e.model_sha256}",
        f"prediction: {e.prediction:.4f} {e.unit}{e.range_text} ({e.label_name})",
        *_averages(e),
        *([found] if found else []),
        'pandas.read_csv(path, comment="#") reads this table',
        (
            "view: the plane or image; prototype: its rank; label: its label in the prediction, "
            f"{e.unit}"
        ),
        (
            "patch, partner: numbers of the image's patch and of the matched patch of the "
            f"prototype, from 0 in C order of the grid {grid}; where, partner_where: their centres"
        ),
        (
            f"share: fraction of the patch that was matched to the partner, from {LEAST:g}; "
            "cost: feature distance of the two patches"
        ),
        f"adds: contribution of the pair to the distance between view and prototype, {e.unit}",
        (
            "pull: contribution of the whole patch to the prediction (+ increases, - decreases "
            f"it), {e.unit}; repeated in each row of the patch; the sum over all patches of all "
            f"views is the prediction minus {evidence.reference:.4f}"
        ),
        (
            "region, partner_region: of an average brain, the largest first; "
            f"{', '.join(name.replace(' ', '_') for name in TISSUES)}: fractions of the patch, "
            "for models that know tissues"
        ),
    ]


def _averages(e: Explanation) -> list[str]:
    """Which prototypes are shown as an average, on one line; none if no one is."""
    shown = [
        f"{match.rank}: {match.average.text} {e.unit}"
        for match in e.prototypes
        if match.average is not None
    ]
    own = "shown instead of the prototype's own image, which was not available"
    return [f"prototype {'; '.join(shown)}; {own}"] if shown else []


def _rows(evidence: Evidence) -> Iterator[tuple[object, ...]]:
    e = evidence.explanation
    for number, view in enumerate(e.views):
        pull = evidence.contributions[number]
        places = [
            patch_location_text(e, number, patch).replace(" · ", " ")
            for patch in range(len(view.mass))
        ]
        regions = ["; ".join(evidence.region_names(number, n)) for n in range(len(places))]
        tissues: list[tuple[str, ...]] = [("",) * len(TISSUES)] * len(places)
        if evidence.fractions is not None:
            tissues = [
                tuple("" if np.isnan(part) else f"{part:.4g}" for part in parts)
                for parts in evidence.fractions[number]
            ]
        for match in e.prototypes:
            matched = match.views[number]
            adds = matched.scale * matched.flow.astype(float) * matched.cost
            for patch in np.flatnonzero(view.mass).tolist():
                shares = matched.matches(patch)
                for partner in np.flatnonzero(shares >= LEAST).tolist():
                    yield (
                        cell_text(plain_text(view.name)),
                        match.rank,
                        f"{match.label:.6g}",
                        patch,
                        places[patch],
                        partner,
                        places[partner],
                        f"{shares[partner]:.6g}",
                        f"{matched.cost[patch, partner]:.6g}",
                        f"{adds[patch, partner]:.6g}",
                        f"{pull[patch]:.6g}",
                        regions[patch],
                        regions[partner],
                        *tissues[patch],
                    )
