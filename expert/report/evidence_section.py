"""Section of a report with the patches that moved the prediction: regions, tissues, matches."""

from __future__ import annotations

from expert.attribution import reference_text
from expert.evidence.patch_evidence import Evidence
from expert.evidence.wording import (
    difference_text,
    partner_text,
    region_text,
    signed,
    tissue_text,
)
from expert.report.document import Block, Cell, Paragraph, Section, table

LISTED, DESCRIBED = 12, 3
"""Patches in the table, and how many of them are described in a sentence."""


def evidence_section(evidence: Evidence) -> Section | None:
    """The patches with the largest contributions of the whole image, as a table.

    Parameters
    ----------
    evidence : Evidence
        Of the explained image.

    Returns
    -------
    Section or None
        None where no patch contributes.
    """
    e = evidence.explanation
    found = evidence.strongest(LISTED)
    if not found:
        return None
    planar = len(e.views) > 1
    first = e.prototypes[0]
    rows: list[tuple[str | Cell, ...]] = []
    for view, patch in found:
        shares = first.views[view].matches(patch)
        row = [
            region_text(evidence, view, patch),
            partner_text(evidence, view, patch, int(shares.argmax())),
            f"{100 * float(shares.max()):.0f} %",
            signed(float(evidence.contributions[view, patch]), 2),
        ]
        if planar:
            row.insert(1, e.views[view].name)
        if evidence.fractions is not None:
            row.append(difference_text(evidence, view, patch))
        rows.append(tuple(row))
    headings = [
        "region" if evidence.regions else "patch",
        f"in #{first.rank}",
        ">match share",
        f">contribution ({e.unit})",
    ]
    if planar:
        headings.insert(1, "plane" if evidence.regions else "view")
    total = float(evidence.contributions.sum())
    text = (
        f"The {len(found)} patches with the largest contributions. Over all patches, the "
        f"contributions sum to {signed(total)} {e.unit}: the prediction minus "
        f"{evidence.reference:.1f} {e.unit}, the prediction if all "
        f"{reference_text(e)} were equally far."
    )
    if evidence.regions:
        text += " Regions are those of an average brain at the place of the patch."
    if evidence.fractions is not None:
        headings.append("what differs")
        text += (
            " What differs: the tissue whose fraction in the patch differs most from the mean of "
            f"training images of people of {evidence.bands[0].text} {e.unit}."
        )
    blocks: list[Block] = [Paragraph(text), table(tuple(headings), rows)]
    described = [
        f"{region_text(evidence, view, patch)}: {words}."
        for view, patch in found[:DESCRIBED]
        if (words := tissue_text(evidence, view, patch))
    ]
    if described:
        blocks.append(Paragraph(" ".join(text[:1].upper() + text[1:] for text in described)))
    return Section("Patches that moved the prediction", tuple(blocks))
