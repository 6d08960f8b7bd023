"""What the panel says about a result: the prediction, its notices, its maps and its matches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from expert.attribution import effective_prototypes, reference_text
from expert.evidence import wording
from expert.evidence.patch_evidence import Evidence
from expert.patches import CONVENTION, NEUROLOGICAL, patch_location_text, sharpness, spread
from napari_expert.panel.qt_helpers import percent
from napari_expert.session import CONTRIBUTION, PatchMap, Session, native_values
from napari_expert.side_by_side import NAMES

if TYPE_CHECKING:
    from napari.layers import Layer

    from expert.explanation import Explanation
    from expert.model_file import Model
    from expert.planes import Plane
    from napari_expert.session import Focus
    from napari_expert.side_by_side import Board

SIGNS = {"refused": "⚠", "warning": "⚠", "note": "•"}
"""Before the text of a notice, by its severity."""


def forced(board: Board) -> str:
    """Which predictions were forced, one per line; shown before them."""
    names = ("",) if board.subjects == 1 else tuple(f"{name}: " for name in NAMES)
    return "\n".join(
        f"{SIGNS['refused']} {name}{e.forced_text}"
        for name, e in zip(names, board.explanations, strict=True)
        if e.forced
    )


def notices(board: Board) -> str:
    """All other notices with their severity, one per line.

    Missing images are the subject of `FetchSection`.
    """
    lines = {
        f"{SIGNS[notice.severity]} {notice.text}": None
        for e in board.explanations
        for notice in e.warnings
        if notice.severity != "refused" and notice.code != "prototype_image_missing"
    }
    return "\n".join(lines)


def summary(board: Board) -> str:
    """What moved the prediction, in a sentence; of two images, one line each."""
    if board.subjects == 1:
        return wording.summary(board.evidence)
    texts = [wording.summary(Evidence.of(e)) for e in board.explanations]
    return "\n".join(f"{name}: {text}" for name, text in zip(NAMES, texts, strict=True) if text)


def maps(board: Board) -> tuple[list[PatchMap | None], list[str]]:
    """The maps that can be chosen, and what they are called."""
    labels, ranks = board.explanations[0].labels, board.names[board.subjects :]
    names = [
        f"{rank} ({labels[index]:.0f})" for rank, index in zip(ranks, board.prototypes, strict=True)
    ]
    offered: list[PatchMap | None] = [None, CONTRIBUTION]
    words = ["none", "Contribution to prediction"]
    for name, index in zip(names, board.prototypes, strict=True):
        offered.append(PatchMap("similarity", (index,)))
        words.append(f"Similarity to {name}")
    for first, index in enumerate(board.prototypes):
        for second in range(first + 1, len(board.prototypes)):
            offered.append(PatchMap("difference", (index, board.prototypes[second])))
            words.append(f"{names[first]} vs {names[second]}")
    return offered, words


def legend(session: Session, board: Board, chosen: PatchMap) -> str:
    """What the colours of a map mean, and its strongest patches."""
    e, values = board.explanations[0], chosen.values(board.explanations[0])
    names = dict(zip(board.prototypes, board.names[board.subjects :], strict=True))
    positive, negative = {
        "contribution": ("increases the prediction", "decreases it"),
        "similarity": ("more similar than average", "less similar"),
        "difference": tuple(f"favours {names.get(n, 'another')}" for n in chosen.prototypes),
    }[chosen.kind]
    here = native_values(session) if session.native else values
    here = here[session.plane.view] if here.ndim > 1 else here
    if not here.any():
        return "No map: the prediction is the nearest prototype's label."
    order = [int(n) for n in np.argsort(-np.abs(here))[:3]]
    strongest = "; ".join(
        f"{patch_location_text(e, session.plane.view, n)}: {here[n]:+.2f}" for n in order
    )
    averaged = session.native and len(values) > 1 and not e.together
    total = ""
    if chosen.kind == "contribution":
        total = (
            f" All patches sum to {wording.signed(float(values.sum()))} {e.unit}: the prediction "
            f"minus the mean of the {reference_text(e)} ({board.evidence.reference:.1f})."
        )
    where = "over the planes" if averaged else "here"
    return f"Orange {positive}, blue {negative}.{total} Strongest {where} ({e.unit}): {strongest}."


def plane_names(board: Board, planes: tuple[Plane, ...] | None = None) -> list[str]:
    """The planes that can be chosen, with the prediction of each; `planes` of a volume."""
    e = board.explanations[0]
    if len(e.views) == 1:
        return [plane.name for plane in planes or board.planes]
    return [
        f"{plane.name}: {e.views[plane.view].prediction:.1f} {e.unit}" for plane in board.planes
    ]


def headline(board: Board) -> str:
    """The prediction with its interval, or those of two images."""
    e = board.explanations[0]
    if board.subjects == 2:
        other = board.explanations[1]
        step = other.prediction - e.prediction
        return f"A {e.prediction:.1f} · B {other.prediction:.1f} {e.unit} ({step:+.1f})"
    if e.interval is None:
        return e.prediction_text
    level, low, high = percent(e.interval.level), e.interval.lower, e.interval.upper
    return f"{e.prediction_text} ({level} interval: {low:.0f} – {high:.0f})"


def subject(session: Session) -> str:
    """Which image was explained by which model; empty for two images."""
    e, source = session.explanation, session.source
    if e is None or source is None or session.other is not None:
        return ""
    return f"{source.name} · {e.model_name} {e.model_version}"


def outdated(session: Session, layer: Layer | None, model: Model | None, running: bool) -> str:
    """Why the result shown is not that of the chosen image and model; empty if it is."""
    e = session.explanation
    if e is None:
        return ""
    if running:
        return "A new run is in progress. This is the result of the run before."
    if session.source is None:
        return "The image of this result is not open, or was changed after the run."
    if layer is not None and layer != session.source:
        return f"This is the result of {session.source.name}, not of the image chosen above."
    if model is not None and model.sha256 != e.model_sha256:
        return f"This is the result of the model {e.model_name}, not of the one chosen above."
    return ""


def about(board: Board, neurological: bool) -> str:
    """What is predicted and from how many prototypes, and the side of the patient's right."""
    e = board.explanations[0]
    count = effective_prototypes(e.shares[None])
    shown = float(e.shares[list(board.prototypes)].sum())
    name = e.label_name[:1].upper() + e.label_name[1:]
    text = f"{name}: the label of one prototype."
    if board.subjects == 2:
        text = f"{name} of two images, and {len(board.prototypes)} prototypes (weights A / B)."
    elif float(e.shares.max()) < 1 - 1e-9:
        most = "1 prototype has" if round(count) == 1 else f"{count:.0f} prototypes have"
        text = (
            f"{name}: weighted mean of the prototypes' labels. {most} 80 % of the weight, "
            f"those shown {percent(shown)}."
        )
    if board.head:
        convention = NEUROLOGICAL if neurological else CONVENTION
        text += f" {convention.capitalize()}."
    return text


