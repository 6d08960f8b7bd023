"""The sections of a report on how the explanation was computed: settings, model, origin."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

import numpy as np

from expert import __version__
from expert.evaluation.sites import FIGURE_COLUMNS, figure_rows
from expert.patches import CONVENTION, is_head
from expert.report.document import Block, Cell, Paragraph, Section, table
from expert.report.sections import SURROUNDINGS

if TYPE_CHECKING:
    from expert.explanation import Explanation, PrototypeMatch
    from expert.schema import ModelInfo

METHOD = (
    "Hesse, Dinsdale, Namburete: Prototype Learning for Explainable Brain Age Prediction, WACV "
    "2024 (arXiv 2306.09858)"
)


def settings_section(e: Explanation, model: ModelInfo | None) -> Section:
    """Settings of the method and of the input."""
    worst = max(view.marginal_error for match in e.prototypes for view in match.views)
    cells = "×".join(map(str, e.grid))
    rows: list[tuple[str | Cell, ...]] = [
        (
            "prototypes",
            f"{len(e.prototypes)} of {len(e.labels)} explained in full; all of them contribute to "
            "the prediction",
        ),
        (
            "radius",
            f"{e.radius:g} {e.unit}: three standard deviations of the Gaussian that turns "
            "distances into weights",
        ),
        ("views", f"{len(e.views)}: {', '.join(view.name for view in e.views)}"),
        (
            "patches",
            f"{cells} = {int(np.prod(e.grid))} in each view of {'×'.join(map(str, e.view_shape))}",
        ),
    ]
    if model is not None:
        about = model.architecture
        masses = {
            "uniform": "the same for every patch",
            "content": "the patch's share of the brain",
        }
        rows += [
            ("regularisation", f"{about.regularization:g} (entropic optimal transport)"),
            ("mass of a patch", masses[about.marginals]),
            ("input", f"{'×'.join(map(str, model.input.shape))} at {model.input.spacing_mm:g} mm"),
        ]
    if e.guide:
        rows.append(
            (
                "matching",
                "a second network, trained without labels, decides which patches are matched; it "
                "does not change the distances",
            )
        )
    if e.coordinates:
        rows.append(
            (
                "matching",
                "patches are matched by the place of their structures in the average brain, to "
                "which the tissues of the head are registered; this does not change what is "
                "compared",
            )
        )
    if e.prior:
        rows.append(
            (
                "spatial prior",
                f"{e.prior:g} per patch of distance: patches are also matched by their position",
            )
        )
    rows.append(("transport plans", f"largest deviation of a plan from its masses: {worst:.0e}"))
    if is_head(e):
        rows.append(("orientation", CONVENTION))
    if e.head_size is not None:
        rows.append(("head", f"{e.head_size.text[:-1]}, found by a network"))
    if e.registration is not None:
        verdict = "" if e.registration.acceptable else ", not acceptable"
        rows.append(("registration", f"quality {e.registration.quality:.2f} (1 is best){verdict}"))
    return Section("Settings", (table(("", ""), rows),))


def model_section(e: Explanation, model: ModelInfo | None) -> Section:
    """The model file, its training and its error, and the images of the prototypes."""
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
                f"{model.training.dataset}, {model.training.subjects_text}; "
                f"{model.training.licence}",
            ),
        ]
        if "mae" in figures:
            known = f"mean absolute error {figures['mae']:.1f} {unit}"
            if "mae_low" in figures and "mae_high" in figures:
                known += f" (95 %: {figures['mae_low']:.1f} – {figures['mae_high']:.1f})"
            if "images" in figures:
                known += f" on {figures['images']:.0f} held-out images"
            if "mean_predictor_mae" in figures:
                known += f"; mean predictor (baseline): {figures['mean_predictor_mae']:.1f}"
            rows.append(("error", known))
        if model.collapsed:
            rows.append(("collapsed", model.collapsed))
        if model.card:
            rows.append(("model card", " ".join(model.card.split())))
    blocks: list[Block] = [table(("", ""), rows)]
    if model is not None and model.sites:
        blocks.append(Paragraph(f"Validation by site, in {model.label.unit}:"))
        blocks.append(table(FIGURE_COLUMNS, [*figure_rows(model.sites)]))
    references = [match for match in e.prototypes if match.reference is not None]
    if references:
        blocks.append(Paragraph("Images of the prototypes, as named in the model file:"))
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
    """What the explanation shows and what it does not; software, date and method."""
    rows: list[tuple[str | Cell, ...]] = [
        ("computed with", " · ".join(f"{name} {version}" for name, version in e.versions.items())),
        (
            "report",
            f"written by napari-expert {__version__} on {datetime.date.today().isoformat()}",
        ),
        ("method", METHOD),
    ]
    limits = (
        "This report shows exactly what the prediction was computed from: the prototypes, their "
        "weights and distances, and each distance and the prediction as sums over patches. It does "
        "not show that a patch caused the prediction: a large contribution means that it differs "
        f"from its match, not that the difference is due to {e.label_name}. "
        f"{SURROUNDINGS[e.confined]}"
    )
    return Section("Interpretation and origin", (Paragraph(limits), table(("", ""), rows)))
