"""Tests of `expert.evidence.wording`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from expert.evidence.patch_evidence import Band, Evidence
from expert.evidence.wording import (
    difference_text,
    groups,
    partner_text,
    region_text,
    signed,
    summary,
    tissue_text,
)
from expert.imaging.region_atlas import PatchRegions

NAMES = (
    "left lateral ventricle",
    "right lateral ventricle",
    "left parietal cortex",
    "right frontal white matter",
    "left caudate",
    "left parietal white matter",
)
FLUID = (0.31, 0.40, 0.29)
USUAL, OLD = (0.14, 0.46, 0.40), (0.29, 0.40, 0.31)


def evidence(explanation, patches, label="age", reference=44.0):
    """Evidence with these patches of the first view: region, contribution, tissues."""
    count, views = len(explanation.views[0].mass), len(explanation.views)
    contributions = np.zeros((views, count))
    fractions = np.tile(np.array(USUAL), (views, count, 1))
    regions = np.zeros((count, len(NAMES)))
    for patch, (name, value, own) in enumerate(patches):
        contributions[0, patch], regions[patch, NAMES.index(name)] = value, 1.0
        if own is not None:
            fractions[0, patch] = own
    usual = tuple(np.tile(np.array(u), (views, count, 1)) for u in (USUAL, OLD))
    return Evidence(
        # A radius beyond all distances: no prototype is cut off.
        explanation.model_copy(update={"label_name": label, "radius": 1e6}),
        contributions,
        reference,
        (PatchRegions(regions, NAMES),) * views,
        fractions,
        usual,
        (Band(40, 45), Band(70, 75)),
    )


OLDER = (
    ("left lateral ventricle", 2.0, FLUID),
    ("left lateral ventricle", 0.3, FLUID),
    ("right lateral ventricle", 1.8, FLUID),
    ("left parietal cortex", 1.2, (0.14, 0.40, 0.46)),
    ("right frontal white matter", -0.8, (0.10, 0.44, 0.46)),
)


def test_the_sentence_adds_the_contributions_up(explanation):
    found = evidence(explanation, OLDER)
    # People of 70 to 75 have less grey matter than those of 40 to 45, and more fluid.
    assert summary(found) == (
        "Older than 44 (mean of the prototypes), mostly for more fluid in both lateral ventricles "
        "(+4.1 years) and less grey matter in the left parietal lobe (+1.2); more white matter in "
        "the right frontal lobe (−0.8) points to younger."
    )
    assert sum(group.value for group in groups(found)) == pytest.approx(4.5)
    assert summary(found) == summary(evidence(explanation, OLDER))


def test_prototypes_that_are_cut_off_are_not_part_of_the_mean(explanation):
    found = evidence(explanation, OLDER)
    found = replace(found, explanation=explanation.model_copy(update={"label_name": "age"}))
    assert summary(found).startswith("Older than 44 (mean of the prototypes in the radius), ")


def test_the_other_direction(explanation):
    mirrored = [(name, -value, own) for name, value, own in OLDER]
    text = summary(evidence(explanation, mirrored))
    assert text.startswith("Younger than 44 (mean of the prototypes), mostly for mixed ")
    assert "both lateral ventricles (−4.1 years)" in text
    assert "in the right frontal lobe (+0.8) points to older" in text
    unknown = replace(evidence(explanation, mirrored), fractions=None, usual=())
    assert "mostly for both lateral ventricles (−4.1 years)" in summary(unknown)
    # More fluid is no reason for a lower prediction, and is not given as one.
    assert "fluid" not in text


def test_sides_are_joined_only_where_they_are_comparable(explanation):
    uneven = [("left lateral ventricle", 3.0, FLUID), ("right lateral ventricle", 0.6, FLUID)]
    text = summary(evidence(explanation, uneven))
    assert "more fluid in the left lateral ventricle (+3.0 years)" in text
    assert "(+3.0 years) and in the right lateral ventricle (+0.6)" in text  # "more fluid" once
    opposed = [("left lateral ventricle", 3.0, FLUID), ("right lateral ventricle", -2.0, None)]
    assert "both" not in summary(evidence(explanation, opposed))


def test_an_area_is_named_once_with_its_sum(explanation):
    less_grey, more_white = (0.14, 0.40, 0.46), (0.10, 0.44, 0.46)
    patches = [
        ("left parietal cortex", 5.0, less_grey),
        ("left parietal cortex", 1.0, None),
        ("left parietal white matter", -4.0, more_white),
        ("left caudate", -1.0, None),
    ]
    found = evidence(explanation, patches)
    assert [(group.area, round(group.value, 9)) for group in groups(found)] == [
        ("parietal lobe", 2.0),
        ("basal ganglia and thalamus", -1.0),
    ]
    text = summary(found)
    assert "mostly for less grey matter in the left parietal lobe (+2.0 years)" in text
    assert text.count("parietal") == 1


def test_contributions_that_cancel_are_said(explanation):
    patches = [("left parietal cortex", 21.0, None), ("left caudate", -20.0, None)]
    text = summary(evidence(explanation, patches))
    assert text.endswith(" The patches disagree: +21 and −20 years nearly cancel.")
    one_sided = [("left parietal cortex", 21.0, None), ("left caudate", -10.0, None)]
    assert "disagree" not in summary(evidence(explanation, one_sided))


def test_what_is_left_over_is_said(explanation):
    many = [("left parietal cortex", 4.0, None), *[("left caudate", 0.3, None)]]
    text = summary(evidence(explanation, many))
    assert text.endswith("in the left parietal lobe (+4.0 years); everything else together +0.3.")


def test_few_and_small_contributions_do_not_stand_out(explanation):
    small = [("left parietal cortex", 0.1, None), ("left caudate", -0.1, None)]
    assert summary(evidence(explanation, small)) == (
        "Close to 44 (mean of the prototypes); no region stands out."
    )
    balanced = [("left parietal cortex", 2.0, None), ("left caudate", -2.1, None)]
    assert summary(evidence(explanation, balanced)) == (
        "Close to 44 (mean of the prototypes): mixed differences in the left basal ganglia and "
        "thalamus (−2.1 years) point to younger; mixed differences in the left parietal lobe "
        "(+2.0) point to older."
    )
    spread = evidence(explanation, [])
    spread.contributions[0, :] = 0.05
    assert summary(spread) == ""


def test_patches_outside_all_regions_are_part_of_the_rest(explanation):
    found = evidence(explanation, [("left parietal cortex", 3.0, None)])
    found.contributions[1, 20] = -1.0
    assert summary(found).endswith("(+3.0 years); everything else together −1.0.")


def test_without_regions_there_is_no_sentence(explanation):
    assert summary(replace(evidence(explanation, OLDER), regions=())) == ""


def test_other_labels_are_higher_or_lower(explanation):
    text = summary(evidence(explanation, OLDER, label="volume"))
    assert text.startswith("Higher than 44")
    assert "points to lower" in text


def test_a_patch_in_numbers(explanation):
    found = evidence(explanation, OLDER)
    assert tissue_text(found, 0, 0) == (
        "fluid 31 % (people of 40–45: 14 %; of 70–75: 29 %), grey matter 40 % (40–45: 46 %; 70–75: "
        "40 %), white matter 29 % (40–45: 40 %; 70–75: 31 %)"
    )
    assert difference_text(found, 0, 0) == "more fluid: 31 % vs 14 %"
    assert difference_text(found, 0, 9) == "as at 40–45"
    assert region_text(found, 0, 0) == "left lateral ventricle"
    plain = replace(found, fractions=None, usual=(), regions=())
    assert tissue_text(plain, 0, 0) == difference_text(plain, 0, 0) == ""
    assert "R" in region_text(plain, 0, 0) or "L" in region_text(plain, 0, 0)


def test_partners_are_places(explanation):
    found, grid = Evidence.of(explanation), explanation.grid
    assert partner_text(found, 0, 7, 7) == "same place"
    there = int(np.ravel_multi_index((3, 2), grid))
    text = partner_text(found, 2, there, there - grid[1])
    assert text.endswith("32 mm P")
    regions = found.region_names(2, there), found.region_names(2, there - grid[1])
    assert (regions[1][0] in text) == (regions[0][0] != regions[1][0])
    plain = explanation.model_copy(update={"registration": None})
    assert partner_text(Evidence.of(plain), 0, 0, 1) == "row 1, column 2"


def test_verbs_agree_with_both_sides_where_no_tissue_is_named(explanation):
    less = (0.08, 0.50, 0.42)
    sides = [(f"{side} lateral ventricle", -0.6, less) for side in ("left", "right")]
    older = [("left parietal cortex", 4.0, (0.14, 0.40, 0.46))]
    found = evidence(explanation, [*older, *sides])
    assert "less fluid in both lateral ventricles (−1.2) points to younger" in summary(found)
    unknown = replace(found, fractions=None, usual=())
    assert "both lateral ventricles (−1.2) point to younger" in summary(unknown)


def test_zero_has_no_minus():
    assert signed(-0.04) == signed(0.0) == "+0.0"
    assert signed(-0.06) == "−0.1"
