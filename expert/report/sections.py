"""Sections of a report that show the explanation.

Prediction, prototypes, contributions, planes and matches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from expert import attribution
from expert.attribution import effective_prototypes
from expert.patches import (
    CONVENTION,
    FAINT,
    Pair,
    Plane,
    foreground,
    is_head,
    pairs,
    patch_location_text,
    patches_in_plane,
    planes,
    sharpness,
    spread,
)
from expert.report.document import Block, Cell, Figure, Figures, Paragraph, Section, table
from expert.report.drawings import (
    color_of,
    decimals,
    negligible,
    prototype_plot,
    side_by_side,
    signed_map,
    strongest,
)

if TYPE_CHECKING:
    from expert.explanation import Explanation, PrototypeMatch

LISTED = 4
"""Patches listed in each direction under a signed map."""
SURROUNDINGS = {
    True: "The features of a patch depend on the grey values in its box only.",
    False: "The features of a patch also depend on the area around its box.",
    None: "The features of a patch may also depend on the area around its box.",
}
"""By `Explanation.confined`."""


def lead_text(e: Explanation, source: str | None) -> str:
    """What is predicted, by which model and from which prototypes, in a sentence."""
    mean = "the label of one prototype, which is a training image"
    if e.shares.max() < 1 - 1e-9:
        number = int(effective_prototypes(e.shares[None]))
        have = "has" if number == 1 else "have"
        mean = (
            f"the weighted mean of the prototypes' labels, each a training image; {number} of "
            f"them {have} 80 % of the weight"
        )
    image = "" if source is None else f" of {source}"
    return (
        f"Predicted {e.label_name}{image}, by the model {e.model_name} {e.model_version}: {mean}."
    )


def _place(plane: Plane) -> str:
    """Which plane is drawn, in brackets; nothing for a plain image."""
    return "" if plane.position_mm is None else f" ({plane.name})"


def prediction_section(e: Explanation) -> Section:
    """The prototypes on the label axis and as a table."""
    held = sum(match.share for match in e.prototypes)
    band = "" if e.interval is None else f"; band: {100 * e.interval.level:.0f} % interval"
    caption = f"Ticks: all {len(e.labels)} prototypes; stems: their weight; line: prediction{band}"
    rows: list[tuple[str | Cell, ...]] = [
        (
            f"#{match.rank}",
            f"{match.label:.1f}",
            "unknown" if match.source_label is None else f"{match.source_label:.1f}",
            f"{100 * match.share:.1f} %",
            f"{match.distance:.2f}",
            "–" if match.position_mm is None else f"z = {match.position_mm:+.0f} mm",
        )
        for match in e.prototypes
    ]
    unit = f"({e.unit})"
    headings: tuple[str, ...] = (
        "rank",
        f">label {unit}",
        f">label of its image {unit}",
        ">weight",
        f">distance {unit}",
        ">its plane",
    )
    if all(match.position_mm is None for match in e.prototypes):
        headings, rows = headings[:-1], [row[:-1] for row in rows]
    note = (
        f"The {len(e.prototypes)} prototypes shown have {100 * held:.0f} % of the weight. "
        if len(e.prototypes) > 1
        else ""
    )
    number = e.prototypes_in_radius
    within = (
        f"{number} of {len(e.labels)} prototypes {'is' if number == 1 else 'are'} within the "
        f"radius of {e.radius:g} {e.unit}; the distance to the nearest is "
        f"{e.nearest_distance:.1f} {e.unit}."
    )
    if not e.prototypes_in_radius and not e.fallback:
        within += " This model does not need one there: it weights relative to the nearest."
    plot = Figures(1, (Figure(caption, prototype_plot(e)),))
    return Section("Prediction", (plot, table(headings, rows), Paragraph(note + within)))


def prototypes_section(e: Explanation, plane: Plane, patches: list[int]) -> Section:
    """The image beside each prototype, with matched patches."""
    drawn = f" Orientation: {CONVENTION}." if is_head(e) else ""
    text = (
        f"Left: this image{_place(plane)}; right: the prototype. Boxes with the same number and "
        "colour are matched; the width of a line is the share of the patch that is matched there "
        f"(from {100 * FAINT:.0f} %). Numbered are the patches of this plane that moved the "
        f"prediction most.{drawn}"
    )
    figures = [_pair_figure(e, plane, number, patches) for number in range(len(e.prototypes))]
    blocks: list[Block] = [Paragraph(text), Figures(1, tuple(figures[:1]))]
    if figures[1:]:
        blocks.append(Figures(2, tuple(figures[1:])))
    blocks.append(Paragraph(f"{_sharpness(e, plane)} {SURROUNDINGS[e.confined]}"))
    return Section("Most similar prototypes", tuple(blocks))


def _pair_figure(e: Explanation, plane: Plane, number: int, patches: list[int]) -> Figure:
    match = e.prototypes[number]
    caption = (
        f"#{match.rank} · {match.label:.1f} {e.unit} · weight {100 * match.share:.0f} % · "
        f"distance {match.distance:.1f}"
    )
    if abs(match.label - match.own_label) >= 0.05:
        caption += f" · label of its image {match.own_label:.1f}"
    if match.average is not None:
        caption += f" · {match.average.text}"
    visible = patches_in_plane(e, plane)
    away = [
        str(pair.number)
        for pair in pairs(e, plane.view, number, patches)
        if pair.target not in visible
    ]
    note = f"Matched mostly to another slice: {', '.join(away)} (see the table)." if away else ""
    return Figure(caption, side_by_side(e, plane, number, patches), note)


def _sharpness(e: Explanation, plane: Plane) -> str:
    """How sharp the matching is, in a sentence."""
    inside = np.flatnonzero(foreground(e, plane.view)).tolist()
    each = [
        spread(match.views[plane.view].matches(patch)) for match in e.prototypes for patch in inside
    ]
    over = f", and a patch is spread over {np.mean(each):.1f} patches" if each else ""
    return (
        f"On average {100 * sharpness(e, plane.view):.0f} % of a patch is matched to its best "
        f"match{over}."
    )


def attribution_section(e: Explanation, plane: Plane) -> Section:
    """Signed maps of the patches: for the prediction, for a prototype, for one against another."""
    view, first = e.views[plane.view], e.prototypes[0]
    noun = "plane" if plane.slice is None and is_head(e) else "image"
    texts, figures, columns = [], [], []
    if e.fallback if e.together else view.fallback:
        texts.append(
            f"In this {noun} no prototype is within the radius: the prediction is the label of "
            "the nearest one, and no patch contributes."
        )
    else:
        texts.append(
            f"Contribution to the prediction: how far the patch moves the prediction "
            f"({e.prediction:.1f} {e.unit}) away from {attribution.reference(e):.1f} {e.unit}, the "
            f"prediction if all {attribution.reference_text(e)} were equally far. Over all "
            f"patches{' and planes' if len(e.views) > 1 else ''}, the values sum to the "
            "difference. Orange patches increase the prediction, blue ones decrease it."
        )
        contribution = attribution.for_prediction(e, plane.view)
        caption = f"Contribution to {e.prediction:.1f} {e.unit}"
        figures.append(
            Figure(caption, signed_map(e, plane, contribution, ("decrease", "increase")))
        )
        columns += _strongest(e, plane, contribution, ("increases", "decreases"))
    texts.append(
        f"Similarity to #{first.rank}: orange patches are more similar to #{first.rank} than this "
        "image is on average, blue ones less similar; they sum to 0."
    )
    similarity = attribution.for_prototype(e, plane.view, first.index)
    figures.append(
        Figure(
            f"Similarity to #{first.rank}, {first.label:.1f}",
            signed_map(e, plane, similarity, ("less", "more")),
        )
    )
    ends = (f"more similar to #{first.rank}", f"less similar to #{first.rank}")
    columns += _strongest(e, plane, similarity, ends)
    if len(e.prototypes) > 1:
        second = e.prototypes[1]
        question = f"Why {first.label:.1f} and not {second.label:.1f}?"
        between = attribution.between(e, plane.view, first.index, second.index)
        gap = float(between.sum())
        texts.append(
            f"{question} Orange patches are closer to #{first.rank}, blue ones to "
            f"#{second.rank}. They sum exactly to the difference of the two distances: this "
            f"{noun} is {abs(gap):.2f} {e.unit} closer to "
            f"#{first.rank if gap >= 0 else second.rank}."
        )
        figures.append(
            Figure(question, signed_map(e, plane, between, (f"#{second.rank}", f"#{first.rank}")))
        )
        ends = (
            f"closer to #{first.rank} than #{second.rank}",
            f"closer to #{second.rank} than #{first.rank}",
        )
        columns += _strongest(e, plane, between, ends)
    depth = max(len(texts) for _, texts in columns)
    rows: list[tuple[str | Cell, ...]] = [
        tuple(texts[n] if n < len(texts) else "" for _, texts in columns) for n in range(depth)
    ]
    headings = tuple(heading for heading, _ in columns)
    return Section(
        f"Contributions of the patches{_place(plane)}",
        (
            *(Paragraph(text) for text in texts),
            Figures(3, tuple(figures)),
            table(headings, rows),
        ),
    )


def _strongest(
    e: Explanation, plane: Plane, values: np.ndarray, ends: tuple[str, str]
) -> list[tuple[str, list[str]]]:
    """Column of the strongest patches for either direction, of the whole view.

    In 3D, patches of other slices are listed, too.
    """
    digits, columns = decimals(max(float(np.abs(values).max()), negligible(e))), []
    for heading, sign in zip(ends, (1, -1), strict=True):
        texts = []
        for patch in strongest(e, values, sign)[:LISTED]:
            place = patch_location_text(e, plane.view, patch).replace(" ", "\N{NO-BREAK SPACE}")
            texts.append(f"{values[patch]:+.{digits}f} {place}".replace("-", "–"))
        columns.append((heading, texts or ["none"]))
    return columns


def planes_section(e: Explanation) -> Section | None:
    """Every 2D view with its own prediction and contributions; None if there is only one."""
    drawn = [plane for plane in planes(e) if plane.slice is None]
    if len(drawn) < 2:
        return None
    contributions = [attribution.for_prediction(e, plane.view) for plane in drawn]
    limit = max(float(np.abs(contribution).max()) for contribution in contributions)
    figures = []
    for plane, contribution in zip(drawn, contributions, strict=True):
        view = e.views[plane.view]
        drawing = signed_map(e, plane, contribution, ("decrease", "increase"), limit=limit, named=0)
        note = (
            "no prototype within the radius: label of the nearest one"
            if view.fallback and not e.together
            else ""
        )
        figures.append(Figure(f"{plane.name}: {view.prediction:.1f}", drawing, note))
    how = (
        f"The prediction is the mean over {len(drawn)} planes, each explained separately; their "
        "predictions"
    )
    if e.together:
        how = (
            f"The prediction follows from each prototype's mean distance over {len(drawn)} planes. "
            "The number beside each plane is the prediction from that plane alone; these "
            "predictions"
        )
    text = (
        f"{how} differ by up to {e.spread:.1f} {e.unit}. Colours: contribution to the "
        f"prediction (orange: increase, blue: decrease), on one scale with the strongest at "
        f"{limit:.{decimals(limit)}f} {e.unit}."
    )
    return Section("Plane by plane", (Paragraph(text), Figures(5, tuple(figures))))


def matches_section(e: Explanation, plane: Plane, patches: list[int]) -> Section:
    """The numbered patches and their best matches as a table."""
    visible = patches_in_plane(e, plane)
    found = [
        (match, pair)
        for n, match in enumerate(e.prototypes)
        for pair in pairs(e, plane.view, n, patches)
    ]
    found.sort(key=lambda each: (each[1].number, each[0].rank))

    def row(match: PrototypeMatch, pair: Pair) -> tuple[str | Cell, ...]:
        there = patch_location_text(e, plane.view, pair.target)
        return (
            Cell(str(pair.number), color=color_of(pair.number)),
            patch_location_text(e, plane.view, pair.source),
            f"#{match.rank}",
            there if pair.target in visible else f"{there} (another slice)",
            f"{100 * pair.share:.0f} %",
            f"{pair.spread:.1f}",
            f"{pair.cost:.3f}",
            f"{pair.contribution:.2f}",
        )

    where = ""
    if is_head(e):
        where = (
            "Positions are the patches' centres in mm from the anterior commissure (R right, "
            "L left, A anterior, P posterior). "
        )
    if e.head_size is not None:
        where = (
            "Places are named as the head is drawn, upright in the frame of its ellipse; which end "
            "is the front, and which side the left one, is not known. "
        )
    text = (
        f"{where}Share: the part of the patch that is matched to its best match; spread: the "
        "number of patches it is spread over; cost: the dissimilarity of the two patches; "
        "contribution: what the patch adds to the distance from the prototype."
    )
    headings = (
        "patch",
        "in this image",
        "prototype",
        "matched to",
        ">share",
        ">spread",
        ">cost",
        f">contribution ({e.unit})",
    )
    return Section(
        f"Matched patches{_place(plane)}",
        (Paragraph(text), table(headings, [row(*each) for each in found])),
    )
