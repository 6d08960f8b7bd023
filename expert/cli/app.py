"""The command `expert`: everything the viewer does, without a window, and training and evaluation
beside it."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated

import typer

from expert import __version__
from expert.cli.console import DataOption, ModelOption, one_sentence, progress
from expert.errors import ExpertError
from expert.schema import RESEARCH_USE

app = typer.Typer(
    help=f"Explainable regression with prototypes (ExPeRT). {RESEARCH_USE}",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(shown: bool) -> None:
    if shown:
        typer.echo(f"napari-expert {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Explainable regression with prototypes (ExPeRT). Research use only. Not for clinical
    decisions."""


@app.command()
@one_sentence
def predict(
    inputs: Annotated[
        list[Path] | None, typer.Argument(metavar="INPUT...", help="Images or DICOM folders.")
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(help="CSV with the column 'file' (and 'pixel_size_mm' for 2D images)."),
    ] = None,
    model: ModelOption = "phantom",
    out: Annotated[Path, typer.Option("--out", "-o", help="CSV to write.")] = Path(
        "predictions.csv"
    ),
    bias_corrected: Annotated[
        bool,
        typer.Option(
            "--bias-corrected",
            help="A further column: predictions with the regression to the mean taken out.",
        ),
    ] = False,
) -> None:
    """Predict many images into one table; an image that cannot be used is a row that says why."""
    from expert.cli import batch_prediction as cohort
    from expert.model_file import load_model

    todo = cohort.items(inputs or [], table)
    loaded = load_model(model)
    with progress() as tell:
        target, failed = cohort.predict(
            loaded, todo, out, lambda fraction: tell("predict", fraction), corrected=bias_corrected
        )
    typer.echo(f"{target}: {len(todo) - failed} of {len(todo)} predicted. {RESEARCH_USE}")
    if failed:
        typer.echo(
            (
                f"{failed} of {len(todo)} inputs could not be used: see the column 'error' of "
                f"{target}."
            ),
            err=True,
        )
    if failed == len(todo):
        raise typer.Exit(1)


@app.command()
@one_sentence
def explain(
    image: Annotated[Path, typer.Argument(metavar="INPUT", help="Image or DICOM folder.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for what is written.")],
    model: ModelOption = "phantom",
    top: Annotated[int, typer.Option(min=1, help="Prototypes to explain in full.")] = 5,
    pixel_size_mm: Annotated[
        float | None, typer.Option(help="Pixel size of a plain 2D image, mm.")
    ] = None,
    data: DataOption = None,
    pdf: Annotated[bool, typer.Option("--pdf", help="Write the report as PDF, too.")] = False,
    csv: Annotated[
        bool, typer.Option("--csv", help="Write the matched patches as a table, too.")
    ] = False,
    show_name: Annotated[
        bool, typer.Option("--show-name", help="Print the input's file name in the report.")
    ] = False,
) -> None:
    """Explain one prediction: JSON for programs, a report for people."""
    import expert
    from expert.report.csv_export import write_csv

    volume = expert.read_volume(image, pixel_size_mm=pixel_size_mm)
    loaded = expert.load_model(model)
    with progress() as tell:
        result = expert.explain(loaded, volume, top=top, data=data, progress=tell)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExpertError(f"The folder {out} could not be made: {error.strerror}.") from error
    result.save(out / "explanation.json")
    reports = [out / "report.html", *([out / "report.pdf"] if pdf else [])]
    for report in reports:
        expert.write_report(
            result, report, model=loaded.info, source=image.resolve().name if show_name else None
        )
    written = [*reports, *([write_csv(result, out / "matches.csv")] if csv else [])]
    interval = (
        f" ({result.interval.level:.0%}: {result.interval.lower:.1f} – {result.interval.upper:.1f})"
        if result.interval
        else ""
    )
    typer.echo(f"{result.label_name}: {result.prediction:.1f} {result.unit}{interval}")
    for match in result.prototypes:
        typer.echo(
            f"  #{match.rank}  {match.label:6.1f} {result.unit}  {match.share:6.1%}  "
            f"distance {match.distance:.1f}"
        )
    for notice in result.warnings:
        typer.echo(f"  Warning: {notice.message}")
    typer.echo(f"{', '.join(map(str, written))}. {RESEARCH_USE}")


