"""Self-contained report of an explanation, as HTML or PDF.

With images and their matched patches, a plot, tables and provenance.
"""

from __future__ import annotations

import datetime
import os
from pathlib import Path
from typing import TYPE_CHECKING

from expert.errors import InputError
from expert.evidence.patch_evidence import Evidence
from expert.evidence.wording import summary
from expert.files import replacing
from expert.patches import chosen_patches, middle_plane, planes
from expert.report.document import Drawing, Remark, Report
from expert.report.evidence_section import evidence_section
from expert.report.provenance import model_section, origin_section, settings_section
from expert.report.sections import (
    attribution_section,
    lead_text,
    matches_section,
    planes_section,
    prediction_section,
    prototypes_section,
)
from expert.report.style import inline_svg
from expert.untrusted.text import plain_text

if TYPE_CHECKING:
    from markupsafe import Markup

    from expert.explanation import Explanation
    from expert.schema import ModelInfo


def write_report(
    explanation: Explanation,
    path: str | os.PathLike[str],
    *,
    model: ModelInfo | None = None,
    source: str | None = None,
) -> Path:
    """Write an explanation as one file that needs nothing else: HTML that prints on A4, or PDF.

    Parameters
    ----------
    explanation : Explanation
        From `expert.explain` or `Explanation.load`.
    path : path-like
        File to write; ends in .html, .htm or .pdf.
    model : ModelInfo, optional
        The description of the model (`expert.load_model(...).info`), for the model card.
    source : str, optional
        Name of the image in the report. If None, nothing about its origin is written.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        The file cannot be written, or its name has another ending.
    """
    target = Path(path)
    report = compose(explanation, model=model, source=source)
    if target.suffix.lower() in (".html", ".htm"):
        data = html_page(report)
    elif target.suffix.lower() == ".pdf":
        from expert.report.pdf import render

        data = render(report)
    else:
        raise InputError(f"The report {target.name} must end in .html or .pdf.")
    try:
        with replacing(target) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        raise InputError(
            f"The report could not be written to {target}: {error.strerror}."
        ) from error
    return target


def html_page(report: Report) -> bytes:
    """A report as one HTML file that needs nothing else.

    Parameters
    ----------
    report : Report

    Returns
    -------
    bytes
        UTF-8; all texts are escaped.
    """
    import jinja2

    pages = jinja2.Environment(
        loader=jinja2.PackageLoader("expert", "report/templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_plain,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters["svg"] = _element
    # A file name may hold what UTF-8 cannot (Linux names are bytes).
    return pages.get_template("report.html").render(r=report).encode("utf-8", "replace")


def _element(drawing: Drawing) -> Markup:
    """A drawing for the page; ElementTree has escaped its texts."""
    from markupsafe import Markup

    return Markup(inline_svg(drawing))  # nosec B704


def _plain(value: object) -> object:
    """A text without control characters; it is escaped afterwards. Drawings stay as they are."""
    return plain_text(value, lines=True) if type(value) is str else value


def compose(
    explanation: Explanation, *, model: ModelInfo | None = None, source: str | None = None
) -> Report:
    """The content of a report before it is HTML or PDF.

    Parameters
    ----------
    explanation : Explanation
        As in `write_report`.
    model : ModelInfo, optional
        As in `write_report`.
    source : str, optional
        As in `write_report`.

    Returns
    -------
    Report
        Texts, tables and drawings in sections.
    """
    e = explanation
    if e.confined is None and model is not None:
        confined = model.architecture.backbone == "histogram"
        e = e.model_copy(update={"confined": confined})
    plane = planes(e)[middle_plane(e)]
    patches = chosen_patches(e, plane, "contribution")
    evidence = Evidence.of(e)
    aside = e.interval_missing
    if e.interval is not None:
        aside = f"{100 * e.interval.level:.0f} %: {e.interval.lower:.1f} – {e.interval.upper:.1f}"
    sections = [
        prediction_section(e),
        evidence_section(evidence),
        prototypes_section(e, plane, patches),
        attribution_section(e, plane),
        planes_section(e),
        matches_section(e, plane, patches),
        settings_section(e, model),
        model_section(e, model),
        origin_section(e),
    ]
    return Report(
        title=f"{e.label_name.capitalize()}: explained prediction",
        statement=e.statement,
        origin=(
            f"Explained prediction · model {e.model_name} {e.model_version} · "
            f"{datetime.date.today().isoformat()}"
        ),
        headline=e.prediction_text,
        aside=aside,
        summary=summary(evidence),
        lead=lead_text(e, source),
        forced=tuple(
            Remark(notice.text, notice.severity)
            for notice in e.warnings
            if notice.severity == "refused"
        ),
        warnings=_warnings(e),
        sections=tuple(section for section in sections if section is not None),
    )


def _warnings(e: Explanation) -> tuple[Remark, ...]:
    out = [
        Remark(notice.text, notice.severity)
        for notice in e.warnings
        if notice.severity != "refused" and notice.code != "prototype_image_missing"
    ]
    # Not the notice's own text, which may contain a path of this computer.
    averages = sum(match.average is not None for match in e.prototypes)
    missing = sum(match.image is None for match in e.prototypes)
    for number, instead in (
        (averages, "as the average of at least ten training subjects of their label"),
        (missing, "without an image"),
    ):
        if number:
            text = f"Note: {number} of {len(e.prototypes)} prototypes are shown {instead}: "
            out.append(Remark(f"{text}their own image was not available.", "note"))
    return tuple(out)