def matching(e: Explanation, view: int) -> str:
    """How patches are matched, on average and by what."""
    share = percent(sharpness(e, view))
    text = f"Matching: on average, {share} of a patch goes to its strongest match."
    if e.guide:
        text += " Patches are matched by a separate network trained without labels."
    if e.coordinates:
        text += " Patches are matched by the place of their structures in the average brain."
    if e.prior:
        text += " Positions are taken into account as well (spatial prior)."
    return text


def focus_text(board: Board, view: int, focus: Focus) -> str:
    """Where the highlighted patch was matched to in each image."""
    e, names = board.explanations[0], board.names
    parts = [
        f"{names[number]} {patch_location_text(e, view, int(share.argmax()))} "
        f"({percent(float(share.max()))}{_spread(spread(share))})"
        for number, share in enumerate(focus.shares)
        if number != focus.tile and share.any()
    ]
    text = f"{names[focus.tile]} {patch_location_text(e, view, focus.patch)} → " + "; ".join(parts)
    if focus.tile == 0:
        known = (
            ", ".join(board.evidence.region_names(view, focus.patch)),
            wording.tissue_text(board.evidence, view, focus.patch),
        )
        text += "".join(f"\n{line}" for line in known if line)
    return text


def _spread(patches: float) -> str:
    return f", spread over {patches:.0f} patches" if patches >= 1.5 else ""