@app.command()
@one_sentence
def train(
    recipe: Annotated[Path, typer.Argument(help="YAML, see recipes/.")],
    data: Annotated[Path, typer.Option(help="CSV with 'file' and the label.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Model file to write (.safetensors).")],
    folds: Annotated[
        int, typer.Option(min=0, help="Cross-validate first; calibrates the model.")
    ] = 0,
    only_fold: Annotated[
        int | None, typer.Option(min=0, help="Train this fold alone (folds can run side by side).")
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Beside each fold, a plain regression head.")
    ] = False,
    calibration: Annotated[
        Path | None,
        typer.Option(
            help="CSV of images kept out of the training: interval and limits come from them."
        ),
    ] = None,
    run: Annotated[
        Path | None, typer.Option(help="Folder for checkpoints and prepared images.")
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on where an earlier run stopped.")] = True,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes for preparing images.")] = None,
) -> None:
    """Train a model; a run that was killed goes on from its last checkpoint."""
    import warnings

    from expert.training.pipeline import CollapseWarning
    from expert.training.pipeline import train as start
    from expert.training.recipe import read_recipe

    settings = read_recipe(recipe)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CollapseWarning)
        target = start(
            settings,
            data,
            out,
            folds=folds,
            only_fold=only_fold,
            plain=plain,
            calibration=calibration,
            run=run,
            resume=resume,
            jobs=jobs,
        )
    for warning in caught:
        if issubclass(warning.category, CollapseWarning):
            typer.echo(f"Warning: {warning.message} 'expert evaluate' fails this model.", err=True)
    typer.echo(f"{target}. {RESEARCH_USE}")


