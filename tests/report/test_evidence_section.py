"""Tests of `expert.report.evidence_section`."""

from __future__ import annotations

import numpy as np
from helpers.reports import both_reports

from expert.evidence.patch_evidence import Evidence
from expert.evidence.tissue_norms import TissueNorms
from expert.evidence.wording import signed, summary
from expert.report.document import Table
from expert.report.evidence_section import LISTED, evidence_section


def rows(section) -> list[list[str]]:
    table = next(block for block in section.blocks if isinstance(block, Table))
    return [[cell.text for cell in row] for row in table.rows]


def test_the_strongest_patches_are_listed_by_region(explanation):
    evidence = Evidence.of(explanation)
    section = evidence_section(evidence)
    found = rows(section)
    assert len(found) == LISTED
    strongest = evidence.strongest(LISTED)
    view, patch = strongest[0]
    assert found[0][0] == ", ".join(evidence.region_names(view, patch))
    assert found[0][1] == explanation.views[view].name
    assert [row[4] for row in found] == [signed(evidence.contributions[p], 2) for p in strongest]
    assert f"minus {evidence.reference:.1f} years" in section.blocks[0].text


def test_tissues_are_compared_with_people_where_the_model_has_curves(explanation, tmp_path):
    mean = np.tile([0.1, 0.5, 0.4], (2, len(explanation.views), len(explanation.views[0].mass), 1))
    norms = TissueNorms(np.array([20.0, 80.0]), mean, 0 * mean)
    e = explanation.model_copy(update={"norms": norms.tensors})
    section = evidence_section(Evidence.of(e))
    assert any(" vs " in row[-1] for row in rows(section))
    assert "people of" in section.blocks[-1].text
    for text in both_reports(e, tmp_path):
        assert "what differs" in text
        assert summary(Evidence.of(e)) in text


def test_plain_images_have_positions_and_a_fallback_no_section(explanation):
    plain = explanation.model_copy(update={"registration": None})
    section = evidence_section(Evidence.of(plain))
    assert rows(section)[0][0].startswith("row ")
    assert "average brain" not in section.blocks[0].text
    views = tuple(view.model_copy(update={"fallback": True}) for view in explanation.views)
    nearest = explanation.model_copy(update={"views": views, "fallback": True})
    assert evidence_section(Evidence.of(nearest)) is None
