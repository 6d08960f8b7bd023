"""The sections of a report."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

import numpy as np

from expert import __version__
from expert import attribution as speaking
from expert.explanation import Explanation, PrototypeMatch
from expert.patches import (
    CONVENTION,
    FAINT,
    Pair,
    Plane,
    foreground,
    is_head,
    pairs,
    patches_in_plane,
    planes,
    sharpness,
    spread,
    whereabouts,
)
from expert.report.document import (
    Block,
    Cell,
    Drawing,
    Figure,
    Figures,
    Paragraph,
    Section,
    table,
)
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
    from expert.schema import ModelInfo

LISTED = 4
"""Patches listed in each direction under a signed map."""
METHOD = (
    "Hesse, Dinsdale, Namburete: Prototype Learning for Explainable Brain Age Prediction, WACV "
    "2024 (arXiv 2306.09858)"
)
SURROUNDINGS = "A patch's features also see what surrounds its box."


def _place(plane: Plane) -> str:
    """Which plane is drawn, in brackets; nothing for a plain image."""
    return "" if plane.position_mm is None else f" ({plane.name})"


def prediction_section(e: Explanation) -> Section:
    held = sum(match.share for match in e.prototypes)
    band = "" if e.interval is None else f"; band: {100 * e.interval.level:.0f} % interval"
    caption = f"Ticks: all {len(e.labels)} prototypes; stems: their share; line: prediction{band}"
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
        ">share",
        f">distance {unit}",
        ">its plane",
    )
    if all(match.position_mm is None for match in e.prototypes):
        headings, rows = headings[:-1], [row[:-1] for row in rows]
    note = (
        f"The {len(e.prototypes)} prototypes shown hold {100 * held:.0f} % of the weight. "
        if len(e.prototypes) > 1
        else ""
    )
    within = (
        f"{e.prototypes_in_radius} of {len(e.labels)} prototypes lie within the radius of "
        f"{e.radius:g} {e.unit}; the nearest "
        f"is {e.nearest_distance:.1f} {e.unit} away."
    )
    if not e.prototypes_in_radius and not e.fallback:
        within += " None needs to: this model weighs them relative to the nearest."
    plot = Figures(1, (Figure(caption, prototype_plot(e)),))
    return Section("The answer", (plot, table(headings, rows), Paragraph(note + within)))


def prototypes_section(e: Explanation, plane: Plane, patches: list[int]) -> Section:
    drawn = f" Drawn {CONVENTION}." if is_head(e) else ""
    text = (
        f"Left: this image{_place(plane)}; right: the prototype. Boxes of one number and "
        "colour were matched; the lines' width "
        f"is the share of the patch that went there (from {100 * FAINT:.0f} %). Numbered "
        "are the patches in which this image "
        f"is most like its prototypes.{drawn}"
    )
    figures = [_pair_figure(e, plane, number, patches) for number in range(len(e.prototypes))]
    blocks: list[Block] = [Paragraph(text), Figures(1, tuple(figures[:1]))]
    if figures[1:]:
        blocks.append(Figures(2, tuple(figures[1:])))
    blocks.append(Paragraph(f"{_sharpness(e, plane)} {SURROUNDINGS}"))
    return Section("Likened to", tuple(blocks))


def _pair_figure(e: Explanation, plane: Plane, number: int, patches: list[int]) -> Figure:
    match = e.prototypes[number]
    caption = (
        f"#{match.rank} · {match.label:.1f} {e.unit} · share {100 * match.share:.0f} % · "
        f"distance {match.distance:.1f}"
    )
    if abs(match.label - match.own_label) >= 0.05:
        caption += f" · its image's own label {match.own_label:.1f}"
    visible = patches_in_plane(e, plane)
    away = [
        str(pair.number)
        for pair in pairs(e, plane.view, number, patches)
        if pair.target not in visible
    ]
    note = f"Went mostly to another slice: {', '.join(away)} (see the table)." if away else ""
    return Figure(caption, side_by_side(e, plane, number, patches), note)


def _sharpness(e: Explanation, plane: Plane) -> str:
    """How sharp the matching is, in a sentence."""
    inside = np.flatnonzero(foreground(e, plane.view)).tolist()
    each = [
        spread(match.views[plane.view].matches(patch)) for match in e.prototypes for patch in inside
    ]
    over = f", and a patch is spread over {np.mean(each):.1f} patches" if each else ""
    return (
        f"On average {100 * sharpness(e, plane.view):.0f} % of a patch goes to its strongest "
        f"partner{over}."
    )


def attribution_section(e: Explanation, plane: Plane) -> Section:
    view, first = e.views[plane.view], e.prototypes[0]
    noun = "plane" if plane.slice is None and is_head(e) else "image"
    texts, figures, columns = [], [], []
    answer, told = (
        (e.prediction, "answer") if e.together else (view.prediction, f"prediction of this {noun}")
    )
    if e.fallback if e.together else view.fallback:
        texts.append(
            f"In this {noun} no prototype is in radius and the nearest one alone answers: "
            "no patch pulls."
        )
    else:
        texts.append(
            f"For the answer: how far the {told} ({answer:.1f} {e.unit}) would move "
            "if the patch counted twice, to first order. Orange patches pull up, blue "
            f"ones down. Values are in {e.unit}."
        )
        pull = speaking.for_answer(e, plane.view)
        figures.append(
            Figure(f"For the answer, {answer:.1f}", signed_map(e, plane, pull, ("down", "up")))
        )
        columns += _strongest(e, plane, pull, ("pulls up", "pulls down"))
    texts.append(
        f"For #{first.rank}: orange patches are more like those of #{first.rank} than this "
        "image is on the whole, blue ones "
        "less; they add up to 0."
    )
    alike = speaking.for_prototype(e, plane.view, first.index)
    figures.append(
        Figure(
            f"For #{first.rank}, {first.label:.1f}",
            signed_map(e, plane, alike, ("less alike", "more alike")),
        )
    )
    columns += _strongest(e, plane, alike, (f"more like #{first.rank}", f"less like #{first.rank}"))
    if len(e.prototypes) > 1:
        second = e.prototypes[1]
        question = f"Why {first.label:.1f} and not {second.label:.1f}?"
        between = speaking.between(e, plane.view, first.index, second.index)
        gap = float(between.sum())
        texts.append(
            f"{question} Orange patches are nearer to #{first.rank}, blue ones to "
            f"#{second.rank}. They add up, without a rest, "
            f"to the difference of the two distances: this {noun} is {abs(gap):.2f} "
            f"{e.unit} nearer to "
            f"#{first.rank if gap >= 0 else second.rank}."
        )
        figures.append(
            Figure(question, signed_map(e, plane, between, (f"#{second.rank}", f"#{first.rank}")))
        )
        ends = (f"for #{first.rank}, not #{second.rank}", f"for #{second.rank}, not #{first.rank}")
        columns += _strongest(e, plane, between, ends)
    depth = max(len(texts) for _, texts in columns)
    rows: list[tuple[str | Cell, ...]] = [
        tuple(texts[n] if n < len(texts) else "" for _, texts in columns) for n in range(depth)
    ]
    headings = tuple(heading for heading, _ in columns)
    return Section(
        f"Which patches speak{_place(plane)}",
        (
            *(Paragraph(text) for text in texts),
            Figures(3, tuple(figures)),
            table(headings, rows),
        ),
    )


def _strongest(
    e: Explanation, plane: Plane, values: np.ndarray, ends: tuple[str, str]
) -> list[tuple[str, list[str]]]:
    """A column of the strongest patches for either direction, of the whole view: in 3D, also of
    other slices."""
    digits, columns = decimals(max(float(np.abs(values).max()), negligible(e))), []
    for heading, sign in zip(ends, (1, -1), strict=True):
        texts = []
        for patch in strongest(e, values, sign)[:LISTED]:
            place = whereabouts(e, plane.view, patch).replace(" ", "\N{NO-BREAK SPACE}")
            texts.append(f"{values[patch]:+.{digits}f} {place}".replace("-", "–"))
        columns.append((heading, texts or ["none"]))
    return columns


def planes_section(e: Explanation) -> Section | None:
    """Every 2D view with its own prediction and the pull of its patches; nothing where there is
    only one."""
    drawn = [plane for plane in planes(e) if plane.slice is None]
    if len(drawn) < 2:
        return None
    pulls = [speaking.for_answer(e, plane.view) for plane in drawn]
    limit = max(float(np.abs(pull).max()) for pull in pulls)
    figures = []
    for plane, pull in zip(drawn, pulls, strict=True):
        view = e.views[plane.view]
        drawing: Drawing = signed_map(e, plane, pull, ("down", "up"), limit=limit, named=0)
        note = (
            "no prototype in radius: the nearest one answers"
            if view.fallback and not e.together
            else ""
        )
        figures.append(Figure(f"{plane.name}: {view.prediction:.1f}", drawing, note))
    how = (
        f"The answer is the mean of {len(drawn)} planes, each explained by itself; their "
        "predictions"
    )
    pulled = "the plane's own prediction"
    if e.together:
        how = (
            f"The answer follows from each prototype's mean distance over {len(drawn)} "
            "planes; what each plane would answer "
            "alone is written beside it, and these answers"
        )
        pulled = "the common answer"
    text = (
        f"{how} differ by up to {e.spread:.1f} {e.unit}. Colours: pull on {pulled}, on one "
        "scale (strongest: "
        f"{limit:.{decimals(limit)}f} {e.unit})."
    )
    return Section("Plane by plane", (Paragraph(text), Figures(5, tuple(figures))))


def matches_section(e: Explanation, plane: Plane, patches: list[int]) -> Section:
    visible = patches_in_plane(e, plane)
    found = [
        (match, pair)
        for n, match in enumerate(e.prototypes)
        for pair in pairs(e, plane.view, n, patches)
    ]
    found.sort(key=lambda each: (each[1].number, each[0].rank))

    def row(match: PrototypeMatch, pair: Pair) -> tuple[str | Cell, ...]:
        there = whereabouts(e, plane.view, pair.target)
        return (
            Cell(str(pair.number), color=color_of(pair.number)),
            whereabouts(e, plane.view, pair.source),
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
            "Places are the patches' centres, mm from the anterior commissure (Right or Left, "
            "Anterior or Posterior). "
        )
    text = (
        f"{where}Share: the part of the patch that went to its strongest partner; spread: "
        "over how many patches it went in "
        "all; cost: how unlike the two are; adds: what the patch adds to the distance from "
        "the prototype."
    )
    headings = (
        "patch",
        "in this image",
        "in",
        "its strongest partner",
        ">share",
        ">spread",
        ">cost",
        f">adds ({e.unit})",
    )
    return Section(
        f"Matched patches{_place(plane)}",
        (Paragraph(text), table(headings, [row(*each) for each in found])),
    )


def settings_section(e: Explanation, model: ModelInfo | None) -> Section:
    worst = max(view.marginal_error for match in e.prototypes for view in match.views)
    cells = "×".join(map(str, e.grid))
    rows: list[tuple[str | Cell, ...]] = [
        (
            "prototypes",
            (
                f"{len(e.prototypes)} explained in full of {len(e.labels)}; all of them make "
                "the answer"
            ),
        ),
        (
            "radius",
            (
                f"{e.radius:g} {e.unit}: three standard deviations of the Gaussian that makes "
                "distances weights"
            ),
        ),
        ("views", f"{len(e.views)}: {', '.join(view.name for view in e.views)}"),
        (
            "patches",
            f"{cells} = {int(np.prod(e.grid))} in each view of {'×'.join(map(str, e.view_shape))}",
        ),
    ]
    if model is not None:
        about = model.architecture
        masses = {"uniform": "the same for every patch", "content": "the patch's part of the brain"}
        rows += [
            ("regularisation", f"{about.regularization:g} (entropic optimal transport)"),
            ("mass of a patch", masses[about.marginals]),
            ("input", f"{'×'.join(map(str, model.input.shape))} at {model.input.spacing_mm:g} mm"),
        ]
    if e.guide:
        rows.append(
            (
                "guide",
                (
                    "a second network, trained without labels, says which patches are matched; "
                    "no part of distances"
                ),
            )
        )
    if e.prior:
        rows.append(
            (
                "spatial prior",
                f"{e.prior:g} per cell of distance: patches are matched by their place as well",
            )
        )
    rows.append(("plans", f"largest deviation of a plan from its masses: {worst:.0e}"))
    if is_head(e):
        rows.append(("convention", CONVENTION))
    if e.registration is not None:
        verdict = "" if e.registration.acceptable else ", not acceptable"
        rows.append(("registration", f"quality {e.registration.quality:.2f} of 1{verdict}"))
    return Section("Settings", (table(("", ""), rows),))


def model_section(e: Explanation, model: ModelInfo | None) -> Section:
    rows: list[tuple[str | Cell, ...]] = [
        ("model", f"{e.model_name} {e.model_version}"),
        ("sha256", Cell(e.model_sha256, mono=True)),
    ]
    if model is not None:
        unit, figures = model.label.unit, model.validation
        rows += [
            (
                "predicts",
                f"{model.label.name}, {model.label.minimum:g} – {model.label.maximum:g} {unit}",
            ),
            (
                "trained on",
                f"{model.training.dataset}, {model.training.people}; {model.training.licence}",
            ),
        ]
        if "mae" in figures:
            known = f"mean absolute error {figures['mae']:.1f} {unit}"
            if "mae_low" in figures and "mae_high" in figures:
                known += f" (95 %: {figures['mae_low']:.1f} – {figures['mae_high']:.1f})"
            if "images" in figures:
                known += f" on {figures['images']:.0f} held-out images"
            if "mean_predictor_mae" in figures:
                known += f"; always answering the mean: {figures['mean_predictor_mae']:.1f}"
            rows.append(("error", known))
        if model.collapsed:
            rows.append(("collapsed", model.collapsed))
        if model.card:
            rows.append(("model card", " ".join(model.card.split())))
    blocks: list[Block] = [table(("", ""), rows)]
    references = [match for match in e.prototypes if match.reference is not None]
    if references:
        blocks.append(Paragraph("The prototypes' images, as the model refers to them:"))
        headings = ("", "data set", "subject", "sha256 of the image file")
        blocks.append(table(headings, [_reference(match) for match in references]))
    return Section("The model", tuple(blocks))


def _reference(match: PrototypeMatch) -> tuple[str | Cell, ...]:
    reference = match.reference
    assert reference is not None
    return (
        f"#{match.rank}",
        reference.dataset,
        reference.subject,
        Cell(reference.sha256, mono=True),
    )


def origin_section(e: Explanation) -> Section:
    rows: list[tuple[str | Cell, ...]] = [
        ("computed with", " · ".join(f"{name} {version}" for name, version in e.versions.items())),
        (
            "report",
            f"written by napari-expert {__version__} on {datetime.date.today().isoformat()}",
        ),
        ("method", METHOD),
    ]
    limits = (
        "What this report shows is what the prediction was computed from, without a rest: "
        "which prototypes, with which "
        "weights, at which distances, and how each distance is a sum over matched patches. "
        "It does not say that a patch "
        "caused the prediction: that it adds much says that it differs from its partner, "
        "not that the difference is one of "
        f"{e.label_name}. {SURROUNDINGS}"
    )
    return Section(
        "How to read it, and where it comes from", (Paragraph(limits), table(("", ""), rows))
    )
