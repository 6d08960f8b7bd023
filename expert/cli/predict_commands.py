"""Commands that predict images: predict, explain, view."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated

import typer

from expert import DEFAULT_MODEL
from expert.cli.console import DataOption, ModelOption, one_sentence, progress
from expert.cli.series_listing import listed_series
from expert.errors import ExpertError, RefusedError
from expert.schema import RESEARCH_USE

ForceOption = Annotated[
    bool,
    typer.Option("--force", help="Predict refused images, too; the result is probably wrong."),
]


SeriesOption = Annotated[
    str | None,
    typer.Option(help="Number or UID of the DICOM series to use; 'expert series' lists them."),
]


@one_sentence
def predict(
    inputs: Annotated[
        list[Path] | None, typer.Argument(metavar="INPUT...", help="Images or DICOM folders.")
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(help="CSV with the column 'file' (and 'pixel_size_mm' for 2D images)."),
    ] = None,
    model: ModelOption = DEFAULT_MODEL,
    out: Annotated[Path, typer.Option("--out", "-o", help="CSV to write.")] = Path(
        "predictions.csv"
    ),
    bias_corrected: Annotated[
        bool,
        typer.Option(
            "--bias-corrected",
            help="Also write predictions corrected for regression to the mean.",
        ),
    ] = False,
    force: ForceOption = False,
) -> None:
    """Predict many images into one table; failed images are reported in the `error` column."""
    from expert.cli.batch_prediction import items, predict_table
    from expert.model_file import load_model

    todo = items(inputs or [], table)
    loaded = load_model(model)
    with progress() as report:
        target, failed = predict_table(
            loaded,
            todo,
            out,
            lambda done: report("predict", done),
            corrected=bias_corrected,
            force=force,
        )
    if force:
        typer.echo(
            "Predictions of refused images are probably wrong: those with 'forced_prediction' in "
            "the column 'warnings'."
        )
    typer.echo(f"{target}: {len(todo) - failed} of {len(todo)} predicted. {RESEARCH_USE}")
    if failed:
        typer.echo(
            f"{failed} of {len(todo)} inputs could not be used: see the column 'error' of "
            f"{target}.",
            err=True,
        )
    if failed == len(todo):
        raise typer.Exit(1)


@one_sentence
def explain(
    image: Annotated[Path, typer.Argument(metavar="INPUT", help="Image or DICOM folder.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write to.")],
    model: ModelOption = DEFAULT_MODEL,
    top: Annotated[int, typer.Option(min=1, help="Number of prototypes to explain.")] = 5,
    pixel_size_mm: Annotated[
        float | None, typer.Option(help="Pixel size of a plain 2D image, mm.")
    ] = None,
    series: SeriesOption = None,
    data: DataOption = None,
    pdf: Annotated[bool, typer.Option("--pdf", help="Also write the report as PDF.")] = False,
    csv: Annotated[
        bool, typer.Option("--csv", help="Also write the matched patches as a CSV table.")
    ] = False,
    show_name: Annotated[
        bool, typer.Option("--show-name", help="Print the input's file name in the report.")
    ] = False,
    force: ForceOption = False,
) -> None:
    """Predict and explain one image: a report to read, and the same as JSON."""
    import expert
    from expert.cli.batch_prediction import FORCE_HINT
    from expert.report.csv_export import write_csv

    with listed_series():
        volume = expert.read_volume(image, pixel_size_mm=pixel_size_mm, series=series)
    loaded = expert.load_model(model)
    with progress() as report:
        try:
            result = expert.explain(
                loaded, volume, top=top, data=data, progress=report, force=force
            )
        except RefusedError as error:
            raise RefusedError(" ".join((str(error), *volume.doubts, FORCE_HINT))) from error
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExpertError(f"The folder {out} could not be made: {error.strerror}.") from error
    result.save(out / "explanation.json")
    written = [out / "report.html", *([out / "report.pdf"] if pdf else [])]
    source = image.resolve().name if show_name else None
    for path in written:
        expert.write_report(result, path, model=loaded.info, source=source)
    if csv:
        written.append(write_csv(result, out / "matches.csv"))
    interval = result.interval_missing
    if result.interval is not None:
        low, high = result.interval.lower, result.interval.upper
        interval = f"{result.interval.level:.0%}: {low:.1f} – {high:.1f}"
    if result.forced:
        typer.echo(result.forced_text)
    typer.echo(f"{result.label_name}: {result.prediction_text} ({interval})")
    if result.summary:
        typer.echo(result.summary)
    for match in result.prototypes:
        typer.echo(
            f"  #{match.rank}  {match.label:6.1f} {result.unit}  {match.share:6.1%}  "
            f"distance {match.distance:.1f}"
        )
    for notice in result.warnings:
        if notice.severity != "refused":  # which is said first
            typer.echo(f"  {notice.text}")
    typer.echo(f"{', '.join(map(str, written))}. {RESEARCH_USE}")


@one_sentence
def view(
    image: Annotated[Path, typer.Argument(metavar="INPUT", help="Image or DICOM folder.")],
    model: ModelOption = DEFAULT_MODEL,
    top: Annotated[
        int | None,
        typer.Option(min=1, max=8, help="Number of prototypes to show  [default: as last time]"),
    ] = None,
    series: SeriesOption = None,
    data: DataOption = None,
) -> None:
    """Open napari with the image and explain it."""
    from expert.imaging.volume import read_volume
    from expert.model_file import load_model

    with listed_series():  # errors in the file or the model are reported before a window opens
        read_volume(image, series=series)
    load_model(model)
    # By name: the window belongs to the plugin, which only this command needs.
    try:
        window = importlib.import_module("napari_expert.api")
    except ImportError as error:
        raise ExpertError(
            "napari needs a Qt binding to open a window: pip install 'napari-expert[all]'."
        ) from error
    window.open_window(image, model, top=top, data=data, series=series)
