"""The evidence in words: tissues of a patch, where its match is, and a summary of a prediction.

The rules of the summary are in docs/method.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from expert.attribution import reference_text
from expert.evidence.patch_evidence import Evidence
from expert.evidence.tissue_norms import TISSUES
from expert.imaging.region_atlas import PatchRegions, base_name
from expert.patches import is_head, patch_location_text

LISTED, AGAINST = 3, 2
"""Most groups in the summary that contribute in the direction of the prediction, and against it."""
STANDS_OUT = 0.1
"""A group is listed if it has this fraction of all contributions in its direction …"""
FLOOR = 0.005
"""… and at least this fraction of the range of the labels."""
DISAGREEING, CANCELLING = 0.2, 0.2
"""Patches disagree if the sum of their contributions is at most this fraction of the sum of their
absolute values, and the latter at least this fraction of the range of the labels."""
CLOSE = 0.01
"""A prediction is called close to the reference within this fraction of the range."""
COMPARABLE = 1 / 3
"""Left and right are joined if the smaller contribution is at least this part of the larger."""
HOLLOW = 0.05
"""Fluid is in a ventricle if the ventricle has at least this fraction of the labelled part."""
LEADING = 1 / 3
"""A tissue is named for a group if it differs in patches with this fraction of its contribution."""
MIXED = "mixed differences"
"""Where no tissue is named for a group."""
AREAS = {
    "frontal cortex": "frontal lobe",
    "orbitofrontal cortex": "frontal lobe",
    "frontal white matter": "frontal lobe",
    "parietal cortex": "parietal lobe",
    "parietal white matter": "parietal lobe",
    "occipital cortex": "occipital lobe",
    "occipital white matter": "occipital lobe",
    "temporal cortex": "temporal lobe",
    "medial temporal cortex": "temporal lobe",
    "hippocampus": "temporal lobe",
    "amygdala": "temporal lobe",
    "temporal white matter": "temporal lobe",
    "caudate": "basal ganglia and thalamus",
    "putamen": "basal ganglia and thalamus",
    "pallidum": "basal ganglia and thalamus",
    "nucleus accumbens": "basal ganglia and thalamus",
    "basal forebrain": "basal ganglia and thalamus",
    "thalamus": "basal ganglia and thalamus",
    "ventral diencephalon": "basal ganglia and thalamus",
    "corpus callosum": "deep white matter",
    "internal capsule": "deep white matter",
    "fornix": "deep white matter",
    "cerebellar cortex": "cerebellum",
    "cerebellar white matter": "cerebellum",
}
"""Regions that are one area in the summary; all others are areas of their own."""


def percent(fraction: float) -> str:
    """A fraction as "31 %"."""
    return f"{100 * fraction:.0f} %"


def signed(value: float, digits: int = 1) -> str:
    """A number with its sign: "+4.1", "−0.8"."""
    return f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", "−")  # no "−0.0"


def tissue_text(evidence: Evidence, view: int, patch: int) -> str:
    """Fractions of a patch, and of people of two bands of labels.

    Parameters
    ----------
    evidence : Evidence
    view, patch : int
        0-based.

    Returns
    -------
    str
        "fluid 31 % (people of 40–45: 14 %; of 70–75: 29 %), grey matter …"; empty without
        normative curves, and where a patch has none.
    """
    if evidence.fractions is None:
        return ""
    own = evidence.fractions[view, patch]
    if not np.isfinite(own).all():
        return ""
    first, second = evidence.bands
    parts = []
    for n, tissue in enumerate(TISSUES):
        one, two = (float(usual[view, patch, n]) for usual in evidence.usual)
        if not np.isfinite([one, two]).all():
            return ""
        people = "people of " if n == 0 else ""
        parts.append(
            f"{tissue} {percent(own[n])} ({people}{first.text}: {percent(one)}; "
            f"{'of ' if n == 0 else ''}{second.text}: {percent(two)})"
        )
    return ", ".join(parts)


def difference_text(evidence: Evidence, view: int, patch: int) -> str:
    """The tissue that differs most from people around the reference.

    Parameters
    ----------
    evidence : Evidence
    view, patch : int
        0-based.

    Returns
    -------
    str
        "more fluid: 31 % vs 14 %"; empty without normative curves.
    """
    found = evidence.difference(view, patch)
    if found is None:
        known = tissue_text(evidence, view, patch)
        return f"as at {evidence.bands[0].text}" if known else ""
    word = "more" if found.more else "less"
    return f"{word} {TISSUES[found.tissue]}: {percent(found.own)} vs {percent(found.usual)}"


def region_text(evidence: Evidence, view: int, patch: int) -> str:
    """Names of the regions of a patch, or its position if it has none."""
    names = evidence.region_names(view, patch)
    return ", ".join(names) or patch_location_text(evidence.explanation, view, patch)


def partner_text(evidence: Evidence, view: int, source: int, target: int) -> str:
    """Where the match of a patch is: "same place", "16 mm P", "left putamen, 16 mm L".

    Parameters
    ----------
    evidence : Evidence
    view, source, target : int
        0-based patches of the image and of a prototype.

    Returns
    -------
    str
        The region, where it differs from that of the patch, and the distance with its direction
        (R, L, A, P, S, I); for plain images the row and column.
    """
    if source == target:
        return "same place"
    if not is_head(evidence.explanation):
        return patch_location_text(evidence.explanation, view, target)
    step = evidence.moved(view, source, target)
    letters = "".join(
        pair[0] if value > 0 else pair[1]
        for pair, value in zip(("RL", "AP", "SI"), step, strict=True)
        if abs(value) > 0.1
    )
    distance = f"{float(np.linalg.norm(step)):.0f} mm {letters}"
    here, there = evidence.region_names(view, source), evidence.region_names(view, target)
    if there and here[:1] != there[:1]:
        return f"{there[0]}, {distance}"
    return distance


# --- summary --------------------------------------------------------------------------------------
Kinds = dict[tuple[tuple[int, bool] | None, bool], float]
"""Sum of contributions by what differs, and whether they are positive."""


@dataclass(frozen=True)
class Group:
    """The patches of one area, on one side or on both."""

    area: str
    """Without its side, such as "frontal lobe"."""
    side: str
    """ "left", "right", "both" or "" for an area in the middle."""
    differs: tuple[int, bool] | None
    """What differs in much of it: index into `TISSUES`, and whether there is more of it."""
    value: float
    """Sum of the contributions of the patches, of both signs, label units."""
    known: bool = True
    """Whether the model has tissue curves."""

    @property
    def what(self) -> str:
        """As "more fluid"; empty if tissues are not known."""
        if self.differs is None:
            return MIXED if self.known else ""
        return f"{'more' if self.differs[1] else 'less'} {TISSUES[self.differs[0]]}"

    @property
    def where(self) -> str:
        """As "in both lateral ventricles"; without the preposition if tissues are not known."""
        place = f"the {self.side} {self.area}".replace("  ", " ")
        if self.side == "both":
            paired = self.area.endswith(("ventricle", "lobe"))
            place = f"both {self.area}s" if paired else f"the {self.area} on both sides"
        if not self.known:
            return place
        fluid = self.differs is not None and TISSUES[self.differs[0]] == "fluid"
        outside = fluid and not self.area.endswith("ventricle")
        return f"{'around' if outside else 'in'} {place}"

    @property
    def text(self) -> str:
        """As "more fluid in both lateral ventricles"."""
        return f"{self.what} {self.where}".strip()


def groups(evidence: Evidence) -> list[Group]:
    """Contributions summed over the patches of an area, of both signs.

    Every patch with a region is in exactly one group. Left and right are joined where both
    contribute in the same direction and the smaller is at least a third of the larger. What
    differs is taken from the patches that contribute in the direction of the sum.

    Parameters
    ----------
    evidence : Evidence

    Returns
    -------
    list of Group
        The largest absolute contribution first; empty without regions.
    """
    if not evidence.regions:
        return []
    found: dict[str, dict[str, Kinds]] = {}
    for view, patch in evidence.strongest(evidence.contributions.size):
        value = float(evidence.contributions[view, patch])
        differs = evidence.fitting_difference(view, patch)
        kind = None if differs is None else (differs.tissue, differs.more)
        place = _area_of(evidence.regions[view], patch, kind)
        if place is not None:
            kinds = found.setdefault(place[1], {}).setdefault(place[0], {})
            key = (kind, value > 0)
            kinds[key] = kinds.get(key, 0.0) + value
    out = []
    for area, sides in found.items():
        left, right = (sum(sides.get(side, {}).values()) for side in ("left", "right"))
        pair = (abs(left), abs(right))
        if left * right > 0 and min(pair) >= COMPARABLE * max(pair):
            one, other = sides.pop("left"), sides.pop("right")
            sides["both"] = {key: one.get(key, 0) + other.get(key, 0) for key in {**one, **other}}
        out += [
            Group(
                area,
                side,
                _leading(kinds),
                sum(kinds.values()),
                evidence.fractions is not None,
            )
            for side, kinds in sides.items()
        ]
    return sorted(out, key=lambda group: (-abs(group.value), group.text))


def _leading(kinds: Kinds) -> tuple[int, bool] | None:
    """What differs in most of a group, if it is a third of what is in the group's direction."""
    up = sum(kinds.values()) > 0
    along = {kind: abs(value) for (kind, positive), value in kinds.items() if positive == up}
    named = {kind: value for kind, value in along.items() if kind is not None}
    best = max(named, key=lambda kind: (named[kind], kind), default=None)
    return best if best is not None and named[best] >= LEADING * sum(along.values()) else None


