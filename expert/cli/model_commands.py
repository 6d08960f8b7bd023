"""Commands for model files: info, convert, fetch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from expert.cli.console import cells, one_sentence, progress, say
from expert.schema import RESEARCH_USE

NEEDS = {
    "mni": "a whole-head T1 volume",
    "image": "a plain 2D image",
    "ellipse": "an ultrasound image of the fetal head, with its pixel size",
}
"""Images that a model needs, by `InputSettings.space`."""

if TYPE_CHECKING:
    from rich.table import Table

    from expert.datasets.disclosure import Disclosure
    from expert.explanation import AverageOf
    from expert.schema import ModelInfo


@one_sentence
def info(
    model: Annotated[str, typer.Argument(help="A shipped model's name or a model file.")],
    privacy: Annotated[
        bool, typer.Option("--privacy", help="List what the file reveals of training subjects.")
    ] = False,
) -> None:
    """Show a model's metadata and its model card."""
    from rich.console import Console
    from rich.table import Table

    from expert.datasets.average_images import averages
    from expert.datasets.disclosure import disclosure
    from expert.model_file import load_model

    loaded = load_model(model)
    about = loaded.info
    title = cells(f"{about.name} {about.version}")[0]
    table = Table(title=title, caption=RESEARCH_USE, show_header=False)
    if privacy:
        _show_disclosure(disclosure(loaded), table)
        return
    if loaded.prototype_images is not None:
        images = "in the file"
    elif any(p.reference is not None for p in about.prototypes):
        images = "by reference"
    else:
        images = "not in the file"
    label, settings = about.label, about.architecture
    trained_on = f"{about.training.dataset}, {about.training.subjects_text}"
    rows = [
        ("predicts", f"{label.name}, {label.unit}, {label.minimum:g} – {label.maximum:g}"),
        ("needs", NEEDS[about.input.space]),
        ("input", f"{'×'.join(map(str, about.input.shape))} at {about.input.spacing_mm:g} mm"),
        ("prototypes", f"{len(about.prototypes)}, images {images}"),
        *([("average heads", _averages_text(shown))] if (shown := averages(loaded)) else []),
        ("trained on", f"{trained_on}, licence: {about.training.licence}"),
        (
            "radius, regularisation",
            f"{settings.radius:g} {label.unit}, {settings.regularization:g}",
        ),
        *((name.replace("_", " "), f"{value:.3g}") for name, value in about.validation.items()),
        ("sha256", loaded.sha256),
    ]
    if about.collapsed:
        rows.insert(0, ("COLLAPSED", about.collapsed))
    for row in rows:
        table.add_row(*cells(*row))
    Console().print(table)
    if about.sites:
        Console().print(_site_table(about))
    if about.card:
        say(about.card)


def _show_disclosure(found: Disclosure, table: Table) -> None:
    """What a model reveals, as a table and a sentence."""
    from rich.console import Console

    for row in found.facts:
        table.add_row(*cells(*row))
    for one in found.findings:
        table.add_row(*cells(f"text with {one.kind}", f"{one.field}: {one.text}"))
    Console().print(table)
    say(found.verdict)


def _averages_text(shown: Sequence[AverageOf]) -> str:
    """How many averages there are, and whom they show."""
    fewest, most = (choose(one.people for one in shown) for choose in (min, max))
    people = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    return f"{len(shown)}, each of {people} training subjects of neighbouring labels"


def _site_table(about: ModelInfo) -> Table:
    """Validation by site."""
    from rich.table import Table

    from expert.evaluation.sites import FIGURE_COLUMNS, figure_rows

    table = Table(
        title=cells(f"validation by site, in {about.label.unit}")[0], caption=RESEARCH_USE
    )
    for name in FIGURE_COLUMNS:
        table.add_column(name)
    for row in figure_rows(about.sites):
        table.add_row(*cells(*row))
    return table


