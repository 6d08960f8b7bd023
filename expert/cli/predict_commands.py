"""Commands that predict images: predict, explain, view."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from expert import DEFAULT_MODEL
from expert.cli.console import (
    DataOption,
    ModelOption,
    counter,
    one_sentence,
    output_folder,
    progress,
    say,
)
from expert.cli.interruption import interruptible
from expert.cli.series_listing import listed_series
from expert.errors import ExpertError, RefusedError
from expert.schema import RESEARCH_USE

if TYPE_CHECKING:
    from expert.explanation import Explanation

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
        list[Path] | None,
        typer.Argument(
            metavar="INPUT...",
            help="Images, DICOM folders, folders of images, quoted globs, CSV or Parquet tables, "
            "BIDS data sets.",
        ),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(
            help="CSV or Parquet with the column 'file' (and 'pixel_size_mm' for 2D images)."
        ),
    ] = None,
    model: ModelOption = DEFAULT_MODEL,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="CSV or Parquet (.parquet) to write.")
    ] = Path("predictions.csv"),
    bias_corrected: Annotated[
        bool,
        typer.Option(
            "--bias-corrected",
            help="Also write predictions corrected for regression to the mean.",
        ),
    ] = False,
    force: ForceOption = False,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Worker processes  [default: one per core, as far as memory allows; 1 for fewer "
            "than 20 images]",
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Use the workers of this Dask scheduler (tcp://HOST:8786)."
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start anew instead of continuing the table.")
    ] = False,
    retry_errors: Annotated[
        bool, typer.Option("--retry-errors", help="Repeat the images whose row has an error.")
    ] = False,
    explanations: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder for an explanation and a report of every image."),
    ] = None,
    page: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page on the cohort (.html).")
    ] = None,
    show_names: Annotated[
        bool,
        typer.Option("--show-names", help="Print the inputs' names on the page and in reports."),
    ] = False,
) -> None:
    """Predict many images into one table; failed images are reported in the `error` column.

    The same command continues a table that is not finished.
    """
    from expert.cohort.inputs import items
    from expert.cohort.prediction import predict_cohort
    from expert.cohort.rows import Options
    from expert.model_file import load_model

    loaded = load_model(model)
    todo = items(inputs or [], table, plain=loaded.info.input.space == "image")
    if page is not None:
        from expert.cohort.page import check_page

        check_page(page)
    options = Options(
        corrected=bias_corrected, force=force, explanations=explanations, show_names=show_names
    )
    with interruptible() as interruption, counter(len(todo)) as count:

        def progress(done: int) -> None:
            interruption.message = (
                f"Cancelled: {out} has the rows of {done} of {len(todo)} images. The same command "
                "continues."
            )
            count(done)

        outcome = predict_cohort(
            loaded,
            todo,
            out,
            options,
            workers=workers,
            scheduler=scheduler,
            overwrite=overwrite,
            retry_errors=retry_errors,
            progress=progress,
            check=interruption.check,
            notify=lambda text: say(text, err=True),
        )
    if page is not None:
        from expert.cohort.page import write_page

        subjects = {item.name: item.subject for item in todo if item.subject}
        write_page(outcome, page, loaded.info, subjects=subjects, show_names=show_names)
    if force:
        say(
            "Predictions of refused images are probably wrong: those with 'forced_prediction' in "
            "the column 'warnings'."
        )
    if outcome.kept:
        repeat = " (--retry-errors repeats them)" if outcome.kept_errors else ""
        say(
            f"{outcome.kept} of {len(todo)} were predicted by an earlier run, "
            f"{outcome.kept_errors} of them with an error{repeat}."
        )
    failed = outcome.failed
    say(f"{out}: {len(todo) - failed} of {len(todo)} predicted. {RESEARCH_USE}")
    if page is not None:
        say(f"{page}: page on the cohort.")
    if failed:
        say(
            f"{failed} of {len(todo)} inputs could not be used: see the column 'error' of {out}. "
            f"The first: {next(row['error'] for row in outcome.rows if row['error'])}",
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
    with output_folder(out):
        with interruptible() as interruption, progress() as report:

            def advance(stage: str, fraction: float) -> None:
                interruption.check()
                report(stage, fraction)

            try:
                result = expert.explain(
                    loaded, volume, top=top, data=data, progress=advance, force=force
                )
            except RefusedError as error:
                raise RefusedError(f"{error} {FORCE_HINT}") from error
        _say_result(result)  # before it is written: a full disk does not take it away
        result.save(out / "explanation.json")
        written = [out / "report.html", *([out / "report.pdf"] if pdf else [])]
        source = image.resolve().name if show_name else None
        for path in written:
            expert.write_report(result, path, model=loaded.info, source=source)
        if csv:
            written.append(write_csv(result, out / "matches.csv"))
    say(f"{', '.join(map(str, written))}. {RESEARCH_USE}")


def _say_result(result: Explanation) -> None:
    """Print prediction, summary, prototypes and warnings."""
    interval = result.interval_missing
    if result.interval is not None:
        low, high = result.interval.lower, result.interval.upper
        interval = f"{result.interval.level:.0%}: {low:.1f} – {high:.1f}"
    if result.forced:
        say(result.forced_text)
    say(f"{result.label_name}: {result.prediction_text} ({interval})")
    if result.summary:
        say(result.summary)
    for match in result.prototypes:
        say(
            f"  #{match.rank}  {match.label:6.1f} {result.unit}  {match.share:6.1%}  "
            f"distance {match.distance:.1f}"
        )
    for notice in result.warnings:
        if notice.severity != "refused":  # which is said first
            say(f"  {notice.text}")


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