def _area_of(
    regions: PatchRegions, patch: int, differs: tuple[int, bool] | None
) -> tuple[str, str] | None:
    """Side and area that fill most of a patch; a ventricle where fluid differs and it is there."""
    row = regions.fractions[patch]
    if not regions.indices(patch):
        return None
    parts: dict[tuple[str, str], float] = {}
    for n in np.flatnonzero(row):
        side, base = base_name(regions.names[n])
        place = (side, AREAS.get(base, base))
        parts[place] = parts.get(place, 0.0) + float(row[n])
    if differs is not None and TISSUES[differs[0]] == "fluid":
        hollow = {place: part for place, part in parts.items() if place[1].endswith("ventricle")}
        if hollow and max(hollow.values()) >= HOLLOW * row.sum():
            parts = hollow
    return max(parts, key=lambda place: parts[place])


def summary(evidence: Evidence) -> str:
    """What moved the prediction away from the mean of the prototypes, in one sentence.

    Parameters
    ----------
    evidence : Evidence

    Returns
    -------
    str
        "Older than 44 (mean of the prototypes), mostly for more fluid in both lateral ventricles
        (+4.1 years) and less grey matter in the left parietal cortex (+1.2); more white matter in
        the right frontal lobe points to younger (−0.8), everything else together +2.3." The size of
        a fetal head, on which its prediction depends. Empty for other images without regions, and
        where no patch contributes.
    """
    e, found = evidence.explanation, groups(evidence)
    if e.head_size is not None:
        return f"{e.head_size.text} The prediction depends mainly on it."
    if not found:
        return ""
    span = float(np.ptp(e.labels))
    total = float(evidence.contributions.sum())
    higher, lower = ("older", "younger") if "age" in e.label_name.lower() else ("higher", "lower")
    sign = 1 if total >= 0 else -1
    along, against = (
        [group for group in found if group.value * direction > 0] for direction in (sign, -sign)
    )
    along, against = _standing_out(along, span)[:LISTED], _standing_out(against, span)[:AGAINST]
    start = f"{evidence.reference:.0f} (mean of the {reference_text(e)})"
    if abs(total) < CLOSE * span:
        lead = f"Close to {start}"
        words = [
            _listed(side, e.unit if n == 0 else "") + f" {_verb(side)} to {word}"
            for n, (side, word) in enumerate(
                ((along, higher if sign > 0 else lower), (against, lower if sign > 0 else higher))
            )
            if side
        ]
        text = f"{lead}: {'; '.join(words)}" if words else f"{lead}; no region stands out"
        return text + "." + _cancelling(evidence)
    lead = f"{(higher if sign > 0 else lower).capitalize()} than {start}"
    if not along:
        text = f"{lead} by {abs(total):.1f} {e.unit}; no region stands out"
    else:
        text = f"{lead}, mostly for {_listed(along, e.unit)}"
    if against:
        text += f"; {_listed(against, '')} {_verb(against)} to {lower if sign > 0 else higher}"
    rest = total - sum(group.value for group in (*along, *against))
    if along and abs(rest) >= 0.05:
        text += f"; everything else together {signed(rest)}"
    return text + "." + _cancelling(evidence)