@app.command()
@one_sentence
def evaluate(
    model: Annotated[str, typer.Argument(help="A shipped model's name or a model file.")],
    data: Annotated[Path, typer.Option(help="CSV with 'file' and the label.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="JSON to write.")] = Path(
        "evaluation.json"
    ),
    label_column: Annotated[str | None, typer.Option(help="The label's column.")] = None,
    arrays: Annotated[
        Path | None, typer.Option(help="Folder to keep prepared images in, for the next time.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes for preparing images.")] = None,
    explanations: Annotated[
        bool, typer.Option("--explanations", help="Measure the explanations, too (minutes).")
    ] = False,
    subjects: Annotated[
        int, typer.Option(min=1, help="How many subjects --explanations measures.")
    ] = 24,
) -> None:
    """Measure a model on labelled images; exit code 2 where it has collapsed."""
    from rich.console import Console
    from rich.table import Table

    from expert.evaluation.accuracy import evaluate as measure
    from expert.model_file import load_model

    loaded = load_model(model)
    with progress() as tell:
        result = measure(
            loaded, data, label_column=label_column, arrays=arrays, jobs=jobs,
            explanations=subjects if explanations else None, progress=tell,
        )  # fmt: skip
    shown = {f"{result.model} on {data.name}": result.lines()}
    if result.explanations is not None:
        shown["its explanations"] = result.explanations.lines()
    for title, lines in shown.items():
        table = Table(title=title, caption=RESEARCH_USE)
        table.add_column("figure")
        table.add_column("value")
        for name, value in lines:
            table.add_row(name, value)
        Console().print(table)
    try:
        result.save(out)
    except OSError as error:
        raise ExpertError(
            f"The figures could not be written to {out}: {error.strerror}."
        ) from error
    if result.failed:
        typer.echo(f"Error: this model must not be used: {result.failed}.", err=True)
        raise typer.Exit(2)


@app.command()
@one_sentence
def info(
    model: Annotated[str, typer.Argument(help="A shipped model's name or a model file.")],
) -> None:
    """Show what a model says about itself."""
    from rich.console import Console
    from rich.table import Table

    from expert.model_file import load_model

    loaded = load_model(model)
    about = loaded.info
    table = Table(title=f"{about.name} {about.version}", caption=RESEARCH_USE, show_header=False)
    held = "in the file" if loaded.prototype_images is not None else "by reference"
    if loaded.prototype_images is None and all(p.reference is None for p in about.prototypes):
        held = "not in the file"
    rows = [
        (
            "predicts",
            (
                f"{about.label.name}, {about.label.unit}, {about.label.minimum:g} – "
                f"{about.label.maximum:g}"
            ),
        ),
        ("needs", "a whole-head T1 volume" if about.input.space == "mni" else "a plain 2D image"),
        ("input", f"{'×'.join(map(str, about.input.shape))} at {about.input.spacing_mm:g} mm"),
        ("prototypes", f"{len(about.prototypes)}, images {held}"),
        (
            "trained on",
            f"{about.training.dataset}, {about.training.people}, licence: {about.training.licence}",
        ),
        (
            "radius, regularisation",
            (
                f"{about.architecture.radius:g} {about.label.unit}, "
                f"{about.architecture.regularization:g}"
            ),
        ),
        *((name.replace("_", " "), f"{value:.3g}") for name, value in about.validation.items()),
        ("sha256", loaded.sha256),
    ]
    if about.collapsed:
        rows.insert(0, ("COLLAPSED", about.collapsed))
    for row in rows:
        table.add_row(*row)
    Console().print(table)
    if about.card:
        typer.echo(about.card)


@app.command()
@one_sentence
def convert(
    checkpoint: Annotated[
        Path,
        typer.Argument(help="State dict or Lightning checkpoint of the published ExPeRT code."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Model file to write (.safetensors).")],
    unit: Annotated[
        str | None, typer.Option(help="Unit of the labels, such as years; no checkpoint tells it.")
    ] = None,
    label_name: Annotated[
        str | None, typer.Option(help="What is predicted  [default: age]")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Of the model  [default: the file's name]")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="What it was trained on  [default: unknown]")
    ] = None,
    licence: Annotated[str | None, typer.Option(help="Of that data  [default: unknown]")] = None,
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
            help=(
                "value: the prototypes' images, people's images, go into the file; none  "
                "[default: none]"
            )
        ),
    ] = None,
    facts: Annotated[
        Path | None,
        typer.Option(help="YAML with these facts, see docs/convert.md; options go first."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the model file if it exists.")
    ] = False,
) -> None:
    """Make a checkpoint of the published code a model file with the same predictions; nothing in it
    is run."""
    import warnings

    from expert.convert.conversion import ConversionWarning, convert_checkpoint, read_facts
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
            typer.echo(f"Warning: {warning.message}", err=True)
    typer.echo(about.card, nl=False)
    typer.echo(
        f"{target}: {len(about.prototypes)} prototypes, {about.label.minimum:g} – "
        f"{about.label.maximum:g} {about.label.unit}. "
        f"{RESEARCH_USE}"
    )


@app.command()
@one_sentence
def phantom(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="NIfTI file, or the folder of a cohort.")
    ],
    age: Annotated[float, typer.Option(help="Years, 0 to 110.")] = 50.0,
    seed: Annotated[int, typer.Option(help="Another seed is another person.")] = 0,
    cohort: Annotated[
        int | None,
        typer.Option(help="Write so many, aged 20 to 85, with a table, into the folder --out."),
    ] = None,
) -> None:
    """Write a synthetic ageing head, or a whole cohort of them."""
    from expert.datasets import phantom as phantoms
    from expert.imaging.volume import write_volume

    if cohort is not None:
        with progress() as tell:
            target = phantoms.write_cohort(
                out, cohort, seed, progress=lambda fraction: tell("write", fraction)
            )
    else:
        target = write_volume(phantoms.phantom(age, seed), out)
    typer.echo(f"{target}. {RESEARCH_USE}")


@app.command()
@one_sentence
def fetch(
    model: Annotated[str, typer.Argument(help="A shipped model's name or a model file.")],
    only: Annotated[
        int | None, typer.Option(min=1, help="Only the first so many prototypes.")
    ] = None,
) -> None:
    """Download the prototype images of a model that keeps them by reference (each checked by its
    checksum)."""
    from expert.datasets.prototype_images import fetch_reference, find_reference
    from expert.model_file import load_model

    loaded = load_model(model)
    references = [p.reference for p in loaded.info.prototypes if p.reference is not None]
    if loaded.prototype_images is not None or not references:
        typer.echo(f"The model {loaded.info.name} refers to no images outside its file.")
        return
    typer.echo(f"{loaded.info.training.dataset}: {loaded.info.training.licence}")
    chosen = list({reference.file: reference for reference in references}.values())[:only]
    with progress() as tell:
        for done, reference in enumerate(chosen, 1):
            if find_reference(reference)[0] is None:
                fetch_reference(reference)
            tell("fetch", done / len(chosen))
    typer.echo(f"{len(chosen)} images are at hand. {RESEARCH_USE}")


@app.command()
@one_sentence
def view(
    image: Annotated[Path, typer.Argument(metavar="INPUT", help="Image or DICOM folder.")],
    model: ModelOption = "phantom",
    top: Annotated[
        int | None,
        typer.Option(min=1, max=8, help="Prototypes to show (else as many as last time)."),
    ] = None,
    data: DataOption = None,
) -> None:
    """Open napari with the image and explain it at once."""
    from expert.imaging.volume import read_volume
    from expert.model_file import load_model

    read_volume(image)  # a bad file or model ends here, before a window opens
    load_model(model)
    # The one call upwards: the window is the plugin's, and only this command needs it.
    try:
        window = importlib.import_module("napari_expert.api")
    except ImportError as error:
        raise ExpertError(
            "napari needs a Qt binding to open a window: pip install 'napari-expert[all]'."
        ) from error
    window.open_window(image, model, top=top, data=data)