@one_sentence
def convert(
    checkpoint: Annotated[
        Path,
        typer.Argument(help="State dict or Lightning checkpoint of the published ExPeRT code."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Model file to write (.safetensors).")],
    unit: Annotated[
        str | None,
        typer.Option(help="Unit of the labels, such as years; no checkpoint contains it."),
    ] = None,
    label_name: Annotated[
        str | None, typer.Option(help="What is predicted  [default: age]")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the model  [default: the file's name]")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Training data  [default: unknown]")] = None,
    licence: Annotated[
        str | None, typer.Option(help="Licence of the training data  [default: unknown]")
    ] = None,
    space: Annotated[
        str | None,
        typer.Option(
            help="mni: slices of registered heads; image: plain 2D images  [default: mni]"
        ),
    ] = None,
    spacing_mm: Annotated[float | None, typer.Option(help="mm per pixel  [default: 1]")] = None,
    position_mm: Annotated[
        list[float] | None,
        typer.Option(
            help="Axial plane, mm above the AC; may be repeated  [default: 7, slice 79 of MNI 1 mm]"
        ),
    ] = None,
    first_pixel: Annotated[
        str | None,
        typer.Option(
            help="Corner of a head's slice with row 0 and column 0: PL, PR, AL or AR  [default: PL]"
        ),
    ] = None,
    images: Annotated[
        str | None,
        typer.Option(
            help="value: store the prototypes' images, which show subjects, in the file; none  "
            "[default: none]"
        ),
    ] = None,
    facts: Annotated[
        Path | None,
        typer.Option(
            help="YAML file with these facts, see docs/convert.md; options take precedence."
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the model file if it exists.")
    ] = False,
) -> None:
    """Convert a published checkpoint to a model file; no checkpoint code is executed."""
    import warnings

    from expert.convert.conversion import ConversionWarning, convert_checkpoint
    from expert.convert.facts import read_facts
    from expert.model_file import load_model

    known = read_facts(
        facts,
        label_unit=unit,
        label_name=label_name,
        name=name,
        dataset=dataset,
        licence=licence,
        space=space,
        spacing_mm=spacing_mm,
        positions_mm=position_mm or None,
        first_pixel=first_pixel,
        prototype_images=images,
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConversionWarning)
        target = convert_checkpoint(checkpoint, out, known, overwrite=overwrite)
    about = load_model(target).info
    for warning in caught:
        if issubclass(warning.category, ConversionWarning):
            say(f"Warning: {warning.message}", err=True)
    say(about.card, nl=False)
    say(
        f"{target}: {len(about.prototypes)} prototypes, {about.label.minimum:g} – "
        f"{about.label.maximum:g} {about.label.unit}. "
        f"{RESEARCH_USE}"
    )


@one_sentence
def fetch(
    model: Annotated[str, typer.Argument(help="A shipped model's name or a model file.")],
    only: Annotated[int | None, typer.Option(min=1, help="Only the first N prototypes.")] = None,
) -> None:
    """Download the prototype images that a model refers to, and verify their checksums.

    An interrupted download is resumed by the same command.
    """
    from expert.datasets.fetching import fetch_images, licences, obstacle, remarks
    from expert.datasets.prototype_images import find_reference
    from expert.model_file import load_model

    loaded = load_model(model)
    references = [p.reference for p in loaded.info.prototypes if p.reference is not None]
    if loaded.prototype_images is not None or not references:
        say(f"The model {loaded.info.name} refers to no images outside its file.")
        return
    # Two data sets may have files of the same name.
    chosen = list({(one.dataset, one.file): one for one in references}.values())[:only]
    missing = [one for one in chosen if find_reference(one)[0] is None]
    wanted = [one for one in missing if not obstacle(one)]
    for licence in licences(wanted):
        say(f"Licence: {licence}")
    for remark in remarks(wanted):
        say(remark)
    with progress() as report:
        fetch_images(wanted, lambda name, fraction: report("fetch", fraction))
    available = len(chosen) - len(missing) + len(wanted)
    say(f"{available} of {len(chosen)} images are available. {RESEARCH_USE}")
    reasons = Counter(obstacle(one) for one in missing if obstacle(one))
    for reason, count in sorted(reasons.items()):
        say(f"{count} images are missing. {reason} Set EXPERT_DATA_DIR to their folder.")