def _cancelling(evidence: Evidence) -> str:
    """A sentence where the contributions of the patches nearly cancel; else empty."""
    values = evidence.contributions
    span = float(np.ptp(evidence.explanation.labels))
    up, down = float(values[values > 0].sum()), float(values[values < 0].sum())
    if up - down < CANCELLING * span or abs(up + down) > DISAGREEING * (up - down):
        return ""
    unit = evidence.explanation.unit
    return f" The patches disagree: {signed(up, 0)} and {signed(down, 0)} {unit} nearly cancel."


def _standing_out(found: list[Group], span: float) -> list[Group]:
    every = sum(abs(group.value) for group in found)
    return [group for group in found if abs(group.value) >= max(FLOOR * span, STANDS_OUT * every)]


def _verb(found: list[Group]) -> str:
    several = len(found) > 1 or found[0].what == MIXED
    both = not found[0].known and found[0].side == "both"  # "both frontal lobes", without a tissue
    return "point" if several or both else "points"


def _listed(found: list[Group], unit: str) -> str:
    """Groups as "more fluid in A (+4.1 years), in B (+1.2) and C (+0.9)".

    The unit is given once, and so is a tissue that differs in consecutive groups.
    """
    parts = []
    for n, group in enumerate(found):
        again = n > 0 and group.what and group.what == found[n - 1].what
        value = f"{signed(group.value)}{f' {unit}' if unit and n == 0 else ''}"
        parts.append(f"{group.where if again else group.text} ({value})")
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]
